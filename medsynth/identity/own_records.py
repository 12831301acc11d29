"""Records that medsynth writes: what their schema says they hold is known, what anybody may write there is judged.

A file holds them only when all of it is valid: one field too many, one hash that does not fit, and it is judged
like any other. In valid ones hashes, seeds and made-up ids pass. Attributes, conditions, names of labels and channels,
licences, and settings that are not medsynth's own are judged like any text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from medsynth.errors import MedsynthError
from medsynth.identity.check_names import check_names
from medsynth.identity.check_tables import check_value, load_json
from medsynth.identity.finding import KINDS, Findings, without_words
from medsynth.identity.own_settings import check_setting
from medsynth.identity.own_values import gated
from medsynth.identity.picture_text import MarkerPolicy
from medsynth.identity.shapes import judge, without_short_numbers
from medsynth.records import IDENTITY, CaseRecord, SampleRecord

_HASH = re.compile(r"[0-9a-f]{64}")
_CASE = re.compile(r"c[0-9a-f]{16}")
_REFUSED = re.compile(r"c[0-9a-f]{16}(-\d{1,6})?")
_MARK = re.compile(r"[0-9a-f]{12}")
_VERSION = re.compile(r"\d+\.\d+\.\d+([a-z]+\d+)?(\+[0-9a-z.]{1,16})?")
_MOST = 10**6
_FATES = ("refused", "removed", "blanked", "allowed")
_NOTE = {"case", "kind", "place", "mark", "became"}
_CLEARANCE = {
    "schema", "medsynth", "identity", "text", "faces", "markers", "known", "allow", "cases", "refused", "content",
    "counts", "findings",
}  # fmt: skip
_PATIENT = re.compile(r"p[0-9a-f]{16}|synthetic-[0-9a-f]{16,64}")


def check_own_lines(content: bytes, findings: Findings) -> bool:
    """Check records, refused cases, or ingest's journal; False, and nothing noted, when it is none of them."""
    try:
        rows = [load_json(line) for line in content.decode("utf-8").splitlines() if line.strip()]
        journal = bool(rows) and _is_journal_head(rows[0])
        parts = [*_journal(rows[1:])] if journal else [(_refused if "reason" in row else _record)(row) for row in rows]
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MedsynthError):
        return False
    for check in parts:
        check(findings)
    return journal or bool(parts)


def _record(row: Mapping[str, Any]) -> Callable[[Findings], None]:
    """What checks a record.

    Raises:
        MedsynthError, KeyError, TypeError, ValueError, AttributeError: the row is no valid record.
    """
    kind = SampleRecord if row["schema"].startswith("medsynth.sample/") else CaseRecord
    record: Any = kind.from_json(row)
    whole = all(isinstance(row.get(name, 0), int) for name in ("seed", "index"))
    if not whole or record.to_json() != row:  # a name more at any depth
        raise ValueError
    return lambda findings: _check_record(record, findings)


def _check_record(record: Any, findings: Findings) -> None:
    if not _CASE.fullmatch(record.id) and record.id != f"s{getattr(record, 'index', -1):06d}":
        findings.add_all(judge(record.id.replace("_", " ")), "id")
    if record.patient and not _PATIENT.fullmatch(record.patient):
        findings.add_all(judge(record.patient.replace("_", " ")), "patient")
    for number, (name, channel) in enumerate(record.channels.items(), 1):
        findings.add_all(judge(name.replace("_", " ")), "channels, a key")
        check_names(PurePosixPath(channel.path), findings)
        for text in (channel.units, channel.modality or ""):
            findings.add_all(judge(text), f"channel {number}")
    for field in ("attributes", "condition", "licence"):
        if hasattr(record, field):
            value = gated(_plain(getattr(record, field)), record.identity == "cleared")
            check_value(value, field, (field,), findings)
    check_value(list(record.labels.values()), "labels", ("labels",), findings)
    check_value(list(record.geometry.shape), "shape", ("geometry",), findings)
    if isinstance(record, SampleRecord):
        check_value(list(record.licences), "licence", ("licences",), findings)
        for name, value in record.sampler.items():
            check_setting(name, value, "sampler", findings)
        for override in record.overrides:
            key, _, value = override.partition("=")
            check_setting(key, value, "overrides", findings)
        for parent in record.parents:
            if not _HASH.fullmatch(parent):
                findings.add_all(judge(parent), "parents")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _is_journal_head(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and re.fullmatch(r"medsynth\.ingest/\d{1,3}", str(row.get("schema"))) is not None
        and set(row) == {"schema", "key", "source", "settings"}
        and all(_HASH.fullmatch(row[name]) for name in ("key", "source", "settings"))
    )


def _journal(rows: list[Any]) -> Iterator[Callable[[Findings], None]]:
    """What checks the cases of ingest's progress.jsonl, after its first line.

    Raises:
        ValueError, and others as `_record`: a line is not valid.
    """
    for row in rows:
        record, *hashes, reason, way_out, notes = row["outcome"]  # medsynth.ingest.convert.Outcome
        known = set(row) == {"case", "fingerprint", "outcome"} and _CASE.fullmatch(row["case"])
        if not known or not all(_HASH.fullmatch(one) or one == "" for one in (row["fingerprint"], *hashes)):
            raise ValueError
        for note in notes:
            _require_note(*note)
        if record is not None:
            yield _record(record)
        yield _reason(reason, way_out)
        yield _places(note[1] for note in notes)


def check_clearance(content: bytes, findings: Findings) -> bool:
    """Check identity.json of a folder of cases; False, and nothing noted, when it is none.

    Every field of it is a number, a hash or one of medsynth's own terms, but for the places of what was found.
    """
    try:
        row = load_json(content.decode("utf-8"))
        notes = [(one["kind"], one["place"], one["mark"], one["became"]) for one in row["findings"]]
        numbers = [row["known"], row["allow"], row["refused"], *row["cases"].values(), *row["counts"].values()]
        fine = (
            set(row) == _CLEARANCE
            and row["schema"] == "medsynth.clearance/1"
            and _VERSION.fullmatch(row["medsynth"]) is not None
            and row["identity"] in ("check", "remove", "trust")
            and {row["text"], row["faces"]} <= {"refuse", "blank", "allow"}
            and row["markers"] == MarkerPolicy().to_json()
            and set(row["cases"]) == set(IDENTITY)
            and set(row["counts"]) <= set(KINDS)
            and all(type(number) is int and 0 <= number < _MOST for number in numbers)
            and all(_HASH.fullmatch(one) for one in row["content"])
            and all(set(one) == _NOTE and _REFUSED.fullmatch(one["case"]) for one in row["findings"])
        )
        for note in notes:
            _require_note(*note)
        judged = _places(place for _, place, _, _ in notes)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if fine:
        judged(findings)
    return fine


def _require_note(kind: str, place: str, mark: str, became: str) -> None:
    """Raises ValueError where it is nothing that the identity gate says of a finding."""
    if (
        kind not in KINDS
        or not (mark == "" or _MARK.fullmatch(mark))
        or became not in _FATES
        or not place.isprintable()
    ):
        raise ValueError


def _places(places: Iterable[str]) -> Callable[[Findings], None]:
    found = [one for place in places for one in judge(place.replace("_", " "))]
    return lambda findings: findings.add_all(without_words(found, _reason_words()), "place")


def _refused(row: Mapping[str, Any]) -> Callable[[Findings], None]:
    if set(row) != {"case", "reason", "way_out"} or not _REFUSED.fullmatch(row["case"]):
        raise ValueError
    return _reason(row["reason"], row["way_out"])


def _reason(*texts: str) -> Callable[[Findings], None]:
    found = [one for text in texts for one in without_short_numbers(judge(text.replace("_", " ")))]
    return lambda findings: findings.add_all(without_words(found, _reason_words()), "reason")


@cache
def _reason_words() -> frozenset[str]:
    """Words of the sentences in which medsynth says why it refused a case."""
    return frozenset(files("medsynth.identity").joinpath("message_words.txt").read_text(encoding="utf-8").split())
