"""The lists beside exported objects, of them and of what was sent: their own content is known, all else is judged."""

import re
from collections.abc import Mapping
from typing import Any

from pydicom.uid import UID_dictionary

from medsynth.identity.check_tables import load_json
from medsynth.identity.finding import Findings
from medsynth.identity.own_objects import is_patient_key
from medsynth.identity.own_settings import VERSION, check_made
from medsynth.identity.shapes import judge

_LIST = {"schema", "medsynth", "exporter", "settings", "flagged", "unaudited", "studies"}
_SETTINGS = {"modality", "plane", "compression", "date", "orientation"}
_STUDY = {"sample", "sha256", "patient", "uid", "series"}
_SERIES = {"channel", "modality", "uid", "sop_class", "objects"}
_OBJECT = {"uid", "path", "sha256"}
_SAMPLE = re.compile(r"s\d{6}")
_HASH = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"2\.25\.\d{24,39}")
_SENT = {"schema", "medsynth", "destinations"}
_DESTINATION = {"name", "address_sha256", "sent", "failed"}
_FOLDER = re.compile(r"s\d{6}|x(?=\d{0,15}[a-f])[0-9a-f]{16}")
_PLACE = re.compile(r"dicom/([^/]+)/\d{2}_[A-Z]{2,3}/\d{5}\.dcm")


def check_export(content: bytes, findings: Findings) -> bool:
    """Check export.json of exported objects; False, and nothing noted, when it is none."""
    try:
        row = load_json(content.decode("utf-8"))
        fine = (
            set(row) == _LIST
            and row["schema"] == "medsynth.export/1"
            and VERSION.fullmatch(row["medsynth"]) is not None
            and re.fullmatch(r"medsynth\.dicom/\d{1,3}", row["exporter"]) is not None
            and set(row["settings"]) == _SETTINGS
            and isinstance(row["settings"], dict)
            and all(isinstance(row[key], list) for key in ("flagged", "unaudited", "studies"))
            and all(isinstance(name, str) for name in (*row["flagged"], *row["unaudited"]))
            and all(_is_study(study) for study in row["studies"])
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if not fine:
        return False
    for key, value in row["settings"].items():
        check_made(f"dicom.{key}", value, "settings", findings)
    for name in (*row["flagged"], *row["unaudited"], *(study["sample"] for study in row["studies"])):
        if not _SAMPLE.fullmatch(name):
            findings.add_all(judge(name.replace("_", " ")), "sample")
    for study in row["studies"]:
        key = study["patient"]
        if not is_patient_key(key) and key != f"synthetic-{study['sha256'][:16]}":
            findings.add_all(judge(key.replace("_", " ")), "patient")
        for number, series in enumerate(study["series"], 1):
            for text in (series["channel"], series["modality"]):
                findings.add_all(judge(text.replace("_", " ")), f"series {number}")
    return True


def check_sent(content: bytes, findings: Findings) -> bool:
    """Check sent.json, what was sent where; False, and nothing noted, when it is none."""
    try:
        row = load_json(content.decode("utf-8"))
        fine = (
            set(row) == _SENT
            and row["schema"] == "medsynth.sent/1"
            and VERSION.fullmatch(row["medsynth"]) is not None
            and all(_is_destination(one) for one in row["destinations"])
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if not fine:
        return False
    for part in row["destinations"]:
        findings.add_all(judge(part["name"].replace("_", " ")), "destinations>name")
        for key, said in (("sent", "note"), ("failed", "reason")):
            for one in part[key]:
                findings.add_all(judge(one.get(said, "")), f"destinations>{key}>{said}")
    return True


def _is_destination(part: Mapping[str, Any]) -> bool:
    return (
        set(part) == _DESTINATION
        and isinstance(part["name"], str)
        and _HASH.fullmatch(part["address_sha256"]) is not None
        and all(_is_sent(one, "note") for one in part["sent"])
        and all(_is_sent(one, "reason") for one in part["failed"])
    )


def _is_sent(one: Mapping[str, Any], said: str) -> bool:
    place = _PLACE.fullmatch(one["path"])
    return (
        set(one) | {said} == _OBJECT | {said}
        and isinstance(one.get(said, ""), str)
        and _is_named(one)
        and place is not None
        and _FOLDER.fullmatch(place[1]) is not None
    )


def _is_study(study: Mapping[str, Any]) -> bool:
    folder = study["sample"] if _SAMPLE.fullmatch(study["sample"]) else f"x{study['sha256'][:16]}"
    return (
        set(study) == _STUDY
        and _is_named(study)
        and isinstance(study["patient"], str)
        and all(_is_series(series, folder) for series in study["series"])
    )


def _is_series(series: Mapping[str, Any], folder: str) -> bool:
    return (
        set(series) == _SERIES
        and isinstance(series["channel"], str)
        and isinstance(series["modality"], str)
        and _UID.fullmatch(series["uid"]) is not None
        and series["sop_class"] in UID_dictionary
        and all(_is_object(one, folder) for one in series["objects"])
    )


def _is_object(one: Mapping[str, Any], folder: str) -> bool:
    place = _PLACE.fullmatch(one["path"])
    return set(one) == _OBJECT and _is_named(one) and place is not None and place[1] == folder


def _is_named(one: Mapping[str, Any]) -> bool:
    return _UID.fullmatch(one["uid"]) is not None and _HASH.fullmatch(one["sha256"]) is not None
