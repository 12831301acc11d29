"""Read back by SimpleITK, pydicom, highdicom and our own reader: values, places, segments; and what must be caught."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.valuerep import DSfloat

from medsynth.data.dicom import read_dicom
from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError
from medsynth.export.dicom_settings import DicomSettings
from medsynth.export.run import export
from medsynth.geometry import Geometry
from tests.export.checks import (
    entity_errors,
    errors,
    files,
    off_by,
    read_highdicom,
    read_itk,
    read_segments,
    series,
)
from tests.export.conftest import PLACES, SHAPE, place

CHANNELS = {"ct": ("HU", "CT"), "mr": ("arbitrary", None), "pet": ("SUV", None), "label": ("label", None)}
FLAT = Geometry.image_plane((13, 9), (0.5, 0.8))


@pytest.fixture(scope="session")
def exported(make_samples, tmp_path_factory):
    """Samples and what was exported of them, by place and settings."""
    known = {}

    def make(name, **settings):
        key = (name, *sorted(settings.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("export")
            make_samples(folder / "samples", place(name), CHANNELS)
            done = DicomSettings(**settings)
            export(folder / "samples", folder / "out", unaudited="i_accept", dicom=done, progress=False)
            known[key] = folder
        return known[key]

    return make


def sample(folder, name):
    return read_nifti(folder / "samples" / "volumes" / f"000000_{name}.nii.gz")


@pytest.mark.parametrize("read", [read_itk, read_highdicom])
@pytest.mark.parametrize("name", PLACES)
def test_voxels_and_places_are_those_of_the_sample(exported, name, read):
    folder = exported(name)
    for number, channel in enumerate(("ct", "mr", "pet"), 1):
        ours = sample(folder, channel)
        paths = next(paths for key, paths in series(folder / "out").items() if key.startswith(f"{number:02d}"))
        value, mm = off_by(ours.array, place(name), *read(paths))
        step = float(pydicom.dcmread(paths[0]).get("RescaleSlope", 1))
        assert value <= (0 if channel == "ct" else 0.51 * step)
        assert mm < 1e-4


@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal"])
def test_another_plane_is_the_same_volume(exported, plane):
    folder = exported("oblique", plane=plane)
    paths = series(folder / "out")["01_CT"]
    assert len(paths) == SHAPE[{"sagittal": 0, "coronal": 1, "axial": 2}[plane]]
    value, mm = off_by(sample(folder, "ct").array, place("oblique"), *read_itk(paths))
    assert value == 0
    assert mm < 1e-4


@pytest.mark.parametrize("name", PLACES)
def test_segments_lie_on_their_image(exported, name):
    folder = exported(name)
    found = series(folder / "out")
    labels = sample(folder, "label").array
    numbers = np.searchsorted([0, 1, 4, 7], labels)
    seg, there = read_segments(found["04_SEG"][0])
    image, here = read_highdicom(found["01_CT"])
    one, other = (pydicom.dcmread(found[key][0]) for key in ("01_CT", "04_SEG"))
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID
    value, mm = off_by(seg, there, numbers, place(name))
    assert value == 0
    assert mm < 1e-4
    assert (seg > 0).sum() == (labels > 0).sum()  # it may leave out empty slices
    assert off_by(seg, there, image, here)[1] < 1e-4


@pytest.mark.parametrize("name", PLACES)
def test_our_own_reader_reads_it(exported, name):
    folder = exported(name)
    for key, units in (("01_CT", "HU"), ("02_MR", "arbitrary"), ("03_PT", "SUV")):
        paths = series(folder / "out")[key]
        image = read_dicom(paths)
        assert image.units == units
        ours = sample(folder, {"HU": "ct", "arbitrary": "mr", "SUV": "pet"}[units]).array
        value, mm = off_by(ours, place(name), image.array, image.geometry)
        assert value <= (0 if units == "HU" else 0.02)
        assert mm < 1e-4


def test_slices_stand_as_radiologists_see_them(exported):
    wanted = {"axial": (1, 0, 0, 0, 1, 0), "sagittal": (0, 1, 0, 0, 0, -1), "coronal": (1, 0, 0, 0, 0, -1)}
    for name, cosines in {**wanted, "ras": wanted["axial"], "left-handed": wanted["axial"]}.items():
        paths = series(exported(name) / "out")["01_CT"]
        slices = [pydicom.dcmread(path) for path in paths]
        assert [float(v) for v in slices[0].ImageOrientationPatient] == list(cosines)
        normal = np.cross(cosines[:3], cosines[3:])
        along = [np.dot(normal, [float(v) for v in one.ImagePositionPatient]) for one in slices]
        assert along == sorted(along)
        assert [one.InstanceNumber for one in slices] == list(range(1, len(slices) + 1))


def test_a_flipped_order_of_slices_is_caught(exported, tmp_path):
    """The control of the tests above: positions exchanged end for end."""
    paths = series(exported("oblique") / "out")["01_CT"]
    slices = [pydicom.dcmread(path) for path in paths]
    for one, place_of in zip(slices, [s.ImagePositionPatient for s in slices][::-1], strict=True):
        one.ImagePositionPatient = list(place_of)
        one.save_as(tmp_path / f"{one.InstanceNumber:05d}.dcm")
    ours = sample(exported("oblique"), "ct").array
    for read in (read_itk, read_highdicom):
        assert off_by(ours, place("oblique"), *read(files(tmp_path)))[0] > 10


@pytest.mark.parametrize("step", [0.35, 2.9])
def test_a_shifted_segmentation_is_caught(exported, tmp_path, step):
    """The control: half a pixel along the rows is seen by the places, a whole slice by the values."""
    folder = exported("oblique")
    numbers = np.searchsorted([0, 1, 4, 7], sample(folder, "label").array)
    dataset = pydicom.dcmread(series(folder / "out")["04_SEG"][0])
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    way = row if step < 1 else np.cross(row, column)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        old = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        frame.PlanePositionSequence[0].ImagePositionPatient = [DSfloat(v, auto_format=True) for v in old + step * way]
    dataset.save_as(tmp_path / "seg.dcm")
    value, mm = off_by(*read_segments(tmp_path / "seg.dcm"), numbers, place("oblique"))
    assert mm > 0.3 if step < 1 else value > 0


@pytest.mark.parametrize("compression", ["rle", "jpeg-ls"])
def test_compressed_without_loss(exported, compression):
    folder = exported("oblique", compression=compression)
    paths = series(folder / "out")["01_CT"]
    assert pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID.is_compressed
    for read in (read_itk, read_highdicom):
        assert off_by(sample(folder, "ct").array, place("oblique"), *read(paths))[0] == 0


@pytest.mark.parametrize(
    ("modality", "spacing"),
    [(None, "NominalScannedPixelSpacing"), ("CR", "ImagerPixelSpacing"), ("DX", "ImagerPixelSpacing")],
)
def test_a_picture_stays_upright_with_its_pixels_size(make_samples, tmp_path, modality, spacing):
    make_samples(tmp_path / "samples", FLAT, {"image": ("grey", modality), "label": ("label", None)})
    export(tmp_path / "samples", tmp_path / "out", unaudited="i_accept", progress=False)
    (image,), (seg,) = series(tmp_path / "out").values()
    dataset = pydicom.dcmread(image)
    ours = sample(tmp_path, "image").array.reshape(13, 9)
    np.testing.assert_array_equal(dataset.pixel_array, ours.T)
    assert [float(v) for v in dataset[spacing].value] == [0.8, 0.5]
    assert "ImagePositionPatient" not in dataset
    theirs, there = read_itk([image])
    np.testing.assert_array_equal(theirs.reshape(13, 9), ours)
    np.testing.assert_allclose(there.spacing[:2], (0.5, 0.8))
    labels = np.searchsorted([0, 1, 4, 7], sample(tmp_path, "label").array.reshape(13, 9))
    found = pydicom.dcmread(seg).pixel_array
    np.testing.assert_array_equal(np.einsum("n,nij->ij", np.arange(1, 4), found.reshape(3, 9, 13)), labels.T)
    if modality is not None:
        np.testing.assert_array_equal(read_dicom([image]).array, ours)


def test_a_turned_picture_is_turned_upright(make_samples, tmp_path):
    """Rows from the patient's left to the right: the picture would hang mirrored."""
    make_samples(tmp_path / "samples", Geometry((13, 9), np.diag([0.5, 0.8, 1, 1])), {"image": ("grey", None)})
    export(tmp_path / "samples", tmp_path / "out", unaudited="i_accept", progress=False)
    found = pydicom.dcmread(files(tmp_path / "out")[0]).pixel_array
    np.testing.assert_array_equal(found, sample(tmp_path, "image").array.reshape(13, 9)[::-1, ::-1].T)


def test_one_slice_of_a_volume_knows_its_place(make_samples, tmp_path):
    flat = Geometry((13, 9), place("oblique").affine)
    make_samples(tmp_path / "samples", flat, {"image": ("HU", "CT")})
    export(tmp_path / "samples", tmp_path / "out", unaudited="i_accept", progress=False)
    ours = sample(tmp_path, "image").array.reshape(13, 9, 1)
    value, mm = off_by(ours, flat.as_volume, *read_itk(files(tmp_path / "out")))
    assert value == 0
    assert mm < 1e-4


needs_validator = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian package dicom3tools)"
)


@needs_validator
@pytest.mark.parametrize("name", ["axial", "sagittal", "coronal", "oblique"])
def test_the_standard_is_kept(exported, name):
    out = exported(name) / "out"
    assert {path.name: errors(path) for path in files(out) if errors(path)} == {}
    assert {key: entity_errors(paths) for key, paths in series(out).items() if entity_errors(paths)} == {}
    assert entity_errors(files(out)) == []


@needs_validator
@pytest.mark.parametrize("modality", [None, "CR", "DX"])
def test_the_standard_is_kept_of_pictures(make_samples, tmp_path, modality):
    make_samples(tmp_path / "samples", FLAT, {"image": ("grey", modality), "label": ("label", None)})
    export(tmp_path / "samples", tmp_path / "out", unaudited="i_accept", progress=False)
    assert [errors(path) for path in files(tmp_path / "out")] == [[], []]


@needs_validator
def test_the_validators_catch_what_is_wrong(exported, tmp_path):
    """Their control: a missing attribute, and slices that disagree on their patient."""
    paths = series(exported("axial") / "out")["01_CT"]
    for path in paths[:2]:
        dataset = pydicom.dcmread(path)
        if path == paths[0]:
            del dataset.KVP
            dataset.PatientName = "SYNTHETIC^other"
        dataset.save_as(tmp_path / path.name)
    assert errors(tmp_path / paths[0].name)
    assert entity_errors(files(tmp_path))


@pytest.mark.parametrize(
    ("channels", "geometry", "said"),
    [
        ({"image": ("grey", None)}, place("axial"), "is a volume and would become SC"),
        ({"image": ("apples", None)}, place("axial"), "its units do not tell"),
        ({"label": ("label", None)}, place("axial"), "it has no image"),
    ],
)
def test_what_fits_no_object_is_refused(make_samples, tmp_path, channels, geometry, said):
    make_samples(tmp_path / "samples", geometry, channels)
    with pytest.raises(MedsynthError, match=f"sample s000000: .*{said}"):
        export(tmp_path / "samples", tmp_path / "out", unaudited="i_accept", progress=False)
