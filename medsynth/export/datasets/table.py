"""What is known of each case, as a table: which is real, which synthetic, whose, and what the audit said."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medsynth.export.datasets.entry import Entry, one_line
from medsynth.identity.export_names import COLUMNS
from medsynth.records import Attribute, SampleRecord

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
_PATH = "path_"
_TAKEN = {*COLUMNS, "image", "label", "fold", "participant_id", "filename"}


def facts(entry: Entry) -> dict[str, str]:
    """What COLUMNS say of a case, as texts; `attributes` is JSON in ASCII."""
    record = entry.record
    made = record if isinstance(record, SampleRecord) else None
    return {
        "case": entry.name,
        "source": entry.source,
        "split": entry.split,
        "patient": entry.patient,
        "parents": " ".join(entry.parents),
        "verdict": entry.verdict,
        "seed": str(made.seed) if made else "",
        "index": str(made.index) if made else "",
        "model": made.checkpoint if made else "",
        "record": record.sha256,
        "identity": record.identity,
        "licences": one_line("; ".join(entry.licences)),
        "overrides": one_line("; ".join(made.overrides)) if made else "",
        "attributes": json.dumps(dict(entry.attributes), sort_keys=True),
    }


def attribute_names(entries: Iterable[Entry]) -> list[str]:
    """Names of attributes that can head a column of their own, in order."""
    names = {name for entry in entries for name in entry.attributes}
    return sorted(name for name in names if _PLAIN.match(name) and name not in _TAKEN and not name.startswith(_PATH))


def shared_attributes(entries: Sequence[Entry]) -> list[str]:
    """Those that every case has, all as texts or all as numbers: what a loader can put into one batch."""
    found = []
    for name in attribute_names(entries):
        kinds = {_kind(entry.attributes.get(name)) for entry in entries}
        if len(kinds) == 1 and None not in kinds:
            found.append(name)
    return found


def cell(value: Attribute) -> str:
    """An attribute as one line of text; empty where it is not known."""
    return "" if value is None else one_line(str(value))


def table(entries: Sequence[Entry], files: Mapping[str, Mapping[str, str]]) -> str:
    """dataset.csv: a line a case.

    Args:
        entries: the cases.
        files: paths by the case's name, such as {"image": ..., "label": ...}.
    """
    names = attribute_names(entries)
    paths = list(dict.fromkeys(key for one in files.values() for key in one))
    lines = []
    for entry in entries:
        own = {name: cell(entry.attributes.get(name)) for name in names}
        lines.append({**facts(entry), **{f"{_PATH}{key}": files[entry.name].get(key, "") for key in paths}, **own})
    return separated([*COLUMNS, *(f"{_PATH}{key}" for key in paths), *names], lines)


def separated(columns: Sequence[str], lines: Iterable[Mapping[str, Any]], delimiter: str = ",") -> str:
    """A table with a head, lines ending in a line feed."""
    with io.StringIO() as text:
        writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()


def _kind(value: Attribute) -> str | None:
    if value is None:
        return None
    return "text" if isinstance(value, str) else "number"
