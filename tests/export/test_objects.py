"""What the objects say, and their UIDs: marks, gate, twice the same bytes, one UID one content."""

import hashlib
import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from medsynth.export.dicom import encoded, sample_series
from medsynth.export.dicom_origin import patient_id
from medsynth.export.dicom_settings import DicomSettings
from medsynth.export.run import export, read_channels
from medsynth.identity.export_names import EXPORT_FILE
from medsynth.records import SampleRecord, read_records
from tests.export.checks import files
from tests.export.conftest import place

CHANNELS = {"ct": ("HU", "CT"), "mr": ("arbitrary", None), "label": ("label", None)}
PARENT = {"parents": ("cd" * 32,), "patient": "p0123456789abcdef", "split": "train"}


@pytest.fixture
def samples(make_samples, tmp_path):
    return make_samples(tmp_path / "samples", place("oblique"), CHANNELS)


def exported(samples, out, **settings):
    export(samples, out, unaudited="i_accept", dicom=DicomSettings(**settings), progress=False)
    return [pydicom.dcmread(path) for path in files(out)]


def digests(out):
    return {path.relative_to(out): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(out)}


@pytest.mark.parametrize("compression", ["none", "rle", "jpeg-ls"])
def test_twice_gives_the_same_bytes(samples, tmp_path, compression):
    for out in ("one", "two"):
        exported(samples, tmp_path / out, compression=compression)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    one, two = ((tmp_path / out / EXPORT_FILE).read_bytes() for out in ("one", "two"))
    assert one == two


def test_one_uid_never_names_two_contents(samples, tmp_path, make_samples):
    """Over samples, settings and what the gate says; and where only a voxel differs behind one record."""
    contents, groups = defaultdict(set), defaultdict(set)
    choices = [{}, {"date": "20000101"}, {"plane": "coronal"}, {"compression": "rle"}, {"modality": {"mr": "PT"}}]
    for number, choice in enumerate(choices):
        exported(samples, tmp_path / f"out{number}", **choice)
    other = make_samples(tmp_path / "other", place("oblique"), CHANNELS, seed=6)
    exported(other, tmp_path / "out_other")
    for path in files(tmp_path):
        dataset = pydicom.dcmread(path)
        contents[dataset.SOPInstanceUID].add(path.read_bytes())
        for kind in ("Study", "Series"):
            groups[dataset[f"{kind}InstanceUID"].value].add(path.parts[len(tmp_path.parts)])
    assert len(contents) == len(files(tmp_path))
    assert {len(found) for found in contents.values()} == {1}
    assert {len(found) for found in groups.values()} == {1}
    (record,) = read_records(samples / "samples.jsonl", SampleRecord)
    arrays = read_channels(samples, record)
    before = [next(sample_series(record, arrays)).objects, next(sample_series(record, arrays, ("Audit: x",))).objects]
    arrays["ct"] = np.array(arrays["ct"])
    arrays["ct"][0, 0, 0] += 1
    after = next(sample_series(record, arrays)).objects
    changed = [one.SOPInstanceUID != other.SOPInstanceUID for one, other in zip(before[0], after, strict=True)]
    # Slices of two contents in one series would be stacked by an archive; the study is the sample's.
    assert all(changed)
    assert before[0][0].SeriesInstanceUID != after[0].SeriesInstanceUID
    assert before[0][0].StudyInstanceUID == after[0].StudyInstanceUID
    assert not {one.StudyInstanceUID for one in before[0]} & {one.StudyInstanceUID for one in before[1]}


def test_another_version_makes_another_series(samples, monkeypatch):
    """Sent to the archive that has the first, it must not double its slices."""
    (record,) = read_records(samples / "samples.jsonl", SampleRecord)
    arrays = read_channels(samples, record)
    before = list(sample_series(record, arrays))
    monkeypatch.setattr("medsynth.export.dicom_origin.__version__", "9.9.9")
    for one, other in zip(before, sample_series(record, arrays), strict=True):
        assert {o.SeriesInstanceUID for o in one.objects}.isdisjoint({o.SeriesInstanceUID for o in other.objects})
        assert {o.SOPInstanceUID for o in one.objects}.isdisjoint({o.SOPInstanceUID for o in other.objects})
        assert len({o.SeriesInstanceUID for o in other.objects}) == 1


def test_uids_are_well_formed_and_listed(samples, tmp_path):
    found = exported(samples, tmp_path / "out")
    for dataset in found:
        for element in dataset.iterall():
            if element.VR == "UI":
                for one in element.value if isinstance(element.value, list) else [element.value]:
                    assert pydicom.uid.UID(one).is_valid
    listed = json.loads((tmp_path / "out" / EXPORT_FILE).read_text())
    assert listed["schema"] == "medsynth.export/1"
    objects = [one for study in listed["studies"] for series in study["series"] for one in series["objects"]]
    assert {one["uid"] for one in objects} == {dataset.SOPInstanceUID for dataset in found}
    assert {one["path"]: one["sha256"] for one in objects} == {
        path.as_posix(): digest for path, digest in digests(tmp_path / "out").items()
    }


def test_one_sample_is_one_study_of_one_patient(samples, tmp_path):
    found = exported(samples, tmp_path / "out")
    assert len({(one.PatientID, one.PatientName, one.StudyInstanceUID, one.FrameOfReferenceUID) for one in found}) == 1
    assert len({one.SeriesInstanceUID for one in found}) == 3
    assert {one.Modality for one in found} == {"CT", "MR", "SEG"}


def test_every_object_says_what_made_it(samples, tmp_path):
    (record,) = read_records(samples / "samples.jsonl", SampleRecord)
    for dataset in exported(samples, tmp_path / "out"):
        assert dataset.SyntheticData == "YES"
        assert list(dataset.ImageType[:2]) == ["DERIVED", "PRIMARY" if dataset.Modality == "SEG" else "SECONDARY"]
        assert str(dataset.PatientName) == f"SYNTHETIC^synthetic-{record.sha256[:16]}"
        assert dataset.PatientID == f"synthetic-{record.sha256[:16]}"
        assert (dataset.PatientBirthDate, dataset.PatientSex) == ("", "")
        days = {element.value for element in dataset.iterall() if element.VR in ("DA", "DT") and element.value}
        assert days == {"19000101"}
        (item,) = dataset.ContributingEquipmentSequence
        (purpose,) = item.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
        assert purpose.CodeMeaning == "Synthesizing Equipment"
        assert item.DeviceSerialNumber == record.checkpoint
        assert item.SoftwareVersions.startswith("medsynth ")
        for text in (dataset.DerivationDescription, dataset.ImageComments):
            assert record.checkpoint in text
            assert "Seed 5, index 0" in text
            assert json.dumps(dict(record.condition), sort_keys=True) in text
        for text in (item.ContributionDescription, dataset.ImageComments):
            assert "CC-BY-4.0" in text
            assert "Override: unaudited=i_accept" in text
            assert "Audit: NONE" in text


def test_overrides_travel_into_every_object(make_samples, tmp_path):
    samples = make_samples(
        tmp_path / "samples", place("axial"), CHANNELS, overrides=("uncleared=i_accept",), identity="unknown"
    )
    for dataset in exported(samples, tmp_path / "out"):
        for text in (dataset.ContributingEquipmentSequence[0].ContributionDescription, dataset.ImageComments):
            assert "Overrides: uncleared=i_accept." in text
            assert "Identity of the scans behind it: unknown." in text


@pytest.mark.parametrize("highest", [0.5, 1.0, 12.0, 900.0])
def test_windows_of_fractions_are_right_where_every_window_is_read_as_linear(samples, highest):
    """OHIF does not look at VOI LUT Function: a window narrower than a step would be empty (PS3.3 C.11.2.1.2.1)."""
    (record,) = read_records(samples / "samples.jsonl", SampleRecord)
    arrays = read_channels(samples, record)
    arrays["mr"] = (arrays["mr"] / arrays["mr"].max() * highest).astype(np.float32)
    found = next(series for series in sample_series(record, arrays) if series.channel == "mr")
    for dataset in found.objects:
        assert "VOILUTFunction" not in dataset
        assert dataset.WindowWidth >= 1
        low = dataset.WindowCenter - 0.5 - (dataset.WindowWidth - 1) / 2
        high = dataset.WindowCenter - 0.5 + (dataset.WindowWidth - 1) / 2
        above = arrays["mr"][arrays["mr"] > arrays["mr"].min()]
        assert (low, high) == pytest.approx(tuple(np.percentile(above, (1, 99.5))), rel=1e-6, abs=1e-6)


def test_a_derived_sample_is_still_its_patient(make_samples, tmp_path):
    samples = make_samples(tmp_path / "samples", place("axial"), CHANNELS, **PARENT)
    for dataset in exported(samples, tmp_path / "out"):
        assert dataset.PatientID == "p0123456789abcdef"
        assert str(dataset.PatientName) == "SYNTHETIC^p0123456789abcdef^PARTLY REAL"
        assert dataset.StudyDescription == "synthetic in part, medsynth"
        assert dataset.PatientIdentityRemoved == "YES"
        for text in (dataset.DerivationDescription, dataset.ImageComments):
            assert text.startswith("SYNTHETIC IN PART")
            assert "Part of it is real" in text
            assert "cd" * 32 in text


def test_what_is_made_from_nobodys_sample_is_the_same_nobody(make_samples, tmp_path):
    (free,) = read_records(make_samples(tmp_path / "a", place("axial")) / "samples.jsonl", SampleRecord)
    child = replace(free, parents=(free.sha256,), patient=f"synthetic-{free.sha256[:16]}")
    assert patient_id(child) == patient_id(free)
    assert "PARTLY REAL" not in str(next(sample_series(child, read_channels(tmp_path / "a", free))).objects[0])


@pytest.mark.parametrize(
    ("patient", "real"),
    [
        ("p0123456789abcdef.synthetic-01", True),
        ("synthetic-01.p0123456789abcdef", True),
        ("synthetic-01.synthetic-02", False),
    ],
)
def test_one_real_parent_makes_it_partly_real(make_samples, tmp_path, patient, real):
    samples = make_samples(tmp_path / "samples", place("axial", (4, 3, 2)), **{**PARENT, "patient": patient})
    for dataset in exported(samples, tmp_path / "out"):
        assert str(dataset.PatientName).endswith("PARTLY REAL") == real
        assert dataset.DerivationDescription.startswith("SYNTHETIC IN PART") == real


def test_segments_have_codes(samples, tmp_path):
    seg = next(one for one in exported(samples, tmp_path / "out") if one.Modality == "SEG")
    kinds = [one.SegmentedPropertyTypeCodeSequence[0] for one in seg.SegmentSequence]
    assert [(kind.CodeValue, kind.CodingSchemeDesignator) for kind in kinds[:2]] == [
        ("10200004", "SCT"),
        ("64033007", "SCT"),
    ]
    assert kinds[1].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert (kinds[2].CodingSchemeDesignator, kinds[2].CodeMeaning) == ("99MEDSYNTH", "odd _ name")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["liver", "left kidney", "odd _ name"]
    assert seg.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99MEDSYNTH"


def test_an_empty_label_map_is_a_segmentation_of_nothing(make_samples, tmp_path):
    samples = make_samples(tmp_path / "samples", place("axial"), CHANNELS, labels={0: "background", 1: "liver"})
    (record,) = read_records(samples / "samples.jsonl", SampleRecord)
    arrays = {**read_channels(samples, record), "label": np.zeros(record.geometry.shape, np.uint8)}
    *_, seg = sample_series(record, arrays)
    assert not seg.objects[0].pixel_array.any()
    assert encoded(seg.objects[0]) == encoded(list(sample_series(record, arrays))[-1].objects[0])
