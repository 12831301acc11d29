"""Files that describe an exported data set: those in the exporter's form are judged by its places, others like any.

A file has the exporter's form when it says of itself what only the exporter writes there: a schema, a version, columns
in their order. That alone lets nothing pass: each value still has to be of the form that its place has.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from medsynth.identity.check_tables import check_value, load_json
from medsynth.identity.export_names import COLUMNS, DATASET_FILE, DATASET_TABLE, EXPORT_FILE
from medsynth.identity.finding import Findings
from medsynth.identity.own_settings import VERSION, check_made
from medsynth.identity.own_values import (
    REASONS,
    check_path,
    check_row,
    check_sentences,
    check_told,
    gated,
)
from medsynth.identity.shapes import judge

Rule = Callable[[Any, str, Findings], None]
_SCHEMA = "medsynth.export.dataset/1"
_RELEASE = re.compile(rf"medsynth {VERSION.pattern}")
_SIDECAR = re.compile(r"sub-.+\.json")
_SCANS = re.compile(r"sub-.+_scans\.tsv")
_README = re.compile(rf"# .+\n\nSYNTHETIC(?: IN PART)?: \d+ cases made by {_RELEASE.pattern}\. .+\n\nLicence: .+\n")
_PEOPLE = ["participant_id", "source", "split"]
_NONE, _UNKNOWN = "none", "n/a"


def check_dataset_json(name: str, content: bytes, findings: Findings) -> bool:
    """Check one of a data set's JSON files; False, and nothing noted, when it is none of the exporter's.

    Args:
        name: of the file, in lower case.
        content: its bytes.
        findings: receives what is found.
    """
    try:
        value = load_json(content.decode("utf-8"))
        rules = next((rules for is_own, rules in _FORMS if is_own(name, value)), None)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return False
    if rules is None:
        return False
    for row in value if isinstance(value, list) else [value]:
        _check(row, rules(row), findings)
    return True


def check_dataset_table(name: str, content: bytes, findings: Findings) -> bool:
    """Check dataset.csv, scans.tsv or participants.tsv; False, and nothing noted, when it is not the exporter's."""
    tabs = name.endswith(".tsv")
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), delimiter="\t" if tabs else ","))
    except (UnicodeDecodeError, csv.Error):
        return False
    own: list[str] = []
    if name == DATASET_TABLE:
        own = list(COLUMNS)
    elif _SCANS.fullmatch(name):
        own = ["filename", *(column for column in COLUMNS if column != "attributes")]
    elif name == "participants.tsv":
        own = _PEOPLE
    head = rows[0] if rows else []
    if not own or head[: len(own)] != own or any(len(row) != len(head) for row in rows):
        return False
    if len(set(head)) < len(head):  # of two columns with one name one would not be seen
        return False
    for number, column in enumerate(head[len(own) :], len(own) + 1):
        findings.add_all(judge(column.replace("_", " ")), f"column {number}, its name")
    places = {column: f"column {number}" for number, column in enumerate(head, 1)}
    for row in rows[1:]:
        told = {column: "" if tabs and cell == _UNKNOWN else cell for column, cell in zip(head, row, strict=True)}
        if "participant_id" in told:
            check_path(told.pop("participant_id"), "column 1", findings)
        check_row(told, places, findings)
    return True


def check_dataset_readme(content: bytes, findings: Findings) -> bool:
    """Check README.md of a data set; False, and nothing noted, when it is not the exporter's."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if _README.fullmatch(text) is None:
        return False
    for number, line in enumerate(text.splitlines(), 1):
        check_sentences(line, f"line {number}", findings)
    return True


def _check(row: Mapping[str, Any], rules: Mapping[str, Rule], findings: Findings) -> None:
    for number, (key, value) in enumerate(row.items(), 1):
        if key in rules:
            rules[key](value, key, findings)
        else:
            strange = judge(key.replace("_", " "))
            findings.add_all(strange, "value, a key")
            check_value(value, key, (f"key {number}" if strange or len(key) > 40 else key,), findings)


def _plain(value: Any, place: str, findings: Findings) -> None:
    check_value(value, place, (place,), findings)


def _told(value: Any, place: str, findings: Findings) -> None:
    check_told(place.lower(), value, place, findings)


def _hash(value: Any, place: str, findings: Findings) -> None:
    check_told("sha256", value, place, findings)


def _names(value: Any, place: str, findings: Findings) -> None:
    check_told("case", value, place, findings)


def _sentences(value: Any, place: str, findings: Findings) -> None:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            check_sentences(text, place, findings)
        else:
            check_value(text, place, (place,), findings)


def _settings(value: Any, place: str, findings: Findings) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            check_made(f"dataset.{key}", entry, place, findings)
    else:
        check_value(value, place, (place,), findings)


def _cases(value: Any, place: str, findings: Findings) -> None:
    """A list of cases, each with its files and what is told of it, or one path."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            check_told("path", item, place, findings)
            continue
        places = {}
        for number, key in enumerate(item, 1):
            strange = [] if key in COLUMNS else judge(key.replace("_", " "))
            findings.add_all(strange, f"{place}, a key")
            places[key] = f"{place}>{f'key {number}' if strange else key}"
        check_row({key: "" if one == _NONE else one for key, one in item.items()}, places, findings)


def _counts(value: Any, place: str, findings: Findings) -> None:
    """Numbers by reason or split."""
    if not isinstance(value, dict):
        check_value(value, place, (place,), findings)
        return
    for key, entry in value.items():
        findings.add_all([] if key in REASONS else judge(key), f"{place}, a key")
        check_value(entry, "count", (place,), findings)


def _files(value: Any, place: str, findings: Findings) -> None:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            _check(one, {"path": _told, "sha256": _hash}, findings)
        else:
            check_value(one, place, (place,), findings)


def _meaning(value: Any, place: str, findings: Findings) -> None:
    """A column's description, and those of its levels."""
    if isinstance(value, dict):
        for key, entry in value.items():
            findings.add_all(judge(key), f"{place}, a key")
            _meaning(entry, place, findings)
    else:
        _sentences(value, place, findings)


def _made_by(value: Any, place: str, findings: Findings) -> None:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            _check(one, {"Description": _sentences}, findings)
        else:
            check_value(one, place, (place,), findings)


def _attributes(cleared: bool, value: Any, place: str, findings: Findings) -> None:
    check_value(gated(value, cleared), "attributes", (place,), findings)


def _sampler(value: Any, place: str, findings: Findings) -> None:
    for key, entry in value.items() if isinstance(value, dict) else [("sampler", value)]:
        check_made(key, entry, place, findings)


def _reference(value: Any, place: str, findings: Findings) -> None:
    check_told("path", value.removeprefix("bids::") if isinstance(value, str) else value, place, findings)


def _sidecar(row: Mapping[str, Any]) -> Mapping[str, Rule]:
    attributes = partial(_attributes, row.get("Identity") == "cleared")
    return {
        **_each("Synthetic Model ModelSoftware Seed Index Units SkullStripped Licences", _plain),
        **_each("Split Verdict Identity Overrides", _told),
        **_each("RecordSHA256 ModelSHA256 Parents", _hash),
        **_each("Description Gate", _sentences),
        **_each("Condition Attributes", attributes),
        "Sampler": _sampler,
        "SpatialReference": _reference,
    }


def _each(keys: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(keys.split(), rule)


_LIST: Mapping[str, Rule] = {
    **_each("schema medsynth exporter format cases", _plain),
    **_each("folder overrides", _told),
    **_each("flagged unaudited", _names),
    "settings": _settings,
    "left_out": _counts,
    "files": _files,
}
_DATASET: Mapping[str, Rule] = {
    **_each("name licence release tensorImageSize modality channel_names labels file_ending label_mapping", _plain),
    **_each("numTraining numTest", _plain),
    **_each("reference overwrite_image_reader_writer", _told),
    **_each("training validation test", _cases),
    "description": _sentences,
}
_DESCRIPTION: Mapping[str, Rule] = {
    **_each("Name BIDSVersion DatasetType License SourceDatasets", _plain),
    "GeneratedBy": _made_by,
}
_MEANINGS = _each(" ".join((*COLUMNS, "participant_id")), _meaning)
_FORMS: tuple[tuple[Callable[[str, Any], bool], Callable[[Any], Mapping[str, Rule]]], ...] = (
    (lambda name, value: name == EXPORT_FILE and value["schema"] == _SCHEMA, lambda _: _LIST),
    (
        lambda name, value: name == DATASET_FILE and _RELEASE.fullmatch(value["release"]) is not None,
        lambda _: _DATASET,
    ),
    (
        lambda name, value: name == "splits_final.json" and all(set(one) == {"train", "val"} for one in value),
        lambda _: _each("train val", _names),
    ),
    (
        lambda name, value: name == "dataset_description.json" and value["GeneratedBy"][0]["Name"] == "medsynth",
        lambda _: _DESCRIPTION,
    ),
    (
        lambda name, value: name in ("participants.json", "scans.json") and {"source", "split"} <= set(value),
        lambda _: _MEANINGS,
    ),
    (
        lambda name, value: (
            _SIDECAR.fullmatch(name) is not None and {"Description", "Synthetic", "RecordSHA256", "Split"} <= set(value)
        ),
        _sidecar,
    ),
)
"""How each kind of file is known, by its name and what it holds, and the rules of its keys."""
