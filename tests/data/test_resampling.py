"""Resampling: every voxel keeps its place in the patient, label maps stay on their image."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.data.resampling import Intensity, Resampling, SlicePlan, read_case, resample
from medsynth.errors import MedsynthError
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, read_records
from tests.conftest import oblique_affine

SLOPE = np.array([1.0, 2.0, -0.5])
OUTSIDE = -9999.0


def places(geometry):
    """(3, *shape) RAS mm of every voxel."""
    index = np.zeros((3, *geometry.shape))
    index[: geometry.rank] = np.indices(geometry.shape)
    return np.einsum("ij,j...->i...", geometry.affine[:3, :3], index) + geometry.affine[:3, 3].reshape(
        3, *(1,) * geometry.rank
    )


def ramp(geometry):
    """A field that is linear in space: linear interpolation gives it back exactly."""
    return np.einsum("i,i...->...", SLOPE, places(geometry))


def turned(flips=(1, 1, 1), order=(0, 1, 2)):
    affine = oblique_affine(degrees=12)
    affine[:3, :3] = (affine[:3, :3] * np.array(flips))[:, list(order)]
    return Geometry((21, 18, 15), affine)


NATIVES = [turned(), turned((-1, 1, 1)), turned((-1, -1, 1)), turned((1, -1, -1), (2, 0, 1)), turned(order=(1, 0, 2))]


@pytest.mark.parametrize("native", NATIVES)
@pytest.mark.parametrize(
    ("orientation", "spacing", "size"),
    [
        ("RAS", None, (16, 16, 16)),  # crops and pads odd and even sides
        ("LPS", None, (15, 17, 19)),
        ("RAS", (1.0, 1.0, 1.0), (12, 13, 14)),
        ("PIR", (0.7, 1.3, 0.9), (12, 13, 14)),
        (None, (0.9, 0.9, 0.9), (11, 12, 13)),
        (None, None, (30, 30, 30)),
    ],
)
def test_every_voxel_keeps_its_place(native, orientation, spacing, size):
    plan = Resampling(orientation=orientation, spacing=spacing, size=size)
    result = resample(ramp(native), native, plan, label=False, fill=OUTSIDE)
    assert result.array.shape == result.geometry.shape == size
    if orientation:
        assert result.geometry.axcodes == orientation
    if spacing:
        assert result.geometry.spacing == pytest.approx(spacing, abs=1e-6)
    inside = result.array != OUTSIDE
    assert inside.sum() > 500
    assert np.abs(result.array - ramp(result.geometry))[inside].max() < 1e-3
    assert np.linalg.norm(result.geometry.centre - native.centre) < 1.5 * max(native.spacing) + max(
        result.geometry.spacing
    )


@pytest.mark.parametrize("native", NATIVES[:2])
def test_as_simpleitk_does(native, tmp_path):
    """The same grid asked of SimpleITK's linear interpolation holds the same values."""
    array = np.random.default_rng(0).normal(size=native.shape).astype(np.float32)
    plan = Resampling(orientation="RAS", spacing=(0.8, 1.2, 2.0), size=(14, 12, 10))
    result = resample(array, native, plan, label=False, fill=OUTSIDE)
    write_nifti(tmp_path / "a.nii.gz", array, native)
    place = result.geometry.to_lps()
    expected = sitk.Resample(
        sitk.ReadImage(str(tmp_path / "a.nii.gz")), result.geometry.shape, sitk.Transform(), sitk.sitkLinear,
        place.origin.tolist(), place.spacing.tolist(), place.direction.ravel().tolist(), OUTSIDE,
    )  # fmt: skip
    there = sitk.GetArrayFromImage(expected).transpose()
    both = (there != OUTSIDE) & (result.array != OUTSIDE)
    assert both.mean() > 0.9
    assert np.abs(there - result.array)[both].max() < 1e-3


@pytest.mark.parametrize("native", NATIVES)
def test_a_label_stays_on_its_image(native):
    """A half space: the label is 1 exactly where the image, interpolated, is above the plane."""
    field = ramp(native) - SLOPE @ native.centre
    plan = Resampling(orientation="RAS", spacing=(0.8, 0.9, 1.1), size=(16, 16, 16))
    image = resample(field, native, plan, label=False, fill=OUTSIDE)
    label = resample((field > 0) * 3, native, plan, label=True, fill=0)
    assert image.geometry.is_close(label.geometry)
    assert set(np.unique(label.array)) == {0.0, 3.0}
    half_voxel = np.abs(SLOPE @ native.affine[:3, :3]).sum() / 2 + 1e-3
    sure = (np.abs(image.array) > half_voxel) & (image.array != OUTSIDE)
    assert sure.mean() > 0.3
    assert ((label.array[sure] == 3) == (image.array[sure] > 0)).all()


def test_smoothing_is_that_of_larger_voxels_and_bends_no_edge():
    native = Geometry.centred((60, 60, 60), (1, 1, 1))
    coarse = Resampling(orientation="RAS", spacing=(4.0, 4.0, 4.0), size=(15, 15, 15))
    flat = resample(np.full(native.shape, -1000.0), native, coarse, label=False, fill=-1000)
    assert np.abs(flat.array + 1000).max() < 1e-2  # no zeros from beyond the edge
    noise = np.random.default_rng(0).normal(size=native.shape)
    kept = resample(noise, native, coarse, label=False, fill=0).array[2:-2, 2:-2, 2:-2]
    sigma = np.sqrt(15 / (8 * np.log(2)))  # Cardoso et al. 2015: FWHM 4 mm from FWHM 1 mm
    assert kept.std() == pytest.approx((4 * np.pi * sigma**2) ** -0.75, rel=0.1)
    unsmoothed = resample(noise, native, coarse, label=True, fill=0).array
    assert unsmoothed.std() == pytest.approx(1, rel=0.1)


def test_a_grid_that_fits_is_not_interpolated():
    native = Geometry((8, 8, 8), oblique_affine())
    array = np.random.default_rng(0).integers(-1000, 1000, native.shape).astype(np.int16)
    plan = Resampling(orientation="RAS", spacing=native.spacing, size=(8, 8, 8))
    result = resample(array, native, plan, label=False, fill=0)
    assert np.array_equal(result.array, array)
    assert result.geometry.is_close(native)


@pytest.mark.parametrize("side", [3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("wanted", [4, 5, 6])
def test_a_margin_moves_nothing(side, wanted):
    native = Geometry.centred((side,) * 3, (1, 1, 1))
    array = np.random.default_rng(0).normal(size=native.shape)
    plain = Resampling(orientation=None, spacing=None, size=(wanted,) * 3)
    small = resample(array, native, plain, label=False, fill=0)
    large = resample(array, native, replace(plain, size=(wanted + 4,) * 3), label=False, fill=0)
    assert np.array_equal(large.array[2:-2, 2:-2, 2:-2], small.array)
    assert np.abs(small.geometry.centre - native.centre).max() <= 0.5


@pytest.mark.parametrize("plane", ["x-y", "coronal"])
def test_pictures(plane):
    native = Geometry.image_plane((21, 18), (0.5, 0.75))
    if plane == "coronal":
        native = Geometry((21, 18), np.array([[0.5, 0, 0, 1], [0, 0, 1, 2], [0, -0.75, 0, 3], [0, 0, 0, 1]]))
    for spacing, size in ((None, (16, 20)), ((0.4, 0.6), (20, 20))):
        plan = Resampling(orientation="RAS", spacing=spacing, size=size)
        result = resample(ramp(native), native, plan, label=False, fill=OUTSIDE)
        inside = result.array != OUTSIDE
        assert inside.mean() > 0.7
        assert np.abs(result.array - ramp(result.geometry))[inside].max() < 1e-3
        assert result.geometry.spacing == pytest.approx(spacing or native.spacing)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_slice_keeps_its_place(plane):
    native = turned((-1, 1, -1))
    slices = SlicePlan(plane=plane, low=0.2, high=0.8, step=2)
    plan = Resampling(orientation="RAS", spacing=(0.9, 0.9, 0.9), size=(12, 10), slices=slices)
    result = resample(ramp(native), native, plan, label=False, fill=OUTSIDE)
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    assert [side for a, side in enumerate(result.array.shape) if a != axis] == [12, 10]
    for position in slices.positions(result.array.shape):
        cut, place = slices.cut(result.array, position), slices.plane_geometry(result.geometry, position)
        assert cut.shape == place.shape == (12, 10)
        assert np.abs(cut - ramp(place)).max() < 1e-3
        normal = place.direction[:, 2]
        assert abs(normal[axis]) > 0.9


def test_positions_of_slices():
    assert list(SlicePlan(plane="axial", low=0.25, high=0.75).positions((4, 4, 8))) == [2, 3, 4, 5]
    assert list(SlicePlan(plane="coronal", step=3).positions((4, 8, 4))) == [0, 3, 6]
    assert list(SlicePlan(plane="sagittal", low=0.5, high=0.51).positions((10, 4, 4))) == [5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spacing": (1.0, 1.0)}, "spacing has 2 values, the scans have 3 axes"),
        ({"spacing": (1.0,)}, "spacing has 1 values"),
        ({"size": (4, 4)}, "size has 2 sides, the scans have 3 axes"),
        ({"size": (0, 4, 4)}, "positive"),
        ({"spacing": (1.0, -1.0, 1.0)}, "positive"),
        ({"spacing": ()}, "positive"),
        ({"orientation": "FOO"}, "orientation names one of"),
        ({"orientation": "RLS"}, "orientation names one of"),
        ({"orientation": "RA"}, "orientation names one of"),
        ({"slices": SlicePlan(plane="axial")}, "size then has two sides"),
        ({"slices": SlicePlan(plane="axial"), "size": (4, 4), "orientation": None}, "needs orientation=RAS"),
        ({"slices": SlicePlan(plane="axial"), "size": (4, 4), "orientation": "SRA"}, "needs orientation=RAS"),
    ],
)
def test_plans_that_do_not_fit(change, said):
    native = turned()
    with pytest.raises(MedsynthError, match=said):
        resample(ramp(native), native, Resampling(**{"orientation": "RAS", "spacing": None, "size": (4, 4, 4), **change}), label=False, fill=0)  # fmt: skip  # noqa: E501


def test_ranges():
    array = np.arange(1001.0)
    assert Intensity(kind="window", low=-10, high=5).range_of(array) == (-10, 5)
    assert Intensity(kind="percentiles", low=1, high=99).range_of(array) == pytest.approx((10, 990))
    with pytest.raises(MedsynthError, match="one value almost everywhere"):
        Intensity(kind="percentiles", low=1, high=99).range_of(np.r_[np.zeros(1000), 1.0])
    for kind, low, high in (("window", 5, 5), ("percentiles", -1, 50), ("percentiles", 50, 101), ("other", 0, 1)):
        with pytest.raises(MedsynthError):
            Intensity(kind=kind, low=low, high=high)


def test_channels_off_one_grid_are_refused(make_cases, tmp_path):
    folder = make_cases(tmp_path / "cases", patients=1)
    record = read_records(folder / "cases.jsonl", CaseRecord)[0]
    label = folder / record.channels["label"].path
    volume = read_nifti(label)
    moved = volume.geometry.affine.copy()
    moved[0, 3] += 1
    write_nifti(label, volume.array, Geometry(volume.geometry.shape, moved))
    channel = replace(record.channels["label"], sha256=sha256_file(label))
    record = replace(record, channels={**record.channels, "label": channel})
    plan = Resampling(orientation="RAS", spacing=None, size=(8, 8, 8))
    window = {"image": Intensity(kind="window", low=0, high=200)}
    assert read_case(folder, record, window, None, plan).label is None
    with pytest.raises(MedsynthError, match="case case000: its channels do not lie on one grid"):
        read_case(folder, record, window, "label", plan)
    with pytest.raises(MedsynthError, match="no channel pet; it has image, label"):
        read_case(folder, record, {"pet": window["image"]}, None, plan)
    label.unlink()
    with pytest.raises(MedsynthError, match="missing or was changed"):
        read_case(folder, record, window, "label", plan)
