"""DICOM series: any oblique grid comes back, values in their units, everything else is refused by name."""

import contextlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import Geometry, dicom_planes

CT, MR, PT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128"))
CR = "1.2.840.10008.5.1.4.1.1.1"


def oblique(seed: int) -> Geometry:
    """On a right-handed grid, as slices in order of their normal make it."""
    rng = np.random.default_rng(seed)
    direction = Rotation.random(rng=rng).as_matrix()
    return Geometry.centred((6, 5, 4), rng.uniform(0.4, 6, 3), direction=direction, centre=rng.uniform(-200, 200, 3))


def write_series(folder: Path, geometry: Geometry, stored, change=None, sop_class=CT) -> list[Path]:
    """Write one file a slice, named in shuffled order."""
    series = generate_uid()
    paths = []
    shuffle = np.random.default_rng(0).permutation(geometry.shape[2])
    for k, plane in enumerate(dicom_planes(geometry)):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = series
        dataset.PatientID = "Nobody"
        dataset.ImageOrientationPatient = [f"{v:.12f}"[:16] for v in plane.orientation]
        dataset.ImagePositionPatient = [f"{v:.12f}"[:16] for v in plane.position]
        dataset.PixelSpacing = [f"{v:.12f}"[:16] for v in plane.pixel_spacing]
        dataset.Rows, dataset.Columns = plane.rows, plane.columns
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, int(stored.dtype.kind == "i")
        if sop_class != MR:
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = stored[:, :, k].T.tobytes()
        folder.mkdir(exist_ok=True)
        path = folder / f"{shuffle[k]:03d}"
        with quiet():
            if change is not None:
                change(dataset, k)
            pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        paths.append(path)
    return sorted(paths)


def values(kind=np.int16, top=3000, shape=(6, 5, 4)):
    return np.random.default_rng(1).integers(0, top, shape).astype(kind)


def setting(**attributes):
    def change(dataset, k):
        for name, value in attributes.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize("seed", range(8))
def test_an_oblique_ct_comes_back_in_hu_where_simpleitk_has_it(tmp_path, seed):
    geometry, stored = oblique(seed), values()
    paths = write_series(tmp_path / "s", geometry, stored)
    image = read_dicom(paths)
    assert (image.units, image.modality, image.array.dtype) == ("HU", "CT", np.int16)
    assert (image.array == stored - 1024).all()
    assert image.geometry.is_close(geometry, 1e-4)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    theirs = reader.Execute()
    np.testing.assert_allclose(theirs.GetOrigin(), image.geometry.to_lps().origin, atol=1e-3)
    np.testing.assert_allclose(theirs.GetSpacing(), image.geometry.to_lps().spacing, atol=1e-3)
    np.testing.assert_allclose(theirs.GetDirection(), image.geometry.to_lps().direction.ravel(), atol=1e-5)
    np.testing.assert_allclose(sitk.GetArrayFromImage(theirs).T, image.array)


def test_each_slice_has_its_own_rescale(tmp_path):
    def rescale(dataset, k):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 * (k + 1), k

    stored = values(np.uint16)
    image = read_dicom(write_series(tmp_path / "s", oblique(0), stored, rescale, PT))
    expected = np.stack([stored[..., k] * 0.5 * (k + 1) + k for k in range(4)], axis=-1)
    np.testing.assert_allclose(image.array, expected)
    assert (image.array.dtype, image.units) == (np.float32, "arbitrary")


def test_whole_numbers_do_not_overflow(tmp_path):
    stored = values(np.uint16, 65536)
    paths = write_series(tmp_path / "s", oblique(0), stored, setting(RescaleSlope="3", RescaleIntercept="-70000"))
    image = read_dicom(paths)
    assert image.array.dtype == np.int32
    assert (image.array == stored.astype(int) * 3 - 70000).all()


@pytest.mark.parametrize(("unit", "expected"), [("BQML", "Bq/ml"), ("GML", "SUV"), ("CNTS", "arbitrary")])
def test_pet_says_its_units(tmp_path, unit, expected):
    paths = write_series(tmp_path / "s", oblique(0), values(), setting(Units=unit), PT)
    assert read_dicom(paths).units == expected


def test_mr_is_arbitrary_and_keeps_large_unsigned_numbers(tmp_path):
    stored = values(np.uint16, 65536)
    image = read_dicom(write_series(tmp_path / "s", oblique(0), stored, sop_class=MR))
    assert (image.units, image.array.dtype) == ("arbitrary", np.uint16)
    assert (image.array == stored).all()


def test_bits_above_bits_stored_do_not_count(tmp_path):
    def twelve(dataset, k):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = ((signed[:, :, k] & 0x0FFF) | 0x5000).astype(np.uint16).T.tobytes()

    signed = values() - np.int16(1500)
    signed = np.clip(signed, -2048, 2047)
    image = read_dicom(write_series(tmp_path / "s", oblique(0), signed, twelve, MR))
    assert (image.array == signed).all()


def test_a_radiograph_is_an_image_and_monochrome1_is_turned(tmp_path):
    def radiograph(dataset, k):
        del dataset.ImageOrientationPatient, dataset.ImagePositionPatient
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelSpacing = [0.2, 0.3]
        dataset.BitsStored, dataset.HighBit, dataset.PhotometricInterpretation = 12, 11, "MONOCHROME1"

    stored = values(np.uint16)
    paths = write_series(tmp_path / "s", oblique(0), stored, radiograph, CR)
    image = read_dicom(paths[:1])
    k = int(np.flatnonzero(np.random.default_rng(0).permutation(4) == 0)[0])
    assert (image.array == 4095 - stored[..., k].astype(int)).all()
    assert image.geometry.spacing == pytest.approx((0.3, 0.2))
    with pytest.raises(UnreadableError, match="several radiographs"):
        read_dicom(paths)


def test_one_slice_is_as_thick_as_it_says(tmp_path):
    paths = write_series(tmp_path / "s", oblique(0), values(), setting(SliceThickness="3.5"))
    assert read_dicom(paths[:1]).geometry.spacing[2] == pytest.approx(3.5)


@pytest.mark.parametrize(("stated", "message"), [(None, "cannot be ruled out"), (0.5, "missing"), (1.0, None)])
def test_two_slices_need_the_headers_word_for_their_gap(tmp_path, stated, message):
    geometry = Geometry.centred((6, 5, 2), (1, 1, 2 * (stated or 1) if message else 1.0), np.diag([-1, -1, 1]))
    paths = write_series(tmp_path / "s", geometry, values(shape=(6, 5, 2)), setting(SpacingBetweenSlices=stated))
    if message is None:
        assert read_dicom(paths).geometry.is_close(geometry)
    else:
        with pytest.raises(GeometryError, match=message):
            read_dicom(paths)


def without(*names):
    def change(dataset, k):
        for name in names:
            delattr(dataset, name)

    return change


def lut(dataset, k):
    dataset.ModalityLUTSequence = [Dataset()]


def deflated(dataset, k):
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def other_position(dataset, k):
    if k == 2:
        dataset.ImagePositionPatient = ["0", "0", "0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting(NumberOfFrames=4), "several frames without functional groups"),
        (
            setting(NumberOfFrames=4, SOPClassUID="1.2.840.10008.5.1.4.1.1.1"),
            "Computed Radiography .* of several frames",
        ),
        (setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), "Basic Text SR Storage is not read yet"),
        (setting(SOPClassUID="1.2.3.4"), "an unknown SOP class"),
        (setting(SOPClassUID="Nobody^Nowhere"), "an unknown SOP class"),
        (setting(SamplesPerPixel=3), "colour"),
        (setting(PhotometricInterpretation="PALETTE COLOR"), "not monochrome"),
        (setting(PhotometricInterpretation="MONOCHROME1"), "a CT volume in MONOCHROME1"),
        (setting(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "a mosaic does not say how many slices it holds"),
        (without("Rows"), "CT Image Storage without its size: the file is cut short"),
        (without("PixelData"), "pixels are missing"),
        (setting(PixelData=b"\0\0"), "pixels are missing, cut short"),
        (without("RescaleSlope"), "CT without a rescale"),
        (setting(RescaleSlope="0"), "rescale is zero"),
        (lut, "Modality LUT"),
        (without("ImagePositionPatient"), "no ImagePositionPatient"),
        (without("ImageOrientationPatient"), "no ImageOrientationPatient"),
        (without("PixelSpacing"), "no PixelSpacing"),
        (setting(ImageOrientationPatient=["1", "0", "0"]), "incomplete"),
        (setting(PixelSpacing=["0", "1"]), "not positive"),
        (other_position, "slices"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_and_in_silence(tmp_path, change, message, capfd):
    paths = write_series(tmp_path / "s", oblique(0), values(), change)
    with pytest.raises((UnreadableError, GeometryError), match=message) as refusal:
        read_dicom(paths)
    assert "Nobody" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.05, 0.4, 0.7, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, share):
    paths = write_series(tmp_path / "s", oblique(0), values())
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: int(share * len(whole))])
    with pytest.raises((UnreadableError, GeometryError)):
        read_dicom(paths)


def test_bytes_at_random_are_refused_and_never_a_traceback(tmp_path):
    paths = write_series(tmp_path / "s", oblique(0), values())
    whole = bytearray(paths[1].read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = whole.copy()
        for place in rng.integers(132, len(broken), 4):
            broken[place] = rng.integers(256)
        paths[1].write_bytes(bytes(broken))
        with contextlib.suppress(UnreadableError, GeometryError):
            read_dicom(paths)
