"""Exported objects, and identities in each place whose content is known to be the exporter's."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from medsynth.export.dicom import encoded, sample_series
from medsynth.geometry import Geometry
from medsynth.records import Channel, SampleRecord
from tests.identity.clean_files import AFFINE

HASH, PARENT = "0123456789abcdef" * 4, "fedcba9876543210" * 4
GATE = (f"Audit: this sample passed; audit SHA-256 {HASH}.", "Override: presumed=i_accept; membership=null.")
WHO = (
    "Quandt^Ottilie",
    "Ottilie",
    "Voss, Ada",
    "19610503",
    "3 May 1961",
    "83749201",
    "MRN 4711",
    "quandt@klinik.example",
)
"""Names, dates, numbers, an address."""


class ExportPlant(NamedTuple):
    """One identity in one file; `place` is where the finding has to be, "" where anywhere will do."""

    what: str
    place: str
    write: Callable[[Path], Path]


def record(**changes: Any) -> SampleRecord:
    """Of a sample that names nobody."""
    named = {"image": ("image", "arbitrary"), "label": ("label", "label")}
    channels = {
        name: Channel(path=f"volumes/000007_{name}.nii.gz", kind=kind, units=units, sha256=HASH)
        for name, (kind, units) in named.items()
    }
    plain: dict[str, Any] = {
        "id": "s000007",
        "index": 7,
        "seed": 3,
        "condition": {"class": "normal", "age": 61},
        "sampler": {"name": "dpmpp_2m", "grid": "karras", "rho": 7.0, "steps": 20, "weights": "best", "ema": None},
        "channels": channels,
        "geometry": Geometry((3, 4, 5), AFFINE),
        "labels": {0: "background", 1: "liver", 2: "label 2"},
        "checkpoint": HASH,
        "identity": "cleared",
        "overrides": ("uncleared=i_accept",),
        "licences": ("CC-BY-SA-4.0",),
    }
    return SampleRecord(**{**plain, **changes})


def objects(one: SampleRecord, gate: tuple[str, ...] = GATE, most: int = 2) -> list[Dataset]:
    """First of the image's objects, and the segmentation where `most` is 2."""
    shape = one.geometry.shape
    arrays = {"image": np.arange(60).reshape(shape).astype(np.int16), "label": (np.arange(60) % 3).reshape(shape)}
    arrays = {name: arrays.get(name, arrays["image"]) for name in one.channels}
    return [series.objects[0] for series in islice(sample_series(one, arrays, gate), most)]


@cache
def _plain() -> tuple[Dataset, ...]:
    return tuple(objects(record()))


def save(dataset: Dataset, folder: Path) -> Path:
    path = folder / "00001.dcm"
    path.write_bytes(encoded(dataset))
    return path


def plants_in_exports() -> list[ExportPlant]:
    return [*_in_elements(), *_in_sentences(), *_in_records()]


ELEMENTS = {
    "PatientName": "(0010,0010)",
    "PatientID": "(0010,0020)",
    "StudyID": "(0020,0010)",
    "DeviceSerialNumber": "(0018,1000)",
    "DerivationDescription": "(0008,2111)",
    "ImageComments": "(0020,4000)",
    "ContributingEquipmentSequence.DeviceSerialNumber": "(0018,A001)>(0018,1000)",
    "ContributingEquipmentSequence.ContributionDescription": "(0018,A001)>(0018,A003)",
    "CodingSchemeIdentificationSequence.CodingSchemeResponsibleOrganization": "(0008,0110)>(0008,0116)",
    "SegmentSequence.SegmentedPropertyTypeCodeSequence.CodeValue": "(0062,0002)>(0062,000F)>(0008,0100)",
}
"""Whose exact content is known, with their places."""


def _in_elements() -> Iterator[ExportPlant]:
    """The whole value, before it, behind it, and in its middle."""
    for keyword, place in ELEMENTS.items():
        for who in WHO:
            for way in ("instead", "before", "behind", "within"):
                yield ExportPlant(f"{who} {way} of {keyword}", place, _changed(keyword, who, way))


def _changed(keyword: str, who: str, way: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        *path, last = keyword.split(".")
        dataset = copy.deepcopy(
            _plain()[int(path[:1] in (["SegmentSequence"], ["CodingSchemeIdentificationSequence"]))]
        )
        item = dataset
        for name in path:
            item = item[name].value[-1]
        value = str(item[last].value)
        half = len(value) // 2
        setattr(
            item,
            last,
            {
                "instead": who,
                "before": f"{who} {value}",
                "behind": f"{value} {who}",
                "within": f"{value[:half]} {who} {value[half:]}",
            }[way],
        )
        return save(dataset, folder)

    return write


def _in_sentences() -> Iterator[ExportPlant]:
    """In each line of the comments, and where a word or a number of theirs stood."""
    lines = _plain()[0].ImageComments.split("\n")
    for number, line in enumerate(lines):
        for who in WHO:
            for text in (f"{who} {line}", line.replace(" ", f" {who} ", 1), line.removesuffix(".") + f" {who}."):
                yield ExportPlant(f"{who} in sentence {number}", "", _comments(lines, number, text))
    for number, line in enumerate(lines):
        if any(len(word) == len(HASH) for word in line.rstrip(".").split()):
            for other in ("83749201", "0" * 56 + "83749201", "Quandt" + HASH[6:]):
                words = [other if len(word) == len(HASH) else word for word in line.rstrip(".").split()]
                yield ExportPlant(
                    f"{other} for a hash in {number}", "", _comments(lines, number, " ".join(words) + ".")
                )


def _comments(lines: list[str], number: int, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        dataset = copy.deepcopy(_plain()[0])
        dataset.ImageComments = "\n".join([*lines[:number], text, *lines[number + 1 :]])
        return save(dataset, folder)

    return write


def _in_records() -> Iterator[ExportPlant]:
    """What the exporter is given: its own words around it must not let it through."""
    image = record().channels["image"]
    for who in WHO:
        if who[0].isdigit() and who.isdigit():
            yield ExportPlant(f"seed {who}", "(0020,4000)", _exported(seed=int(who)))
            yield ExportPlant(f"index {who}", "(0020,4000)", _exported(index=int(who)))
        for what, changes in (
            ("class", {"condition": {"class": who}}),
            ("text", {"condition": {"text": f"axial scan of {who}"}}),
            ("a condition's name", {"condition": {who: 1}}),
            ("sampler", {"sampler": {"name": who}}),
            ("a sampler's setting", {"sampler": {who: 1}}),
            ("override", {"overrides": (f"uncleared={who}",)}),
            ("licence", {"licences": (f"ask {who}",)}),
        ):
            yield ExportPlant(f"{who} as {what}", "(0020,4000)", _exported(**changes))
        yield ExportPlant(f"{who} as a label", "(0062,0002)>(0062,0005)", _exported(1, labels={1: who, 2: "label 2"}))
        token = re.sub(r"\W+", "_", who)  # records refuse other names of channels
        channels = {token: image, "label": record().channels["label"]}
        yield ExportPlant(f"{token} as a channel", "(0008,103E)", _exported(channels=channels))
    for what, changes in (
        ("a seed among overrides", {"overrides": ("seed=19610503",)}),
        ("a plan's seed among overrides", {"overrides": ("plan.seed=83749201",)}),
        ("a seed of the sampler", {"sampler": {"name": "euler", "seed": 19610503}}),
        ("a date among overrides", {"overrides": ("3.5.1961",)}),
    ):
        yield ExportPlant(what, "(0020,4000)", _exported(**changes))
    yield ExportPlant("a letter of another alphabet", "(0020,4000)", _exported(condition={"class": "Øyvind Ångström"}))


def _exported(which: int = 0, **changes: Any) -> Callable[[Path], Path]:
    return lambda folder: save(objects(record(**changes), most=2 if which else 1)[which], folder)


def export_list() -> dict[str, Any]:
    """export.json of one study."""
    uid = "2.25.309827784132377623050488104809717008197"
    one = {"uid": uid, "path": "dicom/s000007/01_MR/00001.dcm", "sha256": HASH}
    series = {
        "channel": "image",
        "modality": "MR",
        "uid": uid,
        "sop_class": "1.2.840.10008.5.1.4.1.1.4",
        "objects": [one],
    }
    study = {"sample": "s000007", "sha256": HASH, "patient": f"synthetic-{HASH[:16]}", "uid": uid, "series": [series]}
    settings = {
        "modality": {"image": "MR"},
        "plane": "native",
        "compression": "none",
        "date": "19000101",
        "orientation": ["L", "F"],
    }
    return {
        "schema": "medsynth.export/1", "medsynth": "0.1.0", "exporter": "medsynth.dicom/3", "settings": settings,
        "flagged": ["s000003"], "unaudited": [], "studies": [study],
    }  # fmt: skip


def sent_list() -> dict[str, Any]:
    """sent.json of two objects, one of which did not get through."""
    one = export_list()["studies"][0]["series"][0]["objects"][0]
    note, reason = "the archive changed elements of it (B000)", "the archive is full or out of other resources (A700)"
    part = {
        "name": "research", "address_sha256": HASH, "sent": [one, {**one, "note": note}],
        "failed": [{**one, "path": "dicom/x0123456789abcdef/01_MR/00002.dcm", "reason": reason}],
    }  # fmt: skip
    return {"schema": "medsynth.sent/1", "medsynth": "0.1.0", "destinations": [part]}


def plants_in_lists(make: Callable[[], dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Each value of a list, and each name in it, by another; a field more at each depth."""
    for path in _paths(make()):
        for who in (*WHO, 83749201):
            for way in ("value", "name", "more"):
                changed = make()
                above: Any = changed
                for step in path[:-1]:
                    above = above[step]
                if way == "value":
                    above[path[-1]] = who
                elif isinstance(above, list):
                    continue
                elif way == "name":
                    above[str(who)] = above.pop(path[-1])
                else:
                    above["seed"] = who
                yield f"{who} as {way} at {path}", json.dumps(changed).encode()


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*above, key)
        if isinstance(entry, dict | list):
            yield from _paths(entry, (*above, key))
