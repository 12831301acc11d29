"""Which planes of a volume are looked at for text: projections that hold what is burned into any slice of a group."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.identity.picture_text import TextFinder
from medsynth.identity.pixels import Box

GROUP = 16
"""Slices that are projected onto one plane; more are cheaper and hide text that is no brighter than other slices."""
_MOST_OPEN = 64


class Text(NamedTuple):
    """Boxes of text in one slice; `name` is what the slice was added under."""

    name: Hashable
    boxes: list[Box]


def planes(volume: NDArray[Any], axis: int = -1, group: int = GROUP) -> Iterator[tuple[range, NDArray[Any]]]:
    """Maximum and minimum intensity projections of groups of neighbouring slices.

    Args:
        volume: (slices and two more axes, in any order).
        axis: of the slices.
        group: slices a projection; the last group may have fewer.

    Yields:
        The numbers of the slices from 0, and (rows, columns).
    """
    slices = np.moveaxis(volume, axis, 0)
    for start in range(0, len(slices), group):
        part = slices[start : start + group]
        numbers = range(start, start + len(part))
        yield numbers, np.fmax.reduce(part)
        if len(part) > 1:
            yield numbers, np.fmin.reduce(part)


@dataclass
class _Group:
    names: list[Hashable] = field(default_factory=list)
    pictures: list[NDArray[Any]] = field(default_factory=list)
    spacing: tuple[float, float] | None = None


class SliceStack:
    """Looks at grey slices group by group, as they come.

    Both projections of a group are looked at. Where one shows text, each slice is; where none of them shows it alone,
    all of the group count as having it.

    Args:
        finder: looks.
        group: slices a projection; 1 looks at each slice.
    """

    def __init__(self, finder: TextFinder, group: int = GROUP) -> None:
        self._finder, self._size = finder, group
        self._open: dict[Hashable, _Group] = {}

    def add(
        self, stack: Hashable, name: Hashable, picture: NDArray[Any], spacing_mm: tuple[float, float] | None = None
    ) -> list[Text]:
        """Take one more slice; gives the slices with text of the groups that are full by it.

        Args:
            stack: which slices belong together; those of another shape never do.
            name: of the slice.
            picture: (rows, columns).
            spacing_mm: of rows and of columns.
        """
        key = (stack, picture.shape)
        full = []
        if key not in self._open and len(self._open) >= _MOST_OPEN:
            full.append(self._open.pop(next(iter(self._open))))
        group = self._open.setdefault(key, _Group())
        group.names.append(name)
        group.pictures.append(picture)
        group.spacing = spacing_mm
        if len(group.names) >= self._size:
            full.append(self._open.pop(key))
        return [text for one in full for text in self._look(one)]

    def finish(self) -> list[Text]:
        """Slices with text of the groups that are not full."""
        groups, self._open = list(self._open.values()), {}
        return [text for one in groups for text in self._look(one)]

    def _look(self, group: _Group) -> list[Text]:
        projected = planes(np.stack(group.pictures), axis=0, group=len(group.pictures))
        boxes = [box for _, plane in projected for box in self._finder.find(plane, group.spacing)]
        if not boxes:
            return []
        alone = [self._finder.find(picture, group.spacing) for picture in group.pictures]
        if not any(alone):
            alone = [boxes] * len(group.names)
        return [Text(name, found) for name, found in zip(group.names, alone, strict=True) if found]
