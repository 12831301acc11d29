"""Can it be told who was trained on: the accuracy of an attack, with intervals, and what a size can measure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from medsynth.errors import MedsynthError
from medsynth.metrics.intervals import share_interval
from medsynth.metrics.weighted import auc as area_under

Array = NDArray[np.float64]
LEAST_FOR_ONE_PERCENT = 300
"""Held-out patients without whom a rate of 1% false alarms is not measured."""


class Area(NamedTuple):
    """Area under the ROC curve with its 95% interval; .5 tells nothing, 1 tells all."""

    value: float
    low: float
    high: float


class Rate(NamedTuple):
    """True positives at a rate of false positives, with a 95% interval that allows for both samples."""

    at: float
    value: float
    low: float
    high: float


def area(members: Array, others: Array) -> Area:
    """AUC of a score that is higher for members, with the interval of Hanley and McNeil (1982).

    Their error vanishes at 0 and 1, where 40 against 30 patients leave the truth outside in one case of nine. So the
    interval also holds every AUC that would be within 1.96 of its own errors of what was found (after Newcombe 2006,
    method 5).

    Args:
        members: (N,), one a patient of the training set.
        others: (M,), one a held-out patient.

    Raises:
        MedsynthError: one of them is empty.
    """
    n, m = len(members), len(others)
    if min(n, m) == 0:
        raise MedsynthError("an attack is measured on members and others; one of them is empty")
    auc = area_under(members, others)
    error = 1.96 * area_error(auc, n, m)
    low, high = _areas_within_reach(auc, n, m)
    return Area(auc, max(0.0, min(low, auc - error)), min(1.0, max(high, auc + error)))


def _areas_within_reach(auc: float, members: int, others: int) -> tuple[float, float]:
    """The smallest and the largest AUC whose own 1.96 errors reach `auc`."""

    def beyond(at: float) -> float:
        return abs(auc - at) - 1.96 * area_error(at, members, others)

    ends = []
    for end, near in ((0.0, auc - 1e-9), (1.0, auc + 1e-9)):
        outside = 0 <= near <= 1 and beyond(near) < 0 < beyond(end)
        ends.append(float(optimize.brentq(beyond, end, near)) if outside else auc)
    return ends[0], ends[1]


def area_error(auc: float, members: int, others: int) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982, eq. 1)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (members - 1) * (q1 - auc**2) + (others - 1) * (q2 - auc**2)
    return float(np.sqrt(max(0.0, variance) / members / others))


def smallest_area(members: int, others: int, power: float = 0.8) -> float:
    """The smallest AUC that these numbers tell from .5, two-sided at 5%, with chance `power`."""
    return min(1.0, 0.5 + (1.96 + float(stats.norm.ppf(power))) * area_error(0.5, members, others))


def rate_at(members: Array, others: Array, at: float, *, draws: int = 2000, rng: np.random.Generator) -> Rate:
    """The share of members above the score that a share `at` of the others exceed; bootstrap over patients of both.

    Where all members are above, or none, no resampling differs: the interval is at least Wilson's, which stays open.

    Args:
        members: (N,), higher for members.
        others: (M,).
        at: rate of false positives.
        draws: of the bootstrap.
        rng: source of chance.
    """

    def once(inside: Array, outside: Array) -> float:
        ordered = np.sort(outside)[::-1]
        return float((inside > ordered[min(int(np.floor(at * len(ordered))), len(ordered) - 1)]).mean())

    values = [once(rng.choice(members, len(members)), rng.choice(others, len(others))) for _ in range(draws)]
    value = once(members, others)
    low, high = np.quantile(values, (0.025, 0.975))
    least = share_interval(value, float(np.std(values)), len(members))
    return Rate(at, value, min(float(low), least.low), max(float(high), least.high))


def measurable_rates(others: int) -> tuple[float, ...]:
    """Rates of false positives that so many held-out patients can show."""
    return (0.1, 0.01) if others >= LEAST_FOR_ONE_PERCENT else (0.1,)


def standardised(errors: Array, others: NDArray[np.bool_]) -> Array:
    """One score a patient from the errors at several noise levels, higher for a smaller error.

    Each level is read in units of its spread over the held-out patients, then all are averaged.

    Args:
        errors: (N, L), logarithms.
        others: (N,), which patients are held out.
    """
    reference = errors[others]
    standard = (errors - reference.mean(0)) / np.maximum(reference.std(0), 1e-9)
    result: Array = -standard.mean(1)
    return result
