"""Records: read back as written, and anything else refused."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from medsynth.errors import GeometryError, MedsynthError
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel, SampleRecord, read_records, write_records

GRID = Geometry.centred((4, 5, 6), (0.1, 1 / 3, 2.5), centre=(1e-7, 2.0, -3.3))
CHANNEL = Channel(path="volumes/a.nii.gz", kind="image", units="HU", sha256="a" * 64, modality="CT")
CASE = CaseRecord(
    id="c1",
    patient="p1",
    patient_source="dicom",
    identity="trusted",
    channels={"ct": CHANNEL, "label": replace(CHANNEL, path="volumes/l.nii.gz", kind="label", units="label")},
    geometry=GRID,
    labels={0: "background", 7: "liver"},
    attributes={"class": "a", "age": 63.5, "seen": True, "n": 0, "none": None},
    licence="CC-BY-4.0",
    split="test",
)
SAMPLE = SampleRecord(
    id="s1",
    index=3,
    seed=0,
    condition={"class": "a"},
    sampler={"name": "heun", "steps": 18},
    channels={"ct": CHANNEL},
    geometry=GRID,
    checkpoint="b" * 64,
    identity="trusted",
    overrides=("identity=trust",),
)


@pytest.mark.parametrize("record", [CASE, SAMPLE])
def test_round_trip(record, tmp_path):
    write_records(tmp_path / "r.jsonl", [record, replace(record, id="other")])
    first, second = read_records(tmp_path / "r.jsonl", type(record))
    assert first.to_json() == record.to_json()
    assert np.array_equal(first.geometry.affine, GRID.affine)  # every bit of a third
    assert first.labels == record.labels
    assert second.id == "other"
    for again in (pickle.loads(pickle.dumps(record)), copy.deepcopy(record)):
        assert again.to_json() == record.to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"id": "c2"},
        {"patient": "p2"},
        {"patient_source": "presumed"},
        {"identity": "cleared"},
        {"channels": {"ct": replace(CHANNEL, sha256="c" * 64)}},
        {"channels": {"mr": CHANNEL, "label": CASE.channels["label"]}},
        {"geometry": Geometry.centred((4, 5, 6), (0.1, 1 / 3, 2.5), centre=(2e-7, 2.0, -3.3))},
        {"labels": {0: "background", 7: "spleen"}},
        {"attributes": {"class": "b"}},
        {"licence": None},
        {"split": None},
    ],
)
def test_the_hash_follows_every_field(change):
    assert replace(CASE, **change).sha256 != CASE.sha256


@pytest.mark.parametrize("field", ["id", "index", "seed", "condition", "sampler", "checkpoint", "overrides"])
def test_an_altered_line_is_refused(field, tmp_path):
    content = SAMPLE.to_json()
    content[field] = {"id": "s2", "index": 4, "seed": 1, "checkpoint": "c" * 64, "overrides": []}.get(field, {"x": 1})
    (tmp_path / "samples.jsonl").write_text(json.dumps(content) + "\n")
    with pytest.raises(MedsynthError, match=r"samples\.jsonl line 1: its content hash does not fit"):
        read_records(tmp_path / "samples.jsonl", SampleRecord)


def test_unknown_and_missing_fields_are_refused(tmp_path):
    for content, said in (
        ({**CASE.to_json(), "name": "Doe"}, "does not know"),
        ({key: value for key, value in CASE.to_json().items() if key != "patient"}, "no whole record"),
        ({**CASE.to_json(), "schema": "medsynth.case/2"}, "another version"),
        ({**CASE.to_json(), "channels": {"ct": {**CASE.to_json()["channels"]["ct"], "x": 1}}}, "no whole record"),
        ({**CASE.to_json(), "channels": 3}, "no whole record"),
        ([], "no whole record"),
        (None, "no whole record"),
    ):
        (tmp_path / "cases.jsonl").write_text(json.dumps(content) + "\n")
        with pytest.raises(MedsynthError, match=said) as refused:
            read_records(tmp_path / "cases.jsonl", CaseRecord)
        assert "Doe" not in str(refused.value)
    with pytest.raises((MedsynthError, GeometryError)):
        CaseRecord.from_json({**CASE.to_json(), "geometry": {**GRID.to_record(), "unit": "mm"}})


def test_files_that_are_no_records(tmp_path):
    path = tmp_path / "cases.jsonl"
    with pytest.raises(MedsynthError, match="`medsynth ingest` finished"):
        read_records(path, CaseRecord)
    for content, said in ((b"", "holds no record"), (b"\xff\xfe", "as text"), (b"{", "line 1: it is no whole record")):
        path.write_bytes(content)
        with pytest.raises(MedsynthError, match=said):
            read_records(path, CaseRecord)
    write_records(path, [CASE])
    path.write_text(path.read_text()[:-20])
    with pytest.raises(MedsynthError, match="line 1"):
        read_records(path, CaseRecord)
    write_records(path, [CASE, CASE])
    with pytest.raises(MedsynthError, match="an id twice"):
        read_records(path, CaseRecord)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\0b"])
def test_paths_that_lead_out_are_refused(path):
    with pytest.raises(MedsynthError, match="path"):
        replace(CHANNEL, path=path)


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "a\n", "é", "a" * 65])
def test_names_that_are_more_than_names_are_refused(name):
    for change in ({"id": name}, {"patient": name}, {"channels": {name: CHANNEL}}):
        with pytest.raises(MedsynthError):
            replace(CASE, **change)


def test_a_sample_with_parents_is_a_patients(tmp_path):
    derived = replace(SAMPLE, parents=("d" * 64,), patient="p1", split="test")
    assert SampleRecord.from_json(derived.to_json()).to_json() == derived.to_json()
    for change in ({"parents": ()}, {"patient": None}):
        with pytest.raises(MedsynthError, match="exactly when it has parents"):
            replace(derived, **change)
    with pytest.raises(MedsynthError, match="inherits a split"):
        replace(SAMPLE, split="train")


def test_records_cannot_be_changed():
    with pytest.raises(TypeError):
        CASE.attributes["class"] = "b"
    with pytest.raises(AttributeError):
        CASE.patient = "p2"
