"""The checks of anatomy: shape of each label, place of all, and how labels lie to each other.

Every bar comes from real cases split in two by patient. What is asked of many labels, pairs and axes
at once is one check with one simultaneous bar, so that many labels do not make many chance misses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.checks import LEAST_WITH_LABEL, Check, Outcome, within
from medsynth.evidence.measurements import Measured
from medsynth.metrics import controls as bad
from medsynth.metrics.anatomy import AnatomyTable, touching_shares
from medsynth.metrics.splits import Split, on_splits, simultaneous_band

Array = NDArray[np.float64]
PLACE, OFFSET, BORDER = "place", "place of labels to each other", "shared border"
LEVEL = 0.99
"""Of the bars: the checks are many, and good samples are not to miss one of them by chance."""
USUALLY = 0.5
"""Labels that touch in this part of the real maps or more are expected to touch."""


def _table(measured: Measured) -> AnatomyTable:
    assert measured.anatomy is not None
    return measured.anatomy


def _too_few(candidate: int, reference: int, what: str) -> Outcome | None:
    """Missed where reals have enough images with it and the candidate has not; nothing where reals have not."""
    if min(candidate, reference) >= LEAST_WITH_LABEL:
        return None
    enough = reference >= LEAST_WITH_LABEL
    reason = f"fewer than {LEAST_WITH_LABEL} {'synthetic' if enough else 'real'} images have {what}"
    return Outcome(None, None, None, False if enough else None, {"reason": reason})


@dataclass
class ShapeCheck:
    """Mean of one measure of a label as near to the reals' as real is to real in 99% of the splits.

    `name` is that of the measure in `AnatomyTable`. Surfaces are compared by their ratio, less 1;
    sphericity and roughness by their difference.
    """

    value: int
    label: str
    pool: Measured
    splits: Sequence[Split]
    name: str = "surface"
    must_reject: tuple[str, ...] = (bad.ROUGHENED,)
    looks_at: tuple[str, ...] = ("labels",)
    bar: Array | None = field(init=False)

    def __post_init__(self) -> None:
        column = self._column(self.pool)
        gaps = on_splits(lambda a, b: self._gap(column[a], column[b]), self.splits)
        self.bar = np.quantile(gaps, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)) if np.isfinite(gaps).all() else None

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Compare the means over the images that have the label."""
        first, second = (self._column(side) for side in (candidate, reference))
        few = _too_few(int(np.isfinite(first).sum()), int(np.isfinite(second).sum()), "the label")
        if few is not None:
            return few
        if self.bar is None:
            return Outcome(None, None, None, None, {"reason": "the label is in no image of some real draws"})
        means = {"synthetic_mean": float(np.nanmean(first)), "real_mean": float(np.nanmean(second))}
        return within(self._gap(first, second), float(self.bar[0]), float(self.bar[1]), **means)

    def _column(self, measured: Measured) -> Array:
        table = _table(measured)
        at = table.values.index(self.value)
        column: Array = np.where(table.present[:, at], getattr(table, self.name)[:, at], np.nan)
        return column

    def _gap(self, first: Array, second: Array) -> float:
        if not np.isfinite(first).any() or not np.isfinite(second).any():
            return float("nan")
        ours, theirs = float(np.nanmean(first)), float(np.nanmean(second))
        return ours / theirs - 1 if self.name == "surface" else ours - theirs


@dataclass
class HolesCheck:
    """Labels with as many tunnels and cavities as most reals have, as often as in reals.

    The bar is 5 points below the reals, or as far below as 99% of the real draws are.
    """

    value: int
    label: str
    pool: Measured
    splits: Sequence[Split]
    name: str = "holes"
    must_reject: tuple[str, ...] = (bad.HOLED,)
    looks_at: tuple[str, ...] = ("labels",)
    usual: int = field(init=False)
    bar: float = field(init=False)

    def __post_init__(self) -> None:
        holes, present = self._columns(self.pool)
        self.usual = int(np.bincount(holes[present]).argmax()) if present.any() else 0
        gaps = on_splits(
            lambda a, b: self._share(holes[a], present[a]) - self._share(holes[b], present[b]), self.splits
        )
        self.bar = max(0.05, float(-np.quantile(gaps, 1 - LEVEL))) if np.isfinite(gaps).all() else 0.05

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Difference of the shares of images with the usual number of holes."""
        (ours, has), (theirs, had) = (self._columns(side) for side in (candidate, reference))
        few = _too_few(int(has.sum()), int(had.sum()), "the label")
        if few is not None:
            return few
        first, second = self._share(ours, has), self._share(theirs, had)
        return within(first - second, -self.bar, None, holes=self.usual, synthetic_share=first, real_share=second)

    def _columns(self, measured: Measured) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        table = _table(measured)
        at = table.values.index(self.value)
        return table.holes[:, at], table.present[:, at]

    def _share(self, holes: NDArray[np.intp], present: NDArray[np.bool_]) -> float:
        return float((holes[present] == self.usual).mean()) if present.any() else float("nan")


@dataclass
class TogetherCheck:
    """Means of many columns inside the simultaneous 99% band of real against real.

    The value is the largest distance of a mean from the reference's, in spreads of real against real.
    A column is left out where fewer than 8 reals or some real draw have no value in it.
    """

    pool: Measured
    splits: Sequence[Split]
    labels: Mapping[int, str]
    name: str = PLACE
    must_reject: tuple[str, ...] = (bad.MOVED,)
    looks_at: tuple[str, ...] = ("labels",)
    spread: Array = field(init=False)
    factor: float = field(init=False)
    kept: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        columns = self._columns(self.pool)
        gaps = np.stack([_means(columns[s.first]) - _means(columns[s.second]) for s in self.splits])
        enough = np.isfinite(columns).sum(0) >= LEAST_WITH_LABEL
        self.kept = np.flatnonzero(np.isfinite(gaps).all(0) & enough & self._expected())
        self.spread, self.factor = np.ones(0), 0.0
        if len(self.kept):
            self.spread, self.factor = simultaneous_band(gaps[:, self.kept], LEVEL)

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Largest |z| over the columns."""
        if not len(self.kept):
            return Outcome(None, None, None, None, {"reason": "too few real images have the labels"})
        first, second = (self._columns(side)[:, self.kept] for side in (candidate, reference))
        ours, theirs = (int(np.isfinite(side).sum(0).min()) for side in (first, second))
        few = _too_few(ours, theirs, "every label")
        if few is not None:
            return few
        gaps = _means(first) - _means(second)
        worst = int(np.abs(gaps / self.spread).argmax())
        unit = "worst_gap" if self.name == BORDER else "worst_gap_mm"
        detail = {"worst": self._names()[self.kept[worst]], unit: float(gaps[worst])}
        detail |= {"synthetic_mean": float(_means(first)[worst]), "real_mean": float(_means(second)[worst])}
        return within(float(np.abs(gaps[worst]) / self.spread[worst]), None, self.factor, **detail)

    def _columns(self, measured: Measured) -> Array:
        table = _table(measured)
        if self.name == PLACE:
            return table.place.reshape(len(table.place), -1)
        return table.shared if self.name == BORDER else table.offset.reshape(len(table.place), -1)

    def _expected(self) -> NDArray[np.bool_]:
        """Which columns reals are held to: borders only of labels that usually touch."""
        count = self._columns(self.pool).shape[1]
        if self.name != BORDER:
            return np.ones(count, dtype=bool)
        return touching_shares(_table(self.pool)) >= USUALLY

    def _names(self) -> list[str]:
        table = _table(self.pool)
        pairs = pair_names(table, self.labels)
        if self.name == BORDER:
            return pairs
        of = [self.labels[value] for value in table.values] if self.name == PLACE else pairs
        return [f"{name}, axis {axis}" for name in of for axis in range(table.place.shape[2])]


@dataclass
class TouchingCheck:
    """Every two labels touch as often as in reals, within 5 points or the largest gap of 99% of the real draws."""

    pool: Measured
    splits: Sequence[Split]
    labels: Mapping[int, str]
    name: str = "labels that touch"
    looks_at: tuple[str, ...] = ("labels",)
    must_reject: tuple[str, ...] = field(init=False)
    bar: float = field(init=False)

    def __post_init__(self) -> None:
        table = _table(self.pool)
        usual = touching_shares(table) >= USUALLY
        self.must_reject = ((bad.APART,) if usual.any() else ()) + ((bad.BRIDGED,) if not usual.all() else ())
        parts = [(touching_shares(table.take(s.first)), touching_shares(table.take(s.second))) for s in self.splits]
        self.bar = max(0.05, float(np.quantile([np.abs(a - b).max() for a, b in parts], LEVEL)))

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Largest difference of shares, among images that have both labels."""
        ours, theirs = (_table(side) for side in (candidate, reference))
        gaps = touching_shares(ours) - touching_shares(theirs)
        worst = int(np.abs(gaps).argmax())
        detail = {"worst": pair_names(ours, self.labels)[worst], "gap": float(gaps[worst])}
        return within(float(np.abs(gaps[worst])), None, self.bar, **detail)


def pair_names(table: AnatomyTable, labels: Mapping[int, str]) -> list[str]:
    """Of every pair of labels, "first and second"."""
    return [f"{labels[table.values[a]]} and {labels[table.values[b]]}" for a, b in table.pairs]


def anatomy_checks(labels: Mapping[int, str], pool: Measured, splits: Sequence[Split]) -> Iterator[Check]:
    """The checks of each label's shape, of the place of all labels, and of any two to each other.

    Args:
        labels: value and name of each label.
        pool: real images; none of these checks without label maps.
        splits: of the pool by patient.
    """
    if pool.anatomy is None:
        return
    for value, label in labels.items():
        yield ShapeCheck(value, label, pool, splits, "surface", (bad.ERODED, bad.ROUGHENED))
        yield ShapeCheck(value, label, pool, splits, "sphericity")
        yield ShapeCheck(value, label, pool, splits, "roughness")
        yield HolesCheck(value, label, pool, splits)
    yield TogetherCheck(pool, splits, labels)
    if len(labels) < 2:
        return
    nearby = (bad.SWAPPED, bad.MIRRORED, bad.APART)
    yield TogetherCheck(pool, splits, labels, OFFSET, nearby)
    yield TouchingCheck(pool, splits, labels)
    if (touching_shares(pool.anatomy) >= USUALLY).any():
        yield TogetherCheck(pool, splits, labels, BORDER, (bad.APART,))


def _means(columns: Array) -> Array:
    """Mean of every column over the values there are, NaN where there are none."""
    known = np.isfinite(columns)
    with np.errstate(invalid="ignore"):
        means: Array = np.where(known, columns, 0).sum(0) / known.sum(0)
    return means
