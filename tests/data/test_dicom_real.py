"""Every real series at hand: equal to its ground truth, where ITK puts it, or refused with the right reason."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import slices_of
from medsynth.data.dicom_volumes import split_volumes
from medsynth.errors import GeometryError, UnreadableError

TREE = "dicom/dicom2nifti_tests"
REFUSED = {
    f"{TREE}/failing/gantrytilting/001": r"gantry tilt: .* 14\.00 degrees",
    f"{TREE}/failing/slicecount/001": r"missing slices cannot be ruled out: two slices alone, 1\.00 mm apart",
    f"{TREE}/failing/sliceincrement/001": r"missing slices: 1, .* slice gap 10\.00 mm, expected 5\.00",
    f"{TREE}/failing/sliceorientation/001": r"mixed orientation: .* 97\.5 degrees",
    f"{TREE}/generic/rgb/001": "in colour; one grey value a pixel is needed",
    "dicom/ct_ge_tilt_variable_spacing": r"uneven slices: .* 7\.00 mm .*; gantry tilt of 18\.50 degrees",
    # One scan in three encodings, under one Series Instance UID.
    "dicom/mr_siemens_12bit_signed": "duplicate slices: 105 slices at 35 positions",
}
SEVERAL = {
    f"{TREE}/ge/dti/001": 2,
    f"{TREE}/ge/dti/002": 4,
    f"{TREE}/ge/fmri/001": 2,
    f"{TREE}/siemens/fmri/001": 2,
    "dicom/mr_enhanced_philips": 2,
    "dicom/mr_uih_dti_rotated": 17,
}
"""Series of several volumes."""
MOSAICS = {f"{TREE}/siemens/fmri/001", "dicom/mr_uih_dti_rotated"}
"""ITK takes a mosaic for one large slice: compared with nibabel in test_dicom_volumes."""
ONE_RESCALE = {"dicom/mr_enhanced_philips"}
"""Frames with slopes of their own: ITK puts the volumes one behind the other and scales all by the first."""
NOISE = {f"{TREE}/{maker}/anatomical/001_implicit_ground_truth.nii.gz" for maker in ("ge", "generic", "siemens")}
"""Ground truths of series that are not there: the places are those of 001, the voxels other noise."""


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".gz"]


def folders(test_data: Path) -> list[str]:
    """All folders that hold a series, by what lies there: a new one is not forgotten."""
    found = {path.parent for path in (test_data / "dicom").rglob("*") if path.is_file()} - {test_data / "dicom"}
    return sorted(folder.relative_to(test_data).as_posix() for folder in found if files_of(folder))


@pytest.mark.data
def test_every_ground_truth_is_met(test_data):
    truths = sorted((test_data / TREE).rglob("*ground_truth.nii.gz"))
    assert len(truths) == 8
    for truth in truths:
        name = truth.name.removesuffix("_ground_truth.nii.gz").removesuffix("_implicit")
        image = read_dicom(files_of(truth.parent / name))
        expected = nib.as_closest_canonical(nib.load(truth))
        ours = nib.as_closest_canonical(nib.Nifti1Image(image.array.astype(np.float64), image.geometry.affine))
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours.affine, expected.affine, atol=1e-3)
        same = np.float32(ours.get_fdata()) == np.float32(expected.get_fdata())
        assert same.all() or (same.mean() < 0.01 and truth.relative_to(test_data).as_posix() in NOISE)


@pytest.mark.data
@pytest.mark.parametrize("folder", REFUSED)
def test_what_is_no_volume_is_refused_with_its_numbers(test_data, folder):
    with pytest.raises((UnreadableError, GeometryError), match=REFUSED[folder]):
        read_dicom(files_of(test_data / folder))


def itk(paths: list[Path]) -> sitk.Image:
    """ITK's reading of some files of one folder, ordered by its own means; it does not check that the gaps are even."""
    if len(paths) == 1:
        return sitk.ReadImage(str(paths[0]))
    ordered = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(paths[0].parent))
    reader = sitk.ImageSeriesReader()
    reader.SetGlobalWarningDisplay(False)
    reader.SetFileNames([name for name in ordered if Path(name) in paths])
    return reader.Execute()


@pytest.mark.data
def test_every_other_series_is_read_and_lies_where_itk_puts_it(test_data):
    compared = 0
    for folder in folders(test_data):
        if folder in REFUSED:
            continue
        paths = files_of(test_data / folder)
        with quiet():
            volumes = split_volumes([part for path in paths for part in slices_of(path, read_header(path))])
        assert len(volumes) == SEVERAL.get(folder, 1), folder
        for volume in volumes:
            image = read_dicom(paths, volume.name or None)
            assert image.array.shape == image.geometry.shape
            assert image.array.shape[2] == len(volume.slices)
            if folder in MOSAICS:
                continue
            theirs, place = itk(list(dict.fromkeys(part.path for part in volume.slices))), image.geometry.to_lps()
            np.testing.assert_allclose(theirs.GetOrigin(), place.origin, atol=1e-3, err_msg=folder)
            np.testing.assert_allclose(theirs.GetSpacing(), place.spacing, atol=1e-3, err_msg=folder)
            np.testing.assert_allclose(theirs.GetDirection(), place.direction.ravel(), atol=1e-4, err_msg=folder)
            if folder not in ONE_RESCALE:
                assert np.array_equal(np.float32(sitk.GetArrayFromImage(theirs).T), np.float32(image.array)), folder
            compared += 1
    assert compared >= 22
