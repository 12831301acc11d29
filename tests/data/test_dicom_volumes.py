"""Mosaics and series of several volumes: each volume at its place, told by what the scanner says."""

import warnings
from collections import Counter

import numpy as np
import pydicom
import pytest

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_slices import Slice
from medsynth.data.dicom_volumes import split_volumes
from medsynth.geometry import dicom_planes
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.run import ingest
from medsynth.records import CaseRecord, read_records
from tests.data.test_dicom import MR, oblique, write_series
from tests.data.test_dicom_enhanced import slices_in, stored, write_enhanced

TREE = "dicom/dicom2nifti_tests"


# which slices are one volume


def series(*marks, places=3, numbers=None):
    """Slices at `places` for each volume's marks."""
    planes = dicom_planes(oblique(0))[:places]
    count = iter(numbers or range(100))
    return [Slice(None, None, None, plane, None, None, next(count), mark) for mark in marks for plane in planes]


@pytest.mark.parametrize(
    ("marks", "names"),
    [
        ([{"echo": 1.0}], [""]),
        ([{"echo": 1.0}, {"echo": 2.0}], ["echo=1", "echo=2"]),
        ([{"b": 0.0}, {"b": 1000.0, "direction": "1 0 0"}, {"b": 1000.0, "direction": "0 1 0"}], None),
        ([{"echo": 1.0, "image type": "M"}, {"echo": 1.0, "image type": "P"}], ["image type=M", "image type=P"]),
        ([{"acquisition": 1.0, "time": 1.0}, {"acquisition": 2.0, "time": 2.0}], ["time=1", "time=2"]),
        ([{}, {}], ["repetition=1", "repetition=2"]),
        # Two with one name would be one case, and the second refused.
        ([{"acquisition": 20000001.0}, {"acquisition": 20000002.0}], ["acquisition=20000001", "acquisition=20000002"]),
    ],
)
def test_volumes_are_told_by_the_first_mark_that_tells_them(marks, names):
    volumes = split_volumes(series(*marks))
    assert all(len(volume.slices) == 3 for volume in volumes)
    found = [volume.name for volume in volumes]
    assert found == (names or ["b=0", "b=1000 direction=1 0 0", "b=1000 direction=0 1 0"])


def test_what_differs_from_slice_to_slice_splits_nothing():
    one = [part._replace(marks={"cardiac phase": float(k), "echo": 1.0}) for k, part in enumerate(series({}))]
    assert [volume.name for volume in split_volumes(one)] == [""]
    twice = [part._replace(marks={"cardiac phase": float(k)}) for k, part in enumerate(series({}, {}))]
    assert [volume.name for volume in split_volumes(twice)] == ["repetition=1", "repetition=2"]


def test_copies_and_volumes_cut_short_are_not_taken_for_others():
    copies = series({}, {}, numbers=[1, 2, 3, 1, 2, 3])
    assert [len(volume.slices) for volume in split_volumes(copies)] == [6]
    short = series({"time": 1.0}, {"time": 2.0})[:-1]
    assert [len(volume.slices) for volume in split_volumes(short)] == [5]


# real files


@pytest.mark.data
@pytest.mark.parametrize("name", ["12bitSigned_0x0F0F.dcm", "12bitUnsigned.dcm"])
def test_a_siemens_mosaic_lies_where_nibabel_puts_it(test_data, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_file

        path = test_data / "dicom/mr_siemens_12bit_signed" / name
        theirs = wrapper_from_file(path)
        ours = read_dicom([path])
        # Theirs is indexed (row, column, slice) in LPS.
        affine = np.diag([-1, -1, 1, 1]) @ theirs.affine[:, [1, 0, 2, 3]]
        np.testing.assert_allclose(ours.geometry.affine, affine, atol=1e-3)
        assert np.array_equal(ours.array, theirs.get_data().transpose(1, 0, 2))


@pytest.mark.data
def test_a_united_imaging_series_holds_a_volume_for_each_direction(test_data):
    paths = sorted((test_data / "dicom/mr_uih_dti_rotated").iterdir())
    volumes = split_volumes(slices_in(*paths))
    assert Counter(len(volume.slices) for volume in volumes) == {20: 17}
    assert volumes[0].name.startswith("b=1.2")
    assert len({volume.marks["direction"] for volume in volumes[1:]}) == 16
    header = pydicom.dcmread(paths[3], stop_before_pixels=True)
    image = read_dicom([paths[3]])
    for k, frame in enumerate(header[0x0065, 0x1051].value):
        lps = np.diag([-1, -1, 1, 1]) @ image.geometry.affine @ (0, 0, k, 1)
        np.testing.assert_allclose(lps[:3], [float(v) for v in frame.ImagePositionPatient], atol=0.02)
    # Through a head the middle slice is the brightest, and no tile is cut through the middle.
    assert image.array[:, :, 10].mean() > 2 * image.array[:4].mean()


@pytest.mark.data
def test_an_enhanced_philips_file_holds_magnitude_and_field_map(test_data):
    (path,) = (test_data / "dicom/mr_enhanced_philips").iterdir()
    names = [volume.name for volume in split_volumes(slices_in(path))]
    assert len(names) == 2
    magnitude, field = (read_dicom([path], name) for name in names)
    dataset = pydicom.dcmread(path)
    slope = float(dataset.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope)
    np.testing.assert_allclose(magnitude.array, dataset.pixel_array[:32].transpose(2, 1, 0) * slope, rtol=1e-6)
    assert magnitude.geometry.is_close(field.geometry)
    assert field.array.min() < 0 < field.array.max()
    first = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(magnitude.geometry.to_lps().origin, [float(v) for v in first], atol=1e-3)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("ge/dti/001", ["b=0", "b=1000"]),
        ("ge/dti/002", [f"repetition={k}" for k in range(1, 5)]),
        ("ge/fmri/001", ["repetition=1", "repetition=2"]),
        ("siemens/fmri/001", ["acquisition=1", "acquisition=2"]),
    ],
)
def test_real_series_of_several_volumes(test_data, folder, names):
    paths = sorted(path for path in (test_data / TREE / folder).rglob("*") if path.is_file())
    volumes = split_volumes(slices_in(*paths))
    assert [volume.name for volume in volumes] == names
    images = [read_dicom(paths, volume.name) for volume in volumes]
    assert all(image.geometry.is_close(images[0].geometry) for image in images)
    assert len({image.array.tobytes() for image in images}) == len(images)


# through ingest


def test_each_volume_becomes_a_case_of_one_patient(tmp_path):
    """What tells them apart is among their attributes where it is a number; a text of the header is not."""

    def marked(number, name, value):
        def change(dataset, k):
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"1.2.3.{name}", "1.2.3"
            dataset.InstanceNumber = 10 * number + k
            setattr(dataset, {4: "EchoNumbers", 5: "StackID"}[name], value)

        return change

    geometry = oblique(0)
    (tmp_path / "s").mkdir()
    for number, name, value in ((1, 4, 1), (2, 4, 2), (3, 5, "DOE^JANE"), (4, 5, "DOE^JOHN")):
        write_series(tmp_path / "s" / f"folder {number}", geometry, stored(number), marked(number, name, value), MR)
    write_enhanced(tmp_path / "s" / "c" / "x", geometry, [stored(5), stored(6)])
    found = find_cases(tmp_path / "s", layout="auto", patient_pattern=None, modality=None, workers=1)
    assert found.text.startswith("a DICOM tree: 3 series and radiographs in 17 files, of which 6 volumes")
    ingest(tmp_path / "s", tmp_path / "cases", identity="trust", key=tmp_path / "key", workers=1, progress=False)
    records = read_records(tmp_path / "cases" / "cases.jsonl", CaseRecord)
    assert len(records) == 6
    assert len({record.patient for record in records}) == 1
    assert sorted(record.attributes.get("echo", 0) for record in records) == [0, 0, 1, 2, 10, 20]
    assert "DOE" not in (tmp_path / "cases" / "cases.jsonl").read_text()
