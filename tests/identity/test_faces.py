"""Faces: a head built from ellipsoids for theory, then real heads, blanked copies and what has no face."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from benchmarks.faces import Volume, part, reordered, resampled, rotation, straight, turned, without, wrongly_named
from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.errors import MedsynthError, UsageError
from medsynth.geometry import Geometry
from medsynth.identity.check import check
from medsynth.identity.check_faces import faces_in_nifti, faces_in_series
from medsynth.identity.faces import Face, blank_face, face_region, find_face
from medsynth.identity.finding import KINDS, Findings, Marker
from tests.data.test_dicom import MR as MR_IMAGE
from tests.data.test_dicom import write_series

MR = {"air": 0, "skin": 900, "bone": 60, "brain": 700}
CT = {"air": -1000, "skin": 40, "bone": 1200, "brain": 35}
GRID = Geometry.centred((96, 108, 112), (2.0, 2.5, 2.5), centre=(0, 0, -25))


def inside(centre, sides) -> np.ndarray:
    index = np.indices(GRID.shape).reshape(3, -1)
    places = (GRID.affine[:3, :3] @ index + GRID.affine[:3, 3:]).T
    return ((((places - centre) / sides) ** 2).sum(1) < 1).reshape(GRID.shape)


BRAIN = inside((0, 0, 0), (65, 83, 71))
FACE = inside((0, 55, -85), (55, 42, 60)) | inside((0, 100, -65), (14, 22, 18))


def head(values=MR, *, skin=True, face=True) -> Volume:
    """Scalp, skull and brain of a head, its neck, and a face with a nose."""
    array = np.full(GRID.shape, values["air"], np.int16)
    if skin:
        if face:
            array[FACE] = values["skin"]
        array[inside((0, -66, -100), (58, 42, 150)) & ~inside((0, 0, 30), (200, 200, 85))] = values["skin"]
        array[inside((0, 0, 0), (78, 96, 84))] = values["skin"]
        array[inside((0, 0, 0), (72, 90, 78))] = values["bone"]
    array[BRAIN] = values["brain"]
    return Volume(array, GRID)


def found(volume: Volume) -> str | None:
    face = find_face(*volume)
    return None if face is None else face.why


@pytest.mark.parametrize("values", [MR, CT], ids=["MR", "CT"])
def test_a_face_is_found_and_blanked_and_the_brain_is_kept(values) -> None:
    volume = head(values)
    face = find_face(*volume)
    assert face is not None
    assert face.why == "seen"
    region = face_region(GRID, face)
    assert not (region & BRAIN).any()
    in_front = FACE & ~inside((0, 0, 0), (78, 96, 84))
    assert (region & in_front).sum() > 0.8 * in_front.sum()
    blanked = blank_face(*volume, face)
    assert blanked.dtype == volume.array.dtype
    assert (blanked[region] == values["air"]).all()
    np.testing.assert_array_equal(blanked[~region], volume.array[~region])
    assert find_face(blanked, GRID) is None


def test_no_face_no_finding() -> None:
    assert found(head(face=False)) is None
    assert found(head(skin=False)) is None
    assert found(part(head(skin=False), (0, 0, 0), (0, 0, 40))) is None  # no skull, so no head whose top is cut off
    assert found(Volume(np.zeros(GRID.shape, np.uint8), GRID)) is None


def test_what_a_brain_cannot_be_is_a_head_without_a_skull_too() -> None:
    volume = head()
    volume.array[volume.array == MR["bone"]] = MR["brain"]
    assert found(volume) == "unplaced"
    volume.array[BRAIN] = MR["air"]  # as in angiography
    assert found(volume) == "unplaced"


def test_where_the_face_cannot_be_placed_it_is_a_finding() -> None:
    assert found(part(head(), (0, 0, 0), (0, 0, 50))) == "cut"
    said = [found(one) for one in list(wrongly_named(head()))[1:24:11]]
    assert None not in said
    assert "turned" in said


def test_a_head_on_any_grid_is_the_same_head() -> None:
    volumes = [*list(reordered(head()))[17:18], *(resampled(head(), 3.0, rotation(axis, 30)) for axis in (0,))]
    assert [found(one) for one in volumes] == ["seen"] * len(volumes)
    assert found(turned(head(), rotation(0, 30))) == "seen"


def test_what_is_not_looked_at() -> None:
    array, geometry = head()
    assert find_face(array, geometry, modality="PT") is None
    assert found(part(Volume(array, geometry), (60, 0, 0), (60, 0, 0))) is None  # a slab of less than 40 mm
    long = np.diag([50.0, 50, 50, 1])
    assert found(Volume(array, Geometry(array.shape, long))) == "size"


def test_voxels_that_are_no_numbers_do_not_hide_a_face() -> None:
    array = head().array.astype(np.float32)
    array[:2], array[-2:] = np.nan, np.inf
    assert found(Volume(array, GRID)) == "seen"
    with pytest.raises(ValueError, match="no real numbers"):
        find_face(array.astype(complex), GRID)
    with pytest.raises(ValueError, match="not on a grid"):
        find_face(array[1:], GRID)


def test_what_was_not_placed_is_not_blanked() -> None:
    with pytest.raises(MedsynthError, match="without its top"):
        blank_face(*head(), Face(why="cut"))
    with pytest.raises(MedsynthError, match="still found"):
        blank_face(*head(), Face(why="seen", planes=((0.0, 1.0, 0.0, 110.0),)))
    with pytest.raises(ValueError, match="no reason"):
        Face(why="maybe")


def test_check_says_so(tmp_path: Path) -> None:
    for name, volume in {"whole": head(), "faceless": head(face=False)}.items():
        write_nifti(tmp_path / name / "volume.nii.gz", *volume)
    assert check(tmp_path / "faceless", progress=False).content["clean"]
    (finding,) = check(tmp_path / "whole", progress=False).content["findings"]
    assert (finding["kind"], finding["place"]) == ("face", "voxels: seen")
    assert "face" in KINDS
    assert check(tmp_path / "whole", faces="skip", progress=False).content["clean"]
    with pytest.raises(UsageError, match="look or skip"):
        check(tmp_path / "whole", faces="maybe", progress=False)


@pytest.mark.parametrize("modality", ["", "OT", "SC", None])
def test_a_series_that_does_not_say_its_modality_is_looked_at(modality: str | None, tmp_path: Path) -> None:
    def say(dataset: Dataset, _: int) -> None:
        if modality is not None:
            dataset.Modality = modality

    write_series(tmp_path / "series", GRID, head().array, say, sop_class=MR_IMAGE)
    (finding,) = faces_in_series(list(enumerate(sorted((tmp_path / "series").iterdir()))))
    assert (finding.kind, finding.place) == ("face", "series: seen")


def test_a_head_in_metres_is_as_large_as_one_in_millimetres(tmp_path: Path) -> None:
    array, geometry = head()
    image = nib.Nifti1Image(array, np.diag([0.001, 0.001, 0.001, 1]) @ geometry.affine)
    image.header.set_xyzt_units("meter")
    findings = Findings(Marker())
    nib.save(image, tmp_path / "volume.nii")
    faces_in_nifti(tmp_path / "volume.nii", findings)
    assert [finding.place for finding in findings] == ["voxels: seen"]


@pytest.fixture(scope="module")
def ixi(test_data: Path) -> Volume:
    return straight(Volume(*read_nifti(test_data / "heads" / "ixi_small" / "IXI012-HH-1211_T1.nii.gz")))


@pytest.fixture(scope="module", params=["ixi_small/IXI012-HH-1211_T1", "ixi_small/IXI015-HH-1258_T1", "colin27/ch2"])
def real(request, test_data: Path) -> Volume:
    return Volume(*read_nifti(test_data / "heads" / f"{request.param}.nii.gz"))


def test_real_faces_are_found_and_blanked(real: Volume, test_data: Path) -> None:
    face = find_face(*real)
    assert face is not None
    assert face.why == "seen"
    blanked = blank_face(*real, face)
    assert find_face(blanked, real.geometry) is None
    stripped = read_nifti(test_data / "heads" / "colin27" / "ch2bet.nii.gz").array
    if stripped.shape == blanked.shape:
        assert not ((blanked != real.array) & (stripped > 0)).any()
        assert find_face(stripped, real.geometry) is None


def test_half_a_face_is_a_face(ixi: Volume) -> None:
    assert found(without(ixi, 80, 120)) == "seen"
    assert found(part(ixi, (0, 0, 0), (0, 0, 60))) == "cut"


def test_a_head_on_its_side_is_a_finding_although_its_brain_looks_to_the_front(ixi: Volume) -> None:
    array, geometry = ixi
    lying = array.transpose(2, 1, 0)
    assert found(Volume(lying, Geometry(lying.shape, np.diag([*geometry.spacing[::-1], 1.0])))) == "turned"


def test_no_hippocampus_is_a_face(test_data: Path) -> None:
    paths = sorted((test_data / "hippocampus" / "images").glob("*.nii.gz"))
    assert len(paths) >= 200
    assert not any(find_face(*read_nifti(path)) for path in paths[::40])


def test_a_series_that_is_refused_as_a_volume_is_looked_at(test_data: Path) -> None:
    """Real CT of a head, the gantry tilted, gaps uneven; its top lies outside."""
    files = list(enumerate(sorted((test_data / "dicom" / "ct_ge_tilt_variable_spacing").glob("*.dcm"))))
    (finding,) = faces_in_series(files)
    assert (finding.kind, finding.place, finding.file) == ("face", "series: cut", 0)
    assert faces_in_series(files[:6]) == []
