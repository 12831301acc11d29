"""Enhanced files, mosaics, and series of several volumes: each volume at its place, told by what the scanner says."""

import warnings
from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import Slice, slices_of
from medsynth.data.dicom_volumes import split_volumes
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import dicom_planes
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.run import ingest
from medsynth.records import CaseRecord, read_records
from tests.data.test_dicom import MR, oblique, write_series

ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"
TREE = "dicom/dicom2nifti_tests"


def item(**values):
    part = Dataset()
    for name, value in values.items():
        setattr(part, name, value)
    return part


def write_enhanced(path, geometry, volumes, sop_class=ENHANCED_MR, shared=True, change=None):
    """One file of several volumes (echoes), its frames in shuffled order, each with a slope of its own."""
    planes = dicom_planes(geometry)
    frames = [(echo, k) for echo in range(len(volumes)) for k in range(len(planes))]
    frames = [frames[place] for place in np.random.default_rng(1).permutation(len(frames))]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.PatientID = generate_uid(), generate_uid(), "Nobody"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = planes[0].rows, planes[0].columns, len(frames)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    measures = item(PixelSpacing=[f"{v:.12f}"[:16] for v in planes[0].pixel_spacing], SliceThickness="9")
    turned = item(ImageOrientationPatient=[f"{v:.12f}"[:16] for v in planes[0].orientation])
    groups = []
    for echo, k in frames:
        group = item(
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1)],
            PlanePositionSequence=[item(ImagePositionPatient=[f"{v:.12f}"[:16] for v in planes[k].position])],
            MREchoSequence=[item(EffectiveEchoTime=10.0 * (echo + 1))],
            PixelValueTransformationSequence=[item(RescaleSlope=k + 1, RescaleIntercept=-echo)],
        )
        if not shared:
            group.PixelMeasuresSequence, group.PlaneOrientationSequence = [measures], [turned]
        groups.append(group)
    common = item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[turned]) if shared else Dataset()
    dataset.SharedFunctionalGroupsSequence = [common]
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.PixelData = b"".join(volumes[echo][:, :, k].T.tobytes() for echo, k in frames)
    if change is not None:
        change(dataset)
    path.parent.mkdir(exist_ok=True)
    with quiet():
        dataset.save_as(path, enforce_file_format=True)
    return path


def stored(seed=0, shape=(6, 5, 4)):
    return np.random.default_rng(seed).integers(-300, 300, shape).astype(np.int16)


def slices_in(*paths):
    with quiet():
        return [part for path in paths for part in slices_of(path, read_header(path))]


@pytest.mark.parametrize("shared", [True, False])
def test_an_enhanced_file_holds_its_volumes_by_echo_each_frame_with_its_own_rescale(tmp_path, shared):
    geometry, volumes = oblique(3), [stored(0), stored(1)]
    path = write_enhanced(tmp_path / "e" / "x", geometry, volumes, shared=shared)
    assert {volume.name: len(volume.slices) for volume in split_volumes(slices_in(path))} == {
        "echo=10": 4,
        "echo=20": 4,
    }
    for echo, volume in enumerate(volumes):
        image = read_dicom([path], f"echo={10 * (echo + 1)}")
        assert image.geometry.is_close(geometry, 1e-4)
        expected = volume.astype(float) * np.arange(1, 5) - echo
        assert np.array_equal(image.array, expected)
        assert (image.units, image.modality) == ("arbitrary", "MR")
    with pytest.raises(UnreadableError, match="2 volumes in one series, the first echo="):
        read_dicom([path])
    with pytest.raises(UnreadableError, match="no longer has the volume"):
        read_dicom([path], "echo=30")


def test_an_enhanced_ct_is_in_hu(tmp_path):
    path = write_enhanced(tmp_path / "e" / "x", oblique(0), [stored()], ENHANCED_CT)
    image = read_dicom([path])
    assert (image.units, image.modality) == ("HU", "CT")
    assert np.array_equal(image.array, stored() * np.arange(1, 5))


ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"


@pytest.mark.parametrize(
    ("sop_class", "kind", "code", "slope", "expected"),
    [
        (ENHANCED_CT, "HU", None, None, "HU"),
        (ENHANCED_CT, "US", None, None, "arbitrary"),
        (ENHANCED_PET, "US", "Bq/ml", 1, "Bq/ml"),
        (ENHANCED_PET, "US", "g/ml{SUVbw}", 1, "SUV"),
        (ENHANCED_PET, "US", "Bq/ml", 2, "arbitrary"),  # the unit is that of other numbers
        (ENHANCED_PET, None, None, None, "arbitrary"),
    ],
)
def test_units_of_an_enhanced_file_are_those_of_its_own_rescale(tmp_path, sop_class, kind, code, slope, expected):
    def told(dataset):
        for k, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            (transform,) = group.PixelValueTransformationSequence
            if kind:
                transform.RescaleType = kind
            if code:
                group.RealWorldValueMappingSequence = [
                    item(
                        RealWorldValueSlope=float(transform.RescaleSlope) * slope,
                        RealWorldValueIntercept=float(transform.RescaleIntercept),
                        MeasurementUnitsCodeSequence=[item(CodeValue=code)],
                    )
                ]
            assert k < 4

    image = read_dicom([write_enhanced(tmp_path / "e" / "x", oblique(0), [stored()], sop_class, change=told)])
    assert image.units == expected


def test_the_stacks_of_a_localiser_are_volumes_and_without_stacks_it_is_refused(tmp_path):
    """Three planes in one file: each stack has places and an orientation of its own."""
    grids = [oblique(k) for k in (3, 4, 5)]
    planes = [plane for grid in grids for plane in dicom_planes(grid)]

    def turned(named):
        def change(dataset):
            for k, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
                group.FrameContentSequence[0].StackID = str(1 + k // 4) if named else "1"
                group.PlanePositionSequence[0].ImagePositionPatient = [f"{v:.12f}"[:16] for v in planes[k].position]
                turn = [f"{v:.12f}"[:16] for v in planes[k].orientation]
                group.PlaneOrientationSequence = [item(ImageOrientationPatient=turn)]
                del group.MREchoSequence
            del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence

        return change

    volumes = [stored(k) for k in range(3)]
    path = write_enhanced(tmp_path / "e" / "x", grids[0], volumes, change=turned(True))
    found = split_volumes(slices_in(path))
    assert [volume.name for volume in found] == ["stack=1", "stack=2", "stack=3"]
    for grid, volume in zip(grids, found, strict=True):
        direction = read_dicom([path], volume.name).geometry.direction
        np.testing.assert_allclose(direction, grid.direction, atol=1e-6)
    path = write_enhanced(tmp_path / "e" / "y", grids[0], volumes, change=turned(False))
    with pytest.raises(GeometryError, match="mixed orientation: slices differ by"):
        read_dicom([path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: setattr(d, "NumberOfFrames", 5), "do not fit the number of frames"),
        (lambda d: delattr(d.PerFrameFunctionalGroupsSequence[2], "PlanePositionSequence"), "no ImagePositionPatient"),
        (lambda d: delattr(d.SharedFunctionalGroupsSequence[0], "PixelMeasuresSequence"), "no PixelSpacing"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:100]), "pixels are missing, cut short"),
    ],
)
def test_an_enhanced_file_that_is_not_whole_is_refused(tmp_path, change, message):
    path = write_enhanced(tmp_path / "e" / "x", oblique(0), [stored()], change=change)
    with pytest.raises((UnreadableError, GeometryError), match=message):
        read_dicom([path])


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
