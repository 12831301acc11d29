"""What the exporter says of a case in a data set: its own names, keys and words are known, all else is judged.

A value is known by its form at its place: a sample's name where the name of a case stands, a hash where a hash does.
What anybody may have written (attributes, conditions, licences, names) is judged like any text.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

from medsynth.identity.check_names import judge_name
from medsynth.identity.check_tables import check_value, load_json
from medsynth.identity.finding import Findings, without_words
from medsynth.identity.own_objects import is_patient_key
from medsynth.identity.own_settings import check_override
from medsynth.identity.shapes import judge
from medsynth.records import IDENTITY, SPLITS

_CASE = re.compile(r"s\d{6}|[crx][0-9a-f]{16}")
_HASH = r"(?=\d{0,63}[a-f])[0-9a-f]{64}"  # digits alone may be anything
_HASHES = re.compile(rf"{_HASH}(?: {_HASH})*")
_KINDS = ("real", "synthetic")
_TEXTS: Mapping[str, frozenset[str]] = {
    "source": frozenset({*_KINDS, " and ".join(_KINDS)}),
    "split": frozenset(" and ".join(some) for count in (1, 2, 3) for some in combinations(SPLITS, count)),
    "verdict": frozenset({"pass", "cannot-assess", "not audited"}),
    "identity": frozenset(IDENTITY),
    "reference": frozenset({"https://medicaldecathlon.com (the layout)"}),
    "overwrite_image_reader_writer": frozenset({"SimpleITKIO"}),
}
_HASHED = ("model", "record", "parents", "sha256")
_PATHS = ("image", "label", "path", "filename", "folder")
REASONS = (
    "flagged by the audit",
    "derived from a patient who is not one of the generator's training patients",
    "real, in no split of the generator's run",
    "real, without all channels of the samples",
    *(f"real, of {split} patients" for split in SPLITS),
)
"""Why cases stay behind."""


def check_sentences(text: str, place: str, findings: Findings) -> None:
    """Judge a text in which the exporter's own reasons and words are known; names, dates and numbers never are."""
    for reason in REASONS:
        text = re.sub(rf"(?<=left out: ){re.escape(reason)}(?=\.)", " ", text)
    findings.add_all(without_words(judge(text.replace("_", " ")), _words()), place)


def check_path(path: str, place: str, findings: Findings) -> None:
    """Judge a path as those of the files on the disk are."""
    for part in PurePosixPath(path).parts:
        findings.add_all(judge_name(part), place)


def check_told(key: str, value: Any, place: str, findings: Findings) -> None:
    """Judge one value unless it is of the form that the exporter gives it.

    Args:
        key: one of the columns of dataset.csv, or of the keys of its descriptions, in lower case.
        value: plain JSON types.
        place: where it stands.
        findings: receives what is found.
    """
    if isinstance(value, list):
        for one in value:
            check_told(key, one, place, findings)
    elif not isinstance(value, str):
        check_value(value, key, (place,), findings)
    elif key in _PATHS or key.startswith("path_"):
        check_path(value, place, findings)
    elif key == "overrides":
        for override in value.split("; "):
            check_override(override, place, findings)
    elif not _is_own(key, value):
        check_value(value, key, (place,), findings)


def check_row(row: Mapping[str, Any], places: Mapping[str, str], findings: Findings) -> None:
    """Judge what is told of one case, and whether it fits together.

    Args:
        row: values by column, empty where nothing is said.
        places: where each stands.
        findings: receives what is found.
    """
    cleared = row.get("identity") == "cleared"
    for key, value in row.items():
        if key == "attributes":
            _check_attributes(value, cleared, places[key], findings)
        elif not _fits(key, value, row):
            findings.add_all(judge(value.replace("_", " ")), places[key])
        elif not (cleared and str(value) == "90"):  # what the identity gate makes of ages above 89
            check_told(key, value, places[key], findings)


def gated(attributes: Any, cleared: bool) -> Any:
    """Attributes, without the age that the identity gate makes of those above 89."""
    if not cleared or not isinstance(attributes, dict):
        return attributes
    return {name: 89 if str(value) == "90" else value for name, value in attributes.items()}


def _is_own(key: str, text: str) -> bool:
    if key in _TEXTS:
        return text in _TEXTS[key]
    if key in _HASHED:
        return _HASHES.fullmatch(text) is not None
    return (key == "case" and _CASE.fullmatch(text) is not None) or (key == "patient" and is_patient_key(text))


def _fits(key: str, value: Any, row: Mapping[str, Any]) -> bool:
    """Whether a sample's name has its index, where the row has one."""
    named = key == "case" and isinstance(value, str) and value.startswith("s") and row.get("index")
    return not named or value == f"s{str(row['index']).zfill(6)}"


def _check_attributes(text: Any, cleared: bool, place: str, findings: Findings) -> None:
    """JSON as the exporter writes it; what is written otherwise may hold more than what is read of it."""
    try:
        value = load_json(text)
        fine = isinstance(value, dict) and json.dumps(value, sort_keys=True) == text
    except (TypeError, ValueError, RecursionError):
        fine = False
    if fine:
        check_value(gated(value, cleared), "attributes", (place,), findings)
    else:
        findings.add("unread", place, str(text))


@cache
def _words() -> frozenset[str]:
    """Words of the sentences in which a data set says what it is."""
    return frozenset(files("medsynth.identity").joinpath("dataset_words.txt").read_text(encoding="utf-8").split())
