"""Which slices of a series are one volume: split by what a scanner tells volumes apart by."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medsynth.data.dicom_slices import MARKS, Slice

_STACK = "stack"


class Volume(NamedTuple):
    """Slices of one volume.

    Args:
        name: what tells it from the others of its series, "" where it is alone: "echo=2", "b=1000 direction=1".
        marks: the same as values.
        slices: in no order.
    """

    name: str
    marks: Mapping[str, float | str]
    slices: tuple[Slice, ...]


def split_volumes(slices: Sequence[Slice]) -> list[Volume]:
    """The volumes of a series, in the order of their first slices.

    Stacks (PS3.3 C.7.6.16.2.2.4) of two slices or more are volumes by themselves, wherever they lie. Else a series
    whose slices all lie in different places is one volume, whatever else differs. Where places repeat, marks are
    tried in turn (echo, image type, b-value, direction, inversion, time, cardiac phase, acquisition), and one splits
    where each of its values has a slice at every place. What none tells apart but has the same number of slices at
    every place is split by the order of Instance Numbers ("repetition"). What is left keeps its duplicates, and
    `medsynth.geometry.stack_slices` refuses it.
    """
    found = [volume for stack in _stacks(slices) for volume in stack]
    found.sort(key=lambda volume: min(part.number for part in volume.slices))
    names = {name for volume in found for name in volume.marks}
    alike = {name for name in names if len({volume.marks.get(name) for volume in found}) == 1}
    kept = [{name: value for name, value in volume.marks.items() if name not in alike} for volume in found]
    return [Volume(_spoken(marks), marks, volume.slices) for marks, volume in zip(kept, found, strict=True)]


def _stacks(slices: Sequence[Slice]) -> list[list[Volume]]:
    stacks: dict[float | str | None, list[Slice]] = defaultdict(list)
    for part in slices:
        stacks[part.marks.get(_STACK)].append(part)
    if len(stacks) < 2 or None in stacks or min(len(parts) for parts in stacks.values()) < 2:
        return [_split(tuple(slices), {}, MARKS)]
    rest = [name for name in MARKS if name != _STACK]
    return [_split(tuple(parts), {_STACK: value}, rest) for value, parts in stacks.items() if value is not None]


def _split(slices: tuple[Slice, ...], marks: Mapping[str, float | str], names: Sequence[str]) -> list[Volume]:
    places = {_place(part) for part in slices}
    if len(places) == len(slices):
        return [Volume("", marks, slices)]
    for at, name in enumerate(names):
        groups: dict[float | str | None, list[Slice]] = defaultdict(list)
        for part in slices:
            groups[part.marks.get(name)].append(part)
        if len(groups) > 1 and all({_place(part) for part in group} == places for group in groups.values()):
            found: list[Volume] = []
            for value, group in groups.items():
                said = marks if value is None else {**marks, name: value}
                found.extend(_split(tuple(group), said, names[at + 1 :]))
            return found
    return _repetitions(slices, marks, len(places))


def _repetitions(slices: tuple[Slice, ...], marks: Mapping[str, float | str], places: int) -> list[Volume]:
    at: dict[tuple[float, ...], list[Slice]] = defaultdict(list)
    for part in sorted(slices, key=lambda part: part.number):
        at[_place(part)].append(part)
    times = len(slices) // places
    if any(len(parts) != times or len({part.number for part in parts}) != times for parts in at.values()):
        return [Volume("", marks, slices)]
    return [
        Volume("", {**marks, "repetition": time + 1}, tuple(parts[time] for parts in at.values()))
        for time in range(times)
    ]


def _place(part: Slice) -> tuple[float, ...]:
    """Where a slice lies, to a hundredth of a millimetre, and how it is turned."""
    plane = part.plane
    return (*np.round(plane.position, 2).tolist(), *np.round(plane.orientation, 3).tolist())


def _spoken(marks: Mapping[str, float | str]) -> str:
    return " ".join(
        f"{name}={value:.12g}" if isinstance(value, float | int) else f"{name}={value}" for name, value in marks.items()
    )
