"""Text in the voxels of a volume or picture with a place: looked for along every axis, and blanked."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from medsynth.errors import UnreadableError
from medsynth.geometry import Geometry
from medsynth.identity.picture_text import TextFinder
from medsynth.identity.pixels import Box
from medsynth.identity.text_planes import GROUP, planes

_ACROSS = 64  # slices of a projection along an axis that is not the scan's slices
_ROUNDS = 8
_AXES = ("L", "P", "S")
_ROWS_AND_COLUMNS = ((2, 1), (2, 0), (1, 0))


class Side(NamedTuple):
    """A volume from one side, as radiologists see it, since text is written for them.

    Args:
        place: "from R to L" and so on; "" of a picture.
        slices: (slices, rows, columns), a view.
        spacing_mm: of rows and of columns.
        group: slices of one projection.
    """

    place: str
    slices: NDArray[Any]
    spacing_mm: tuple[float, float]
    group: int

    def said(self, numbers: range) -> str:
        """A projection's place in words."""
        return f"slices {numbers.start}-{numbers.stop - 1} {self.place}" if self.place else "picture"


def sides(array: NDArray[Any], affine: NDArray[np.float64]) -> Iterator[Side]:
    """The three sides of a volume; a picture, (columns, rows), has one.

    The third axis is taken for that of the scan's slices, in which text is written, as converters leave it.

    Args:
        array: (X, Y, Z) or (X, Y), in any orientation.
        affine: (4, 4), index to RAS mm.
    """
    if array.ndim == 2:
        across, down = voxel_sizes(affine)[:2]
        yield Side("", array.T[None], (float(down), float(across)), 1)
        return
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(_AXES))
    turned = apply_orientation(array, turn)
    spacing = voxel_sizes(affine)[np.argsort(turn[:, 0])]
    for axis, (rows, columns) in enumerate(_ROWS_AND_COLUMNS):
        slices = np.transpose(turned, (axis, rows, columns))
        if rows == 2:
            slices = slices[:, ::-1]
        group = GROUP if axis == int(turn[2, 0]) else _ACROSS
        yield Side(
            f"from {'RAI'[axis]} to {_AXES[axis]}", slices, (float(spacing[rows]), float(spacing[columns])), group
        )


def find_boxes(side: Side, finder: TextFinder) -> Iterator[tuple[range, dict[int, list[Box]]]]:
    """Groups of slices with text, and the boxes of each slice that shows some.

    A projection says where to look. What none of its slices shows is anatomy of several that lies one behind another,
    and no text.
    """
    for numbers, plane in planes(side.slices, 0, side.group):
        if not finder.find(plane, side.spacing_mm):
            continue
        alone = {number: finder.find(side.slices[number], side.spacing_mm) for number in numbers}
        if any(alone.values()):
            yield numbers, {number: boxes for number, boxes in alone.items() if boxes}


def find_text(array: NDArray[Any], geometry: Geometry, finder: TextFinder) -> list[str]:
    """Where text is: the sides and groups of slices that show it.

    Args:
        array: (X, Y, Z) or (X, Y), in any orientation.
        geometry: its place.
        finder: looks.
    """
    found: dict[str, None] = {}
    for side in sides(array, geometry.affine):
        for numbers, _ in find_boxes(side, finder):
            found[side.said(numbers)] = None
    return list(found)


def blank_text_in(array: NDArray[Any], geometry: Geometry, finder: TextFinder) -> tuple[NDArray[Any], list[str]]:
    """Blank text and look again, until none is found.

    Blank is the lowest value of the volume.

    Returns:
        The array, a new one where there was text, and where text was, as `find_text` says it.

    Raises:
        UnreadableError: text is found still after eight rounds.
    """
    blanked, dark = array.copy(), array.min()
    places: dict[str, None] = {}
    for _ in range(_ROUNDS):
        seen = False
        for side in sides(blanked, geometry.affine):
            for numbers, boxes in find_boxes(side, finder):
                seen = True
                places[side.said(numbers)] = None
                _blank(side, boxes, dark)
        if not seen:
            return (blanked if places else array), list(places)
    raise UnreadableError(f"text is found still after {_ROUNDS} rounds of blanking; exclude the case")


def _blank(side: Side, boxes: Mapping[int, list[Box]], dark: Any) -> None:
    for number, found in boxes.items():
        for box in found:
            rows, columns = slice(max(box.top, 0), box.top + box.height), slice(max(box.left, 0), box.left + box.width)
            side.slices[number, rows, columns] = dark
