"""What medsynth exports names nobody, and the checker says so; a name, a date or a number in it is still found."""

import json
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from medsynth.export.dicom import sample_series
from medsynth.export.dicom_settings import DicomSettings
from medsynth.geometry import Geometry
from medsynth.identity.check import Checker
from medsynth.identity.own_objects import own_object
from medsynth.records import Channel
from tests.identity.planted_exports import (
    GATE,
    HASH,
    PARENT,
    export_list,
    objects,
    plants_in_exports,
    plants_in_lists,
    record,
    save,
    sent_list,
)


def found(path: Path, name: str = "") -> list:
    return Checker(faces=False).file(path, PurePosixPath(name or path.name)).findings


DERIVED = {"parents": (PARENT,), "patient": "p0123456789abcdef", "split": "train"}
CLEAN = {
    "free": {},
    "a GAN's": {"sampler": {"name": "gan", "weights": "best"}},
    "derived": DERIVED,
    "of two patients": {**DERIVED, "patient": "p0123456789abcdef.p1123456789abcdef"},
    "of many": {**DERIVED, "patient": "several-0123456789abcdef0123456789abcdef"},
    "of nobody's": {"parents": (PARENT, HASH), "patient": "synthetic-0123456789abcdef"},
    "trusted": {"identity": "trusted", "overrides": ("uncleared=i_accept", "identity=trust"), "licences": ()},
    "with a long text": {"condition": {"text": "axial scan of the liver without contrast " * 30}},
    "with many licences": {"licences": ("CC-BY-SA-4.0",) * 100},
}


@pytest.mark.parametrize("what", CLEAN)
@pytest.mark.parametrize("gate", ["passed", "none", "open"])
def test_nothing_is_found_in_exported_objects(what: str, gate: str, tmp_path: Path) -> None:
    said = {
        "passed": (f"Audit: this sample passed; audit SHA-256 {HASH}.",),
        "none": ("Audit: NONE, nobody looked for copies of patients.", "Override: unaudited=i_accept."),
        "open": (
            f"Audit: COULD NOT ASSESS this sample; audit SHA-256 {HASH}.",
            "Override: presumed=i_accept; membership=null; unaudited=i_accept.",
        ),
    }[gate]
    for dataset in objects(record(**CLEAN[what]), said):
        assert found(save(dataset, tmp_path)) == [], dataset.Modality


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_each_identity_in_exported_objects_is_found(tmp_path: Path) -> None:
    """At its own place, where it is the whole value of an element or was given to the exporter."""
    plants, missed = plants_in_exports(), []
    for plant in plants:
        places = {
            finding.place.partition(">")[0] if not plant.place else finding.place
            for finding in found(plant.write(tmp_path))
        }
        if not places or not any(place.startswith(plant.place) for place in places):
            missed.append(plant.what)
    print(f"planted {len(plants)}, found {len(plants) - len(missed)}; missed: {missed}")
    assert len(plants) >= 300
    assert missed == []


def test_the_word_alone_that_it_is_synthetic_lets_nothing_pass(tmp_path: Path) -> None:
    """A real scan with the marks of an export, but other sentences, is judged as any."""
    dataset = objects(record())[0]
    dataset.ImageComments = dataset.ImageComments.replace("made by", "was made by")
    assert own_object(dataset) is None
    assert {"(0010,0010)", "(0018,1000)", "(0020,0010)", "(0020,4000)"} <= {
        one.place for one in found(save(dataset, tmp_path))
    }


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "synthetic-fedcba9876543210"),
        ("PatientID", "synthetic-19610503"),
        ("PatientName", "SYNTHETIC^synthetic-fedcba9876543210"),
        ("PatientName", "SYNTHETIC^QUANDT"),
        ("DeviceSerialNumber", PARENT),
        ("StudyID", "8"),
    ],
)
def test_what_does_not_follow_from_the_comments_is_judged(keyword: str, value: str, tmp_path: Path) -> None:
    dataset = objects(record())[0]
    setattr(dataset, keyword, value)
    assert found(save(dataset, tmp_path))


@pytest.mark.parametrize(
    ("written", "other"),
    [
        ('"age": 61', '"age": 6.1000000000019610503e1'),
        ('"age": 61', '"age": 61e0000019610503'),
        ('"age": 61', '"age":  61'),
        ('"age": 61', '"age": 61, "aged": NaN'),
        ("Seed 3,", "Seed 0019610503,"),
        ("Seed 3,", "Seed \u0663,"),
    ],
)
def test_numbers_are_written_as_the_exporter_writes_them(written: str, other: str) -> None:
    """Else what is read of a number is less than what stands there."""
    dataset = objects(record())[0]
    assert own_object(dataset) is not None
    assert written in dataset.ImageComments
    dataset.ImageComments = dataset.ImageComments.replace(written, other)
    assert own_object(dataset) is None


LISTS = {"export.json": export_list, "sent.json": sent_list}


@pytest.mark.parametrize("name", LISTS)
def test_nothing_is_found_in_the_lists_of_an_export(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(LISTS[name](), indent=2))
    assert found(tmp_path / name) == []
    (tmp_path / "other.json").write_text(json.dumps(LISTS[name](), indent=2))
    assert found(tmp_path / "other.json")


@pytest.mark.parametrize("name", LISTS)
def test_each_identity_in_the_lists_of_an_export_is_found(name: str, tmp_path: Path) -> None:
    plants, missed = list(plants_in_lists(LISTS[name])), []
    for what, content in plants:
        (tmp_path / name).write_bytes(content)
        if not found(tmp_path / name):
            missed.append(what)
    print(f"planted {len(plants)}, found {len(plants) - len(missed)}; missed: {missed}")
    assert len(plants) >= 300
    assert missed == []


@pytest.mark.parametrize("kind", ["CR", "DX", "SC"])
def test_nothing_is_found_in_exported_pictures(kind: str, tmp_path: Path) -> None:
    channel = Channel(path="volumes/000007_image.nii.gz", kind="image", units="grey", sha256=HASH)
    picture = record(channels={"image": channel}, labels={}, geometry=Geometry((4, 3), np.diag([0.2, 0.2, 1.0, 1.0])))
    arrays = {"image": np.arange(12, dtype=np.uint8).reshape(4, 3)}
    for series in sample_series(picture, arrays, GATE, DicomSettings(modality={"image": kind})):
        assert found(save(series.objects[0], tmp_path)) == []
