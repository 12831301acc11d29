"""An edit is its parent outside of the mask: bits, type, scale and place; a label map its values."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.seam import Edited, fitted, kept
from medsynth.data.nifti import Stored, write_stored
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import Channel

GRID = Geometry.centred((4, 4, 4), (1, 1, 2))
MASK = np.zeros((4, 4, 4), dtype=np.bool_)
MASK[1:3] = True


def scan(folder, stored, kind="image"):
    path = folder / "x.nii.gz"
    folder.mkdir(exist_ok=True)
    write_stored(path, stored)
    units = "label" if kind == "label" else "arbitrary"
    channel = Channel(path="x.nii.gz", kind=kind, units=units, sha256=sha256_file(path))
    return SimpleNamespace(id="case", channels={"x": channel})


def same(tmp_path, parent, made, kind="image"):
    before, after = scan(tmp_path / "parent", parent, kind), scan(tmp_path / "made", made, kind)
    return kept(tmp_path / "made", after, SimpleNamespace(folder=tmp_path / "parent"), before, "x", MASK)


PARENT = Stored(np.arange(64, dtype=np.float32).reshape(4, 4, 4), 2.0, 1.0, GRID)


def changed(place, value):
    array = PARENT.array.copy()
    array[place] = value
    return PARENT._replace(array=array)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (PARENT, True),
        (changed((1, 0, 0), 99), True),
        (changed((0, 0, 1), 99), False),
        (changed((0, 0, 0), -0.0), False),  # equal, and not the same bits
        (PARENT._replace(slope=0.1), False),
        (PARENT._replace(intercept=-300.0), False),
        (PARENT._replace(array=PARENT.array.astype(np.float64)), False),
        (PARENT._replace(geometry=Geometry.centred((4, 4, 4), (1, 1, 2), centre=(50, 0, 0))), False),
    ],
)
def test_everything_outside_of_the_mask_is_compared(tmp_path, made, expected):
    assert same(tmp_path, PARENT, made) is expected


def test_a_label_map_may_become_wider(tmp_path):
    parent = Stored(np.ones((4, 4, 4), dtype=np.uint8), 1.0, 0.0, GRID)
    wide = np.ones((4, 4, 4), dtype=np.uint16)
    wide[1] = 1002
    assert same(tmp_path, parent, parent._replace(array=wide), "label")
    wide[0] = 2
    assert not same(tmp_path, parent, parent._replace(array=wide), "label")


def edit_on(shape, box):
    mask = np.zeros(shape, dtype=np.bool_)
    mask[tuple(slice(first, last + 1) for first, last in box)] = True
    return Edited(np.zeros(shape), np.zeros(shape), mask, None, True)


def test_a_smaller_image_takes_the_mask_that_lies_in_it_and_one_that_holds_none_is_left_out():
    edit, rng = edit_on((12, 12), ((3, 5), (3, 5))), np.random.default_rng(0)
    for shape, common in (((12, 14), (12, 12)), ((8, 20), (8, 12)), ((8, 8), (8, 8))):
        ((image, found),) = fitted([np.ones(shape)], [edit], rng)
        assert image.shape == found.mask.shape == common
        assert found.mask.sum() == 9
    assert fitted([np.ones((7, 12))], [edit], rng) == []


def test_an_image_that_covers_a_whole_grid_takes_that_one_first():
    small, large = edit_on((8, 8), ((3, 5), (3, 5))), edit_on((12, 12), ((3, 5), (3, 5)))
    for seed in range(8):
        ((image, _),) = fitted([np.ones((9, 9))], [large, small], np.random.default_rng(seed))
        assert image.shape == (8, 8)
