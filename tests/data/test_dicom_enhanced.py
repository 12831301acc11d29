"""Enhanced multi-frame files: each frame at its place, with its own rescale, in the volume that it belongs to."""

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import slices_of
from medsynth.data.dicom_volumes import split_volumes
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import dicom_planes
from tests.data.test_dicom import oblique

ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"


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
    with pytest.raises(UnreadableError, match="2 volumes in one series, told apart by echo"):
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
