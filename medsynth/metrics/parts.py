"""Slices and patches of a grid: the parts of an image that may have been copied without the rest."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from medsynth.metrics.turns import flips

SLICES, PATCHES = "slices", "patches"
REACH = 2
"""Voxels of the grid by which a part may have moved along each axis."""


class Box(NamedTuple):
    """A part of a grid: its corner and sides, and, by flip, which one of its family it then is."""

    corner: tuple[int, ...]
    sides: tuple[int, ...]
    mirrored: tuple[int, ...] = ()

    @property
    def place(self) -> tuple[slice, ...]:
        """Index of its voxels."""
        return tuple(slice(at, at + side) for at, side in zip(self.corner, self.sides, strict=True))

    def near(self, shape: Sequence[int], reach: int = REACH) -> Iterator["Box"]:
        """The same box at most `reach` voxels away along each axis, inside the grid."""
        ranges = [
            range(max(0, at - reach), min(side - width, at + reach) + 1)
            for at, width, side in zip(self.corner, self.sides, shape, strict=True)
        ]
        for offset in np.ndindex(*(len(r) for r in ranges)):
            yield self._replace(corner=tuple(r[o] for r, o in zip(ranges, offset, strict=True)))


def parts_of(shape: Sequence[int]) -> dict[str, tuple[Box, ...]]:
    """By family: patches half a side long; of a volume also slices, an eighth of the side thick."""
    found = {PATCHES: patches(shape)}
    return {SLICES: slices(shape), **found} if len(shape) > 2 else found


def patches(shape: Sequence[int]) -> tuple[Box, ...]:
    """At the beginning, in the middle and at the end of each axis."""
    half = tuple(side // 2 for side in shape)
    steps = [(0, (side - h) // 2, side - h) for side, h in zip(shape, half, strict=True)]
    places = list(np.ndindex(*(3,) * len(shape)))

    def mirrored(place: tuple[int, ...]) -> tuple[int, ...]:
        turned = (
            tuple(2 - at if flip else at for at, flip in zip(place, turn.flips, strict=True))
            for turn in flips(len(shape))
        )
        return tuple(places.index(one) for one in turned)

    corners = (tuple(steps[axis][at] for axis, at in enumerate(place)) for place in places)
    return tuple(Box(corner, half, mirrored(place)) for corner, place in zip(corners, places, strict=True))


def slices(shape: Sequence[int]) -> tuple[Box, ...]:
    """Across each axis at every place but the ends; REACH voxels are left out all round, so that it can move."""
    found: list[Box] = []
    for axis, side in enumerate(shape):
        thick = max(1, side // 8)
        margins = [0 if a == axis else min(REACH, (s - 2) // 2) for a, s in enumerate(shape)]
        sides = tuple(thick if a == axis else s - 2 * m for a, (s, m) in enumerate(zip(shape, margins, strict=True)))
        places = range(1, side - thick)
        first = len(found)
        for number, at in enumerate(places):
            other = len(places) - 1 - number
            own = tuple(first + (other if turn.flips[axis] else number) for turn in flips(len(shape)))
            found.append(Box(tuple(at if a == axis else m for a, m in enumerate(margins)), sides, own))
    return tuple(found)
