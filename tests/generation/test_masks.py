"""Masks of an edit: distances in millimetres, and none that marks nothing or everything."""

import numpy as np
import pytest

from medsynth.errors import GeometryError, MedsynthError
from medsynth.generation.masks import box, of_label, slab
from medsynth.geometry import Geometry


@pytest.mark.parametrize(("shape", "spacing"), [((20, 24), (0.5, 1.5)), ((15, 14, 9), (0.7, 1.3, 3.0))])
@pytest.mark.parametrize("grow", [0.0, 0.7, 3.0])
def test_a_label_grows_by_millimetres(shape, spacing, grow):
    geometry = Geometry.centred(shape, spacing)
    label = np.zeros(shape, np.int16)
    label[(3,) * len(shape)], label[(6,) * len(shape)], label[(1,) * len(shape)] = 2, 5, 7
    found = of_label(label, (2, 5), grow, geometry)
    index = np.moveaxis(np.indices(shape), 0, -1) * spacing
    cores = np.argwhere(np.isin(label, (2, 5))) * spacing
    distance = np.linalg.norm(index[..., None, :] - cores, axis=-1).min(-1)
    assert np.array_equal(found, distance <= grow + 1e-9)
    assert found.dtype == bool


def test_masks_of_labels_that_make_no_sense():
    geometry = Geometry.centred((4, 4), (1, 1))
    label = np.zeros((4, 4), int)
    label[1, 1] = 3
    for call, says in (
        (lambda: of_label(label, (9,), 0, geometry), "label 9 marks no voxel.*name a label"),
        (lambda: of_label(label, (0, 3), 0, geometry), "marks every voxel"),
        (lambda: of_label(label, (3,), 50, geometry), "grown by 50 mm marks every voxel.*grow it less"),
        (lambda: of_label(label, (3,), -1, geometry), "0 mm or more"),
        (lambda: of_label(label, (3,), float("nan"), geometry), "0 mm or more"),
        (lambda: of_label(label[1:], (3,), 1, geometry), "grid"),
    ):
        with pytest.raises(MedsynthError, match=says):
            call()
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="sheared"):
        of_label(label, (3,), 1, Geometry((4, 4), sheared))


def test_slabs_and_boxes_hold_their_ends():
    mask = slab((3, 5, 4), 1, 2, 3)
    assert mask.any(axis=(0, 2)).tolist() == mask.all(axis=(0, 2)).tolist() == [False, False, True, True, False]
    assert np.argwhere(box((4, 4), (1, 2), (2, 2))).tolist() == [[1, 2], [2, 2]]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: slab((3, 4), 2, 0, 1), "axis 0 to 1, not 2"),
        (lambda: slab((3, 4), 1, 2, 1), "indices 2 to 1 along axis 1.*within 0 to 3"),
        (lambda: slab((3, 4), 1, 0, 4), "within 0 to 3"),
        (lambda: slab((3, 4), 1, -1, 2), "within 0 to 3"),
        (lambda: slab((3, 4), 1, 0, 3), "every voxel"),
        (lambda: box((3, 4), (0, 0, 0), (1, 1, 1)), "2 indices each"),
    ],
)
def test_slabs_and_boxes_that_the_scan_does_not_have(call, says):
    with pytest.raises(MedsynthError, match=says):
        call()
