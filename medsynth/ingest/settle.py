"""What can be said once all cases are read: order, shared label names, one picture under two patients."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medsynth.ingest.convert import Outcome, refuse
from medsynth.records import CaseRecord

_TWICE = (
    "the same image as another case, under another patient; say whose it is and remove the other, or a patient "
    "would be on both sides of a split"
)


class Settled(NamedTuple):
    """Records in an order that no key changes, refusals by case id, and how many images were there twice."""

    records: list[CaseRecord]
    refused: dict[str, Outcome]
    repeated: int
    joined: int


def settle(outcomes: Mapping[str, Outcome]) -> Settled:
    """Order the cases by content, name all label values in each, join patients who share an image.

    Where the same image stands under two patient keys and one is presumed, both get one
    key. Where both keys are certain, the case that comes second is refused.

    Args:
        outcomes: by case id.
    """
    refused = {case: outcome for case, outcome in outcomes.items() if outcome.record is None}
    taken = sorted((o.order, case, o) for case, o in outcomes.items() if o.record is not None)
    records = [CaseRecord.from_json(outcome.record or {}) for _, _, outcome in taken]
    contents = [outcome.content for _, _, outcome in taken]
    keys, conflicts = _join(records, contents)
    for index in conflicts:
        refused[records[index].id] = refuse(_TWICE)._replace(notes=taken[index][2].notes)
    names = {value: name for record in records for value, name in record.labels.items()}
    settled = [
        dataclasses.replace(
            record,
            patient=keys.get(record.patient, record.patient),
            labels=dict(sorted(names.items())) if any(c.kind == "label" for c in record.channels.values()) else {},
        )
        for index, record in enumerate(records)
        if index not in conflicts
    ]
    return Settled(settled, refused, len(contents) - len(set(contents)), len(keys))


def _join(records: Sequence[CaseRecord], contents: Sequence[str]) -> tuple[dict[str, str], set[int]]:
    """New key of each joined patient, and the indices of cases under two certain patients."""
    certain = {record.patient for record in records if record.patient_source != "presumed"}
    groups: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(contents):
        groups[content].append(index)
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while key in parents:
            key = parents[key]
        return key

    conflicts: set[int] = set()
    for indices in groups.values():
        first = root(records[indices[0]].patient)
        for index in indices[1:]:
            other = root(records[index].patient)
            if first == other:
                continue
            if first in certain and other in certain:
                conflicts.add(index)
                continue
            keep, give = (first, other) if first in certain else (other, first)
            if first not in certain and other not in certain:
                keep, give = first, other
            parents[give] = keep
            first = keep
    return {key: root(key) for key in parents}, conflicts
