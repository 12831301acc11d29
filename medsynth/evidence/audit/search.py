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


class Rows(NamedTuple):
    """Which images of a search are what: indices of samples, planted copies and calibration patients."""

    samples: NDArray[np.intp]
    planted: NDArray[np.intp]
    real: NDArray[np.intp]


class Found(NamedTuple):
    """What the search found.

    `families` by name; `p` (N,) of every sample over all families; `flagged` (N,); `tail` of those not flagged;
    `planted_p` (P,) of the planted copies; `real_p` (R,) of the calibration patients; `twins` (R,) which of them were
    left out of a tail.
    """

    families: dict[str, Family]
    p: Array
    flagged: NDArray[np.bool_]
    tail: TailCount
    planted_p: Array
    real_p: Array
    twins: NDArray[np.bool_]


class Searched(NamedTuple):
    """What was compared: `scores` (K, V, M) by family, `excluded` (K, M), which `rows` of K are what.

    `training` (M,); `kinds` (P,) of the planted copies and `sources` (P,), the reals that they are of; `calibration`
    (R,) rows of the reals; `extractors`: name and hash of each.
    """

    scores: dict[str, Array]
    excluded: NDArray[np.bool_]
    training: NDArray[np.bool_]
    rows: Rows
    kinds: NDArray[np.str_]
    sources: NDArray[np.intp]
    calibration: NDArray[np.intp]
    extractors: list[dict[str, str]]


def search(
    material: Material,
    plan: AuditPlan,
    seed: int,
    *,
    fit: Fit = fit_features,
    step: Callable[[int], None] | None = None,
) -> Searched:
    """Compare every sample, planted copy and calibration patient with all real patients.

    Args:
        material: samples and reals.
        plan: how thoroughly, and the bars.
        seed: of the planting and the choice of calibration patients.
        fit: a feature extractor from real images (N, *spatial), one for each channel.
        step: is told how many images more are done.
    """
    rng = np.random.default_rng((seed, 1))
    calibration = calibration_rows(material, plan.copies.calibration, rng)
    copies, made, sources, hosts = planted_copies(material, plan.copies.planted, rng)
    images = torch.cat([material.samples, copies, material.reals[calibration]])
    ends = np.cumsum([len(material.samples), len(copies), len(calibration)])
    own = material.patients[np.concatenate([hosts, calibration])]
    excluded = np.concatenate([material.excluded(), own[:, None] == material.patients[None]])
    searcher = Searcher(material.reals, material.spacing, plan.search)
    scores: dict[str, Array] = {name: fisher(each) for name, each in searcher(images, material.reals, step).items()}
    extractors = [fit(material.reals[:, channel].numpy()) for channel in range(material.reals.shape[1])]
    scores[FEATURES] = feature_scores(images, material.reals, extractors, material.spacing)
    return Searched(
        scores,
        excluded,
        material.training,
        Rows(np.arange(ends[0]), np.arange(ends[0], ends[1]), np.arange(ends[1], ends[2])),
        made,
        sources,
        calibration,
        [{"name": extractor.name, "sha256": extractor.sha256} for extractor in extractors],
    )


def find(searched: Searched, bars: CopyBars) -> Found:
    """What stands out, measured by what chance does to the calibration patients."""
    rows = searched.rows
    families = {}
    for name, scores in searched.scores.items():
        real, training = scores[rows.real], searched.training
        scale = fit_scale(real, training, searched.excluded[rows.real])
        near = [nearness(scores[some], training, searched.excluded[some], scale) for some in rows]
        families[name] = Family(samples=near[0], planted=near[1], real=near[2], tail=fit_tail(near[2].gap))
    twins = np.zeros(len(rows.real), dtype=bool)
    for family in families.values():
        twins[family.tail.twins] = True
    samples, planted, known = (
        combined([family.tail.p(getattr(family, which).gap) for family in families.values()])
        for which in ("samples", "planted", "real")
    )
    bar = bars.false_alarms / 2
    out = flagged(samples, bar)
    # Flagged samples are dropped by themselves: the count asks whether the others are fit to be shared.
    tail = tail_count(_spread(families, "samples")[~out], _spread(families, "real")[~twins], alpha=bar)
    return Found(families, samples, out, tail, planted, known, twins)


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
) -> tuple[Tensor, NDArray[np.str_], NDArray[np.intp], NDArray[np.intp]]:
    """`each` copies of every kind; their kinds, the reals that they are of, and those that they are blended with."""
    training, held_out = np.flatnonzero(material.training), np.flatnonzero(~material.training)
    low, high = intensity_range(material.reals.numpy())
    setting = Setting(material.spacing, low, high)
    copies, made, sources, hosts = [], [], [], []
    for kind in kinds(material.reals.ndim - 2):
        for _ in range(each):
            source, host = int(rng.choice(training)), int(rng.choice(held_out))
            copy = plant(kind, material.reals[source].numpy(), material.reals[host].numpy(), setting, rng)
            copies.append(torch.from_numpy(copy))
            made.append(kind)
            sources.append(source)
            hosts.append(host)
    return torch.stack(copies), np.array(made), np.array(sources), np.array(hosts)


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


def false_alarms(searched: Searched, twins: NDArray[np.bool_], bars: CopyBars, seed: int) -> float:
    """The share of draws in which half of the held-out patients, in the samples' place, raise an alarm.

    They are no references then, and everything is measured anew on the other patients.

    Args:
        searched: of the audit.
        twins: (R,) calibration patients who are left out.
        bars: of the audit.
        seed: of the draws.
    """
    rng = np.random.default_rng((seed, 2))
    held_out = np.flatnonzero(~searched.training[searched.calibration] & ~twins)
    halves = (rng.permutation(held_out)[: len(held_out) // 2] for _ in range(bars.stand_ins))
    return float(np.mean([alarm(find(stand_in(searched, half), bars), bars) for half in halves]))


def stand_in(searched: Searched, some: NDArray[np.intp]) -> Searched:
    """The search as if calibration patients `some` were the samples, and no references to anybody."""
    real = searched.rows.real
    own = np.asarray(searched.excluded[real[some]].any(0))  # all images of these patients
    rows = Rows(real[some], searched.rows.planted[:0], np.delete(real, some))
    return without(searched, own)._replace(rows=rows)


def without(searched: Searched, references: NDArray[np.bool_]) -> Searched:
    """The search without some references, a mask (M,)."""
    kept = ~references
    return searched._replace(
        scores={name: scores[..., kept] for name, scores in searched.scores.items()},
        excluded=searched.excluded[:, kept],
        training=searched.training[kept],
    )


def alarm(found: Found, bars: CopyBars) -> bool:
    """Whether a set fails: a flagged sample, or too many in the tail."""
    return bool(found.flagged.any() or found.tail.p < bars.false_alarms / 2)


def found_by_kind(found: Found, made: NDArray[np.str_], bar: float) -> dict[str, tuple[int, int]]:
    """Of every kind of planted copies, how many have p at most `bar`, and of how many; `made` (P,) are their kinds."""
    return {
        str(kind): (int((found.planted_p[made == kind] <= bar).sum()), int((made == kind).sum()))
        for kind in dict.fromkeys(made)
    }


def is_whole(kind: str) -> bool:
    """Whether a kind of copy has to be found; copies of parts are found where the size allows."""
    return kind not in PARTIAL


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
