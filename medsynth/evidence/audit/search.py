"""The search for copies, with its controls: planted copies that must be found, held-out patients that must pass."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.evidence.audit.material import Material
from medsynth.evidence.audit.plan import AuditPlan, CopyBars
from medsynth.metrics.copies import (
    Nearness,
    Tail,
    TailCount,
    combined,
    fisher,
    fit_scale,
    fit_tail,
    flagged,
    nearness,
    tail_count,
)
from medsynth.metrics.correlation import Searcher
from medsynth.metrics.features import FeatureExtractor, fit_features, intensity_range
from medsynth.metrics.planted import PARTIAL, Setting, kinds, plant
from medsynth.metrics.turns import flips, turned

Array = NDArray[np.float64]
Fit = Callable[[NDArray[np.floating]], FeatureExtractor]
FEATURES = "features"


class Family(NamedTuple):
    """One search: nearness of samples, planted copies and calibration patients, and the tail of the last."""

    samples: Nearness
    planted: Nearness
    real: Nearness
    tail: Tail


class Found(NamedTuple):
    """What the search found.

    `families` by name; `p` (N,) of every sample over all families; `flagged` (N,); `count` of the set;
    `kinds` (P,) and `sources` (P,) of the planted copies, `planted_p` (P,); `real_p` (R,) of the calibration patients,
    rows `calibration` (R,) of the reals, `twins` (R,) whether one was left out of a tail; `extractors` name and hash.
    """

    families: dict[str, Family]
    p: Array
    flagged: NDArray[np.bool_]
    count: TailCount
    kinds: NDArray[np.str_]
    planted_p: Array
    calibration: NDArray[np.intp]
    real_p: Array
    twins: NDArray[np.bool_]
    extractors: list[dict[str, str]]


def search(
    material: Material,
    plan: AuditPlan,
    seed: int,
    *,
    fit: Fit = fit_features,
    step: Callable[[int], None] | None = None,
) -> Found:
    """Search every sample, planted copy and calibration patient among all real patients.

    Args:
        material: samples and reals.
        plan: how thoroughly, and the bars.
        seed: of the planting and the choice of calibration patients.
        fit: a feature extractor from real images (N, *spatial), one for each channel.
        step: is told how many images more are done.
    """
    rng = np.random.default_rng((seed, 1))
    calibration = calibration_rows(material, plan.copies.calibration, rng)
    copies, made, hosts = planted_copies(material, plan.copies.planted, rng)
    images = torch.cat([material.samples, copies, material.reals[calibration]])
    n, p = len(material.samples), len(copies)
    excluded = np.concatenate(
        [
            material.excluded(),
            material.patients[hosts][:, None] == material.patients[None],
            material.patients[calibration][:, None] == material.patients[None],
        ]
    )
    searcher = Searcher(material.reals, material.spacing, plan.search)
    scores: dict[str, Array] = {name: fisher(values) for name, values in searcher(images, material.reals, step).items()}
    extractors = [fit(material.reals[:, channel].numpy()) for channel in range(material.reals.shape[1])]
    scores[FEATURES] = feature_scores(images, material.reals, extractors, material.spacing)
    families = {}
    for name, values in scores.items():
        scale = fit_scale(values[n + p :], material.training, excluded[n + p :])
        near = nearness(values, material.training, excluded, scale)
        parts = [Nearness(*(part[rows] for part in near)) for rows in (slice(n), slice(n, n + p), slice(n + p, None))]
        families[name] = Family(*parts, fit_tail(parts[2].gap))
    chances = [_p(families, which) for which in ("samples", "planted", "real")]
    bar = plan.copies.false_alarms / 2
    twins = np.zeros(len(calibration), dtype=bool)
    for family in families.values():
        twins[family.tail.twins] = True
    count = tail_count(_spread(families, "samples"), _spread(families, "real")[~twins], alpha=bar)
    named = [{"name": extractor.name, "sha256": extractor.sha256} for extractor in extractors]
    return Found(
        families, chances[0], flagged(chances[0], bar), count, made, chances[1], calibration, chances[2], twins, named
    )


def calibration_rows(material: Material, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """One image of each real patient, of at most `most` of them; held-out ones first, up to half."""
    order = rng.permutation(len(material.patients))
    _, first = np.unique(material.patients[order], return_index=True)
    rows = order[np.sort(first)]
    held_out, training = rows[~material.training[rows]], rows[material.training[rows]]
    part = held_out[: max(most // 2, most - len(training))]
    return np.sort(np.concatenate([part, training[: most - len(part)]]))


def planted_copies(
    material: Material, each: int, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.str_], NDArray[np.intp]]:
    """`each` copies of every kind; their kinds, and the rows of the held-out images that they are blended with."""
    training, held_out = np.flatnonzero(material.training), np.flatnonzero(~material.training)
    low, high = intensity_range(material.reals.numpy())
    setting = Setting(material.spacing, low, high)
    copies, made, hosts = [], [], []
    for kind in kinds(material.reals.ndim - 2):
        for _ in range(each):
            source, host = int(rng.choice(training)), int(rng.choice(held_out))
            copy = plant(kind, material.reals[source].numpy(), material.reals[host].numpy(), setting, rng)
            copies.append(torch.from_numpy(copy))
            made.append(kind)
            hosts.append(host)
    return torch.stack(copies), np.array(made), np.array(hosts)


def feature_scores(
    images: Tensor, reals: Tensor, extractors: list[FeatureExtractor], spacing: tuple[float, ...]
) -> Array:
    """(N, 1, M): minus the logarithm of the distance in feature space, the least over flips of the image."""
    squared = np.full((len(images), len(reals)), np.inf)
    there = [extractor(reals[:, channel].numpy()) for channel, extractor in enumerate(extractors)]
    for turn in flips(images.ndim - 2):
        flipped = turned(images, turn, spacing).numpy()
        apart = np.zeros_like(squared)
        for channel, extractor in enumerate(extractors):
            own, other = extractor(flipped[:, channel]), there[channel]
            apart += np.maximum((own**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * own @ other.T, 0)
        squared = np.minimum(squared, apart)
    usual = float(np.median(squared))
    scores: Array = -0.5 * np.log(squared + 1e-6 * usual)[:, None]
    return scores


def false_alarms(found: Found, material: Material, bars: CopyBars, seed: int) -> float:
    """The share of draws in which half of the held-out patients, in the samples' place, raise an alarm.

    The tails are measured anew on all other patients of the calibration.
    """
    rng = np.random.default_rng((seed, 2))
    held_out = np.flatnonzero(~material.training[found.calibration] & ~found.twins)
    alarms = 0
    for _ in range(bars.stand_ins):
        half = rng.permutation(held_out)[: len(held_out) // 2]
        rest = np.setdiff1d(np.flatnonzero(~found.twins), half)
        alarms += alarm(found.families, half, rest, bars.false_alarms)
    return alarms / bars.stand_ins


def alarm(families: Mapping[str, Family], rows: NDArray[np.intp], rest: NDArray[np.intp], level: float) -> bool:
    """Whether real patients `rows` would fail as a set of samples, measured by patients `rest`."""
    chances = [fit_tail(family.real.gap[rest]).p(family.real.gap[rows]) for family in families.values()]
    spread = _spread(families, "real")
    count = tail_count(spread[rows], spread[rest], alpha=level / 2)
    return bool(flagged(combined(chances), level / 2).any() or count.p < level / 2)


def found_by_kind(found: Found, bar: float) -> dict[str, tuple[int, int]]:
    """Of every kind of planted copies, how many have p below `bar`, and of how many."""
    return {
        str(kind): (int((found.planted_p[found.kinds == kind] <= bar).sum()), int((found.kinds == kind).sum()))
        for kind in dict.fromkeys(found.kinds)
    }


def is_whole(kind: str) -> bool:
    """Whether a kind of copy has to be found; copies of parts are found where the size allows."""
    return kind not in PARTIAL


def _p(families: Mapping[str, Family], which: str) -> Array:
    return combined([family.tail.p(getattr(family, which).gap) for family in families.values()])


def _spread(families: Mapping[str, Family], which: str) -> Array:
    """The largest gap over the families, each in spreads of the real patients' gaps."""
    gaps = []
    for family in families.values():
        null = family.real.gap
        middle = np.median(null)
        spread = max(1.4826 * float(np.median(np.abs(null - middle))), 1e-9)
        gaps.append((getattr(family, which).gap - middle) / spread)
    largest: Array = np.max(gaps, axis=0)
    return largest
