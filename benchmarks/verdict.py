"""What the obedience benchmarks share: shares and their intervals, the table, and whether the controls did their part.

A set of images obeys in a class or label where its value meets the bar. Bad cases have to miss it for certain: by the
whole of their interval.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from medsynth.evidence.comparison import REAL_SHARE
from medsynth.files import write_json

REAL = "real, held out"
Z = 1.959964  # of a 95% interval
DRAWS = 200  # of random halves of the held-out patients


class Interval(NamedTuple):
    """A value and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def wilson(hits: NDArray[np.bool_], owners: NDArray[np.str_]) -> Interval:
    """Share of hits with Wilson's interval (1927), images of one owner counted as little as they may tell.

    The number of images is replaced by Kish's effective number (1965) for images of one owner that all say the
    same, n^2 / sum of squares of the owners' numbers: the number of owners where each has as many.

    Args:
        hits: (N,), N at least 1.
        owners: (N,), patient key of each image; of samples one each.
    """
    share, numbers = float(hits.mean()), np.unique(owners, return_counts=True)[1]
    n = len(hits) ** 2 / float((numbers**2).sum())
    middle, width = share + Z**2 / 2 / n, Z * math.sqrt(share * (1 - share) / n + Z**2 / 4 / n**2)
    return Interval(share, max(0.0, (middle - width) / (1 + Z**2 / n)), min(1.0, (middle + width) / (1 + Z**2 / n)))


def difference(first: Interval, second: Interval) -> Interval:
    """The first less the second of two independent shares with Newcombe's interval (1998, method 10)."""
    gap = first.value - second.value
    low = math.hypot(first.value - first.low, second.high - second.value)
    high = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(gap, gap - low, gap + high)


class Row(NamedTuple):
    """One class or label of one set of images.

    Args:
        set: what the images are; bad cases begin with "control".
        name: of the class or label.
        images, owners: how many show or have to show it, and of how many patients or samples.
        value: the judge's accuracy or Dice.
        against: what the bar is about: a difference to the reals or to a number, or the ratio to the reals.
        bar: the least that `against` has to be.
    """

    set: str
    name: str
    images: int
    owners: int
    value: Interval
    against: Interval
    bar: float

    @property
    def met(self) -> bool:
        """Whether the value itself meets the bar."""
        return self.against.value >= self.bar - 1e-9

    @property
    def missed(self) -> bool:
        """Whether the whole interval misses the bar."""
        return self.against.high < self.bar

    def verdict(self) -> str:
        """In words, with the doubt of a bar inside the interval."""
        sure = self.against.low >= self.bar if self.met else self.missed
        return ("met" if self.met else "missed") + ("" if sure else ", within chance")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        intervals = {"value": self.value._asdict(), "against": self.against._asdict()}
        return {**self._asdict(), **intervals, "met": self.met, "missed for certain": self.missed}


class Found(NamedTuple):
    """All rows, beginning with the reals'; the share of real halves that meet the bar, or None; what else there is."""

    rows: list[Row]
    halves: float | None
    facts: Mapping[str, Any]


def unfit(found: Found, everywhere: Sequence[str], able: float) -> list[str]:
    """The controls that did not do what they must, in words.

    Args:
        found: the table; every bad case must miss the bar for certain in one row at least.
        everywhere: beginnings of the names of bad cases that must miss it in every row.
        able: the least accuracy or Dice on reals of a judge that may judge.
    """
    few = found.halves is not None and found.halves < REAL_SHARE
    wrong = ["real halves meet the bar too seldom"] if few else []
    wrong += [
        f"the judge is too weak on reals ({r.name})" for r in found.rows if r.set == REAL and r.value.value < able
    ]
    for name in dict.fromkeys(row.set for row in found.rows if row.set.startswith("control")):
        missed = [row.missed for row in found.rows if row.set == name]
        enough = all if name.startswith(tuple(everywhere)) else any
        if not enough(missed):
            wrong.append(f"{name} was let through")
    return wrong


def conclude(found: Found, wrong: Sequence[str], heads: tuple[str, str, str], path: Path) -> int:
    """Print the table, write it as JSON, and give the exit status: 1 where a control failed.

    Args:
        found: the table.
        wrong: of `unfit`.
        heads: of the columns for class or label, value, and what the bar is about.
        path: of the JSON file.
    """
    console = Console(width=150)
    table = Table("set", heads[0], "images (owners)", f"{heads[1]} (95%)", f"{heads[2]} (95%)", "bar")
    for row in found.rows:
        judged = () if row.set == REAL else (str(row.against), row.verdict())
        table.add_row(row.set, row.name, f"{row.images} ({row.owners})", str(row.value), *judged)
    for name, value in found.facts.items():
        console.print(f"{name}: {value}")
    console.print(table)
    if found.halves is not None:
        console.print(f"control, real half against half: {found.halves:.0%} of {DRAWS} draws meet it")
    rows = [row.to_json() for row in found.rows]
    write_json(path, {"not measurable": list(wrong), "halves": found.halves, **found.facts, "rows": rows})
    if wrong:
        print(f"not measurable at this size: {'; '.join(wrong)}", file=sys.stderr)
        return 1
    return 0
