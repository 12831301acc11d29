"""The objects to be sent: those that export.json lists, each exactly as it was written."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from medsynth.errors import MedsynthError
from medsynth.export.dicom_origin import is_partly_real_key
from medsynth.files import inside


class Item(NamedTuple):
    """An object: where it lies in out, and what export.json says of it."""

    path: str
    uid: str
    sha256: str
    study: str
    modality: str
    sop_class: str
    syntax: str
    derived: bool


class Loaded(NamedTuple):
    """An object as it is sent, and how many bytes that is."""

    dataset: pydicom.FileDataset
    size: int


def listed_items(out: Path, export_file: str) -> list[Item]:
    """What export.json lists, in its order.

    Raises:
        MedsynthError: it cannot be read, names a file outside `out` or one that is not there.
    """
    try:
        studies = json.loads((out / export_file).read_text())["studies"]
        return [item for study in studies for series in study["series"] for item in _items(out, study, series)]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise MedsynthError(f"{export_file} in out cannot be read; export again") from None


def load(out: Path, item: Item) -> Loaded:
    """The object, read once and checked against its hash.

    Raises:
        MedsynthError: it was changed, or is not there.
    """
    try:
        content = inside(out, item.path).read_bytes()
    except OSError:
        raise MedsynthError("its file cannot be read; export again") from None
    if hashlib.sha256(content).hexdigest() != item.sha256:
        raise MedsynthError("it was changed since it was exported, and stays; export again")
    dataset = pydicom.dcmread(io.BytesIO(content))
    if str(dataset.SOPInstanceUID) != item.uid:
        raise MedsynthError("it has another UID than export.json says, and stays; export again")
    return Loaded(dataset, len(content))


def _items(out: Path, study: dict[str, Any], series: dict[str, Any]) -> list[Item]:
    # One syntax a series: the exporter compresses all of a series or nothing.
    try:
        syntax = str(read_file_meta_info(inside(out, series["objects"][0]["path"])).TransferSyntaxUID)
    except (OSError, InvalidDicomError, AttributeError):
        raise MedsynthError("an exported file is missing or was changed; export again") from None
    return [
        Item(
            path=str(one["path"]),
            uid=str(one["uid"]),
            sha256=str(one["sha256"]),
            study=str(study["uid"]),
            modality=str(series["modality"]),
            sop_class=str(series["sop_class"]),
            syntax=syntax,
            derived=is_partly_real_key(str(study["patient"])),
        )
        for one in series["objects"]
    ]
