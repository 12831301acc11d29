"""The list that lies beside exported objects: what its schema says it holds is known, all else is judged."""

import re
from collections.abc import Mapping
from typing import Any

from pydicom.uid import UID_dictionary

from medsynth.identity.check_tables import load_json
from medsynth.identity.finding import Findings
from medsynth.identity.own_objects import is_patient_key
from medsynth.identity.own_settings import VERSION, check_setting
from medsynth.identity.shapes import judge

EXPORT_FILE = "export.json"
_LIST = {"schema", "medsynth", "exporter", "settings", "flagged", "unaudited", "studies"}
_SETTINGS = {"modality", "plane", "compression", "date", "orientation"}
_STUDY = {"sample", "sha256", "patient", "uid", "series"}
_SERIES = {"channel", "modality", "uid", "sop_class", "objects"}
_OBJECT = {"uid", "path", "sha256"}
_SAMPLE = re.compile(r"s\d{6}")
_HASH = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"2\.25\.\d{24,39}")
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
        check_setting(f"dicom.{key}", value, "settings", findings)
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
