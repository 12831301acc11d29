"""Real scans through ingest: hippocampi, radiographs, a DICOM tree, planted identities."""

import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from medsynth.data.dicom_file import quiet
from medsynth.data.nifti import read_nifti
from tests.ingest.sources import all_text, cases, refusals, run, sources


@pytest.mark.data
def test_real_hippocampi(test_data, tmp_path):
    names = sorted(path.name for path in (test_data / "hippocampus" / "images").iterdir())[:12]
    for folder in ("images", "labels"):
        (tmp_path / "s" / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(test_data / "hippocampus" / folder / name, tmp_path / "s" / folder / name)
    report = run(tmp_path / "s", tmp_path / "out")
    assert (report.cases, report.refused, report.patients, report.presumed) == (12, 0, 12, 12)
    for record in cases(tmp_path / "out"):
        assert dict(record.labels) == {1: "label 1", 2: "label 2"}
        name = f"{sources(report)[record.id]}.nii.gz"
        for channel, folder in (("image", "images"), ("label", "labels")):
            before = nib.load(test_data / "hippocampus" / folder / name)
            after = nib.load(tmp_path / "out" / record.channels[channel].path)
            assert (before.get_fdata() == after.get_fdata()).all()
            np.testing.assert_allclose(before.affine, after.affine, atol=1e-5)


@pytest.mark.data
def test_real_radiographs_by_child(test_data, tmp_path):
    for kind in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "s" / kind).mkdir(parents=True)
        for path in sorted((test_data / "chest_xray" / kind).iterdir())[:20]:
            shutil.copy(path, tmp_path / "s" / kind)
    report = run(tmp_path / "s", tmp_path / "out")
    assert (report.cases, report.refused, report.presumed) == (40, 0, 20)
    for record in cases(tmp_path / "out"):
        presumed = record.attributes["class"] == "NORMAL"
        assert record.patient_source == ("presumed" if presumed else "pattern")
        assert record.channels["image"].units == "grey"
        picture = np.asarray(Image.open(tmp_path / "s" / sources(report)[record.id]))
        assert (read_nifti(tmp_path / "out" / record.channels["image"].path).array == picture.T).all()


@pytest.mark.data
def test_a_real_dicom_tree_refuses_by_name_and_goes_on(test_data, tmp_path):
    report = run(test_data / "dicom", tmp_path / "out", layout="dicom", workers=2)
    assert (report.cases, report.exit_code) == (35, 1)
    assert dict(report.passed) == {"in colour": 1}
    reasons = " ".join(refused["reason"] for refused in refusals(tmp_path / "out"))
    for reason in ("gantry tilt", "missing slices", "uneven", "mixed orientation", "duplicate slices"):
        assert reason in reasons
    for record in cases(tmp_path / "out"):
        assert record.patient_source == "dicom"
        assert (tmp_path / "out" / record.channels["mr"].path).is_file()


@pytest.mark.data
def test_planted_identities_do_not_reach_out(test_data, tmp_path):
    run(test_data / "phi", tmp_path / "out", layout="dicom")
    text = all_text(tmp_path / "out")
    for path in (test_data / "phi").rglob("*.dcm"):
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            for keyword in ("PatientID", "PatientName", "SeriesInstanceUID", "StudyInstanceUID"):
                value = str(header.get(keyword) or "")
                assert not value or value not in text
