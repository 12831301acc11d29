"""From the native grid to the model's and back: places right, masks safe, what is not edited the same bits."""

import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medsynth.data.nifti import read_nifti, read_stored, write_nifti, write_stored
from medsynth.data.resampling import Resampling, SlicePlan, resample
from medsynth.errors import GeometryError, MedsynthError
from medsynth.generation.native import own_units, paste, to_model_mask, to_native
from medsynth.geometry import Geometry

SHEAR_FREE = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()


def places(geometry):
    """RAS mm of every voxel, (*shape, 3)."""
    index = np.moveaxis(np.indices(geometry.as_volume.shape), 0, -1).reshape(*geometry.shape, 3)
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


def ramp(geometry):
    """A value that grows evenly in space, in any direction."""
    return (places(geometry) @ (0.7, -1.3, 0.4) + 5).astype(np.float64)


def box_mask(shape, low, high):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = True
    return mask


VOLUME = Geometry.centred((12, 14, 9), (0.8, 1.1, 3.0), SHEAR_FREE, (30, -40, 12))
IMAGE = Geometry.image_plane((20, 16), (0.5, 0.7))


@pytest.mark.parametrize("native", [VOLUME, Geometry.centred((12, 14), (0.8, 1.1), SHEAR_FREE), IMAGE])
@pytest.mark.parametrize("seed", range(4))
def test_whole_voxels_flips_and_orders_of_axes_are_copied(native, seed):
    rng = np.random.default_rng(seed)
    rank = native.rank
    turn, shape = np.zeros((4, 4)), [0] * rank
    turn[3, 3], turn[2, 2] = 1, rank == 2
    order = rng.permutation(rank)
    for axis, to in enumerate(order):  # model axis -> native axis, some turned round, larger or smaller
        sign = rng.choice([-1, 1])
        turn[to, axis], turn[to, 3] = sign, rng.integers(-2, 3) + (native.shape[to] - 1 if sign < 0 else 0)
        shape[axis] = native.shape[to] + rng.integers(-3, 4)
    model = Geometry(tuple(shape), (native.affine @ turn).astype(np.float32))  # as a header rounds it
    array = rng.integers(-1000, 1000, shape).astype(np.int16)
    expected, covered = np.zeros(native.shape, np.int16), np.zeros(native.shape, bool)
    for index in itertools.product(*map(range, shape)):
        place = (turn @ (*index, *(0,) * (3 - rank), 1))[:rank].astype(int)
        if all(0 <= p < side for p, side in zip(place, native.shape, strict=True)):
            expected[tuple(place)], covered[tuple(place)] = array[index], True
    for label in (True, False):
        found = to_native(array, model, native, label=label)
        assert found.values.dtype == np.int16
        assert np.array_equal(found.covered, covered)
        assert np.array_equal(found.values[covered], expected[covered])


@pytest.mark.parametrize(
    ("native", "plan"),
    [
        (VOLUME, Resampling(orientation="RAS", spacing=(1.5, 1.5, 1.5), size=(20, 20, 24))),
        (VOLUME, Resampling(orientation="LPS", spacing=(0.6, 0.6, 2.0), size=(10, 24, 20))),
        (IMAGE, Resampling(orientation=None, spacing=(0.6, 0.6), size=(14, 30))),
        (
            Geometry.centred((30, 24), (0.5, 0.7), SHEAR_FREE),
            Resampling(orientation=None, spacing=(0.9, 0.9), size=(8, 8)),
        ),
    ],
)
def test_there_and_back_everything_is_at_its_place(native, plan):
    """Linear interpolation keeps an even ramp; only edges, where a filter has no neighbours, bend it."""
    model = resample(ramp(native), native, plan, label=False, fill=0).geometry
    found = to_native(ramp(model), model, native, label=False)
    assert found.values.dtype == np.float32
    inner = (
        to_native(
            box_mask(model.shape, [2] * native.rank, [-2] * native.rank).astype(int), model, native, label=True
        ).values
        > 0
    )
    inner &= found.covered
    assert inner.sum() > 20
    assert np.abs(found.values - ramp(native))[inner].max() < 1e-3
    index = np.linalg.inv(model.affine) @ np.concatenate([places(native), np.ones((*native.shape, 1))], -1)[..., None]
    index, sides = index[..., :3, 0], np.array(model.as_volume.shape)
    margin = np.minimum(index + 0.5, sides - 0.5 - index).min(-1)  # voxels from the field's edge
    assert found.covered[margin > 0.01].all()
    assert not found.covered[margin < -0.01].any()
    number = to_native(np.arange(np.prod(model.shape)).reshape(model.shape), model, native, label=True).values
    nearest = np.stack(np.unravel_index(number, model.as_volume.shape), -1)
    assert np.abs(nearest - index)[margin > 0.01].max() < 0.501


def test_thick_native_slices_hold_averages_of_the_models_thin_ones():
    odd = Geometry.centred((8, 8, 14), (1, 1, 5))  # centres lie on centres of the model's: without a filter 0 or 1
    model = Geometry.centred((8, 8, 70), (1, 1, 1))
    stripes = np.broadcast_to(np.arange(70) % 2, model.shape).astype(np.float32)
    assert np.abs(to_native(stripes, model, odd, label=False).values[..., 1:-1] - 0.5).max() < 0.02
    native, model = Geometry.centred((8, 8, 12), (1, 1, 6)), Geometry.centred((8, 8, 72), (1, 1, 1))
    thin = to_native(np.broadcast_to(np.arange(12) % 2, native.shape).astype(float), native, model, label=False).values
    assert thin[0, 0, 12:24].min() < 0.1
    assert 0.2 < thin[0, 0, 17] < 0.8  # in between: blur at the scale of the model's voxels


def test_a_slice_of_a_volume_goes_back_into_its_plane():
    volume = Geometry.centred((6, 5, 7), (1, 2, 3), SHEAR_FREE)
    for plane, axis in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        place = SlicePlan(plane=plane).plane_geometry(volume, 3)
        array = np.random.default_rng(0).normal(size=place.shape).astype(np.float32)
        found = to_native(array, place, volume, label=False)
        assert found.covered.sum() == array.size
        assert np.array_equal(np.take(found.values, 3, axis), array)
        mask = np.zeros(volume.shape, bool)
        np.moveaxis(mask, axis, 0)[3, 1:3, 2:4] = True
        assert np.array_equal(to_model_mask(mask, volume, place), np.take(mask, 3, axis))
        np.moveaxis(mask, axis, 0)[4, 1, 2] = True
        with pytest.raises(MedsynthError, match="1 of the mask's 5 voxels lie outside"):
            to_model_mask(mask, volume, place)


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.5, 0.6, 0.7), (0.8, 1.1, 3.0), (2.5, 0.4, 1.0)])
@pytest.mark.parametrize("turned", [False, True])
def test_all_that_a_masked_voxel_is_made_of_is_made_anew(spacing, turned):
    direction = SHEAR_FREE if turned else np.eye(3)
    native = Geometry.centred((12, 14, 9), (0.8, 1.1, 3.0), direction, (3, 4, 5))
    size = tuple(int(50 / step) for step in spacing)
    model = Geometry.centred(size, spacing, np.eye(3), (3.2, 4.1, 5))
    mask = np.random.default_rng(0).random(native.shape) < 0.02
    mask[4:6, 5:7, 3] = True
    found = to_model_mask(mask, native, model)
    seen = to_native(found.astype(np.float32), model, native, label=False).values[mask]
    assert (seen > 0.5).all()  # 1 but for the tails of the filter where native voxels are the larger
    # any point of a masked voxel lies in a voxel of the model that is made anew
    inside = np.random.default_rng(1).uniform(-0.5, 0.5, (300, 1, 3)) * 0.999 + np.argwhere(mask)
    points = inside.reshape(-1, 3) @ native.affine[:3, :3].T + native.affine[:3, 3]
    index = np.rint((points - model.affine[:3, 3]) @ np.linalg.inv(model.affine[:3, :3]).T).astype(int)
    assert found[tuple(index.T)].all()
    # and nothing far off is
    far = ~to_native(np.ones(mask.shape), native, model, label=False).covered
    middle = places(model)[found]
    nearest = np.linalg.norm(middle[:, None] - places(native)[mask], axis=-1).min(1)
    assert nearest.max() <= np.linalg.norm(np.array(native.spacing)) + np.linalg.norm(spacing) + 1e-6
    assert far.any()


def test_linear_interpolation_at_a_masked_voxel_sees_made_voxels_alone():
    """Native voxels finer than the model's: no filter, and the unmasked part of the model's grid has no say."""
    native = Geometry.centred((21, 21, 21), (0.7, 0.6, 0.5))
    model = Geometry.centred((11, 11, 11), (1.5, 1.4, 1.3), centre=(0.21, 0.1, -0.3))
    mask = box_mask(native.shape, (8, 9, 7), (12, 11, 13))
    found = to_model_mask(mask, native, model)
    assert (to_native(found.astype(np.float32), model, native, label=False).values[mask] == 1).all()
    assert found.sum() < 5 * 4 * 6


def test_on_one_grid_the_mask_is_the_mask():
    mask = np.random.default_rng(0).random(VOLUME.shape) < 0.3
    assert np.array_equal(to_model_mask(mask, VOLUME, VOLUME), mask)
    image = np.random.default_rng(0).random(IMAGE.shape) < 0.3
    assert np.array_equal(to_model_mask(image, IMAGE, IMAGE), image)


def test_masks_that_cannot_be_made_are_refused_with_counts():
    small = Geometry.centred((6, 6, 6), (1, 1, 1), centre=VOLUME.centre)
    with pytest.raises(MedsynthError, match=r"of the mask's 1512 voxels lie outside .* 6 x 6 x 6 mm"):
        to_model_mask(np.ones(VOLUME.shape, bool), VOLUME, small)
    with pytest.raises(MedsynthError, match="no voxel"):
        to_model_mask(np.zeros(VOLUME.shape, bool), VOLUME, small)
    with pytest.raises(MedsynthError, match="does not lie on a grid"):
        to_native(np.zeros((3, 3)), VOLUME, small, label=False)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_what_is_pasted_is_rounded_and_held_in_the_types_range(kind):
    native = np.full((2, 3), 7, dtype=kind)
    made = np.array([[0.6, 1e30, -1e30], [2.4, np.nan, 3.0]])
    mask = np.array([[True, True, True], [True, False, False]])
    found = paste(native, made, mask)
    limits = np.iinfo(kind)
    assert found.dtype == kind
    assert found[0].tolist()[0] == 1
    assert found[0].tolist()[1] == pytest.approx(limits.max)
    assert found[0].tolist()[2] == limits.min
    assert found[1].tolist() == [2, 7, 7]
    assert (native == 7).all()


def test_what_cannot_be_pasted_is_refused():
    native, made = np.zeros((2, 2)), np.full((2, 2), np.nan)
    with pytest.raises(MedsynthError, match="NaN"):
        paste(native, made, np.eye(2, dtype=bool))
    for wrong in (np.ones((2, 3), bool), np.ones((2, 2))):
        with pytest.raises(MedsynthError, match="one grid"):
            paste(native, np.zeros((2, 2)), wrong)


def test_a_case_has_its_own_units():
    assert own_units(np.array([-1.0, 0.0, 1.0, 3.0, -2.0]), (100.0, 300.0)).tolist() == [100, 200, 300, 300, 100]


SCALINGS = {"none": None, "scaled": (0.37, -1024.5), "falling": (-2.0, 10.0)}


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("kind", ["<i2", ">i2", "u1", "<f4", ">f8", "<i8"])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_through_files_what_is_not_edited_is_the_same_stored_bits(tmp_path, scaling, kind, rank, ending):
    """Written by hand with nibabel, oblique, anisotropic and flipped; read here, edited, written, read by nibabel."""
    geometry = Geometry.centred((9, 8, 7)[:rank], (0.7, 1.3, 4.0)[:rank], SHEAR_FREE @ np.diag([-1, 1, 1]), (10, 20, 3))
    rng, source, edited = np.random.default_rng(0), tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    stored = rng.integers(0, 200, geometry.shape).astype(kind) + (rng.random(geometry.shape).astype(kind))
    header = nib.Nifti1Header(endianness=kind[0] if kind[0] in "<>" else "<")
    header.set_data_dtype(np.dtype(kind))
    image = nib.Nifti1Image(stored, geometry.affine, header, dtype=np.dtype(kind))
    raw = bytearray(image.to_bytes())
    if SCALINGS[scaling]:
        raw[112:120] = np.array(SCALINGS[scaling], image.header.endianness + "f4").tobytes()
    source.write_bytes(bytes(raw) if ending == ".nii" else gzip.compress(bytes(raw)))

    read = read_stored(source)
    assert np.array_equal(read.array, stored)
    values = read_nifti(source).array
    assert np.allclose(read.from_units(values), stored, atol=1e-4)
    mask = box_mask(geometry.shape, (2,) * rank, (5,) * rank)
    made = own_units(rng.uniform(-1, 1, geometry.shape), (values.min(), values.max()))
    array = paste(read.array, read.from_units(made), mask)
    write_stored(edited, read._replace(array=array), "synthetic")

    before, after = nib.load(source), nib.load(edited)
    raw_after = np.asarray(after.dataobj.get_unscaled())
    assert raw_after.dtype == np.dtype(kind).newbyteorder("=")
    assert np.array_equal(raw_after[~mask], np.asarray(before.dataobj.get_unscaled())[~mask])
    assert (raw_after[mask] != stored[mask]).any()
    assert np.array_equal(before.affine, after.affine)
    assert (after.dataobj.slope, after.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)
    step = 1e-3 if "f" in kind else abs(after.dataobj.slope) / 2 + 1e-3
    assert np.abs(np.asarray(after.dataobj) - made)[mask].max() <= step


def test_a_slope_of_nothing_is_none_and_shapes_must_fit(tmp_path):
    write_nifti(tmp_path / "a.nii", np.ones(VOLUME.shape, np.int16), VOLUME)
    read = read_stored(tmp_path / "a.nii")
    assert (read.slope, read.intercept) == (1.0, 0.0)
    with pytest.raises(GeometryError, match="does not fit"):
        write_stored(tmp_path / "b.nii", read._replace(array=read.array[1:]))
