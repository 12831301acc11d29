"""The checks on features, the same for every extractor: bars are real against real at the same sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence import claims
from medsynth.evidence.checks import Certainty, Outcome, within
from medsynth.evidence.measurements import Measured
from medsynth.evidence.neighbourhoods import Neighbourhoods
from medsynth.metrics.fixed import FixedFeatures
from medsynth.metrics.frechet import extrapolated_distance, frechet, subset_orders
from medsynth.metrics.intervals import Estimate
from medsynth.metrics.kid import kid, polynomial_kernel
from medsynth.metrics.mmd import mmd2_on_splits, mmd_test, rbf_kernel
from medsynth.metrics.splits import Split
from medsynth.metrics.two_sample import classifier_test, cross_validated_scores
from medsynth.metrics.weighted import auc

Array = NDArray[np.float64]
IMAGES_PER_AXIS = 6
"""Images a side for each axis that a Frechet distance looks at: the widest axes first."""
PRIMARY = 0.95
OTHERS = 0.99
"""Level of the bars. MMD is the one number to look at; the others, many of them, hold a wider bar, so that good
samples do not miss one of so many lines by chance."""


@dataclass
class FeatureCheck:
    """Shared by the checks on the features of one extractor.

    Args:
        features: name of the extractor, as it was given.
        pool: measured real images; splits: of the pool, where the bar comes from.
        bandwidth: of the RBF kernel; seed: of all chance.
    """

    features: str
    pool: Measured
    splits: Sequence[Split]
    bandwidth: float = 1.0
    seed: int = 0
    looks_at: tuple[str, ...] = ("images",)
    level: float = OTHERS
    name: str = ""
    label: str = ""
    null: Array = field(init=False)

    def __post_init__(self) -> None:
        self.null = self.on_splits()

    @property
    def must_reject(self) -> tuple[str, ...]:
        """The bad cases that the check claims to catch."""
        return claims.CLAIMS[self.name]

    def of(self, images: Measured) -> Array:
        """(N, G), the features that the check looks at."""
        return images.features[self.features]

    def on_splits(self) -> Array:
        """(S,), the value on every split of the pool."""
        found = [self.value(self.pool.take(split.first), self.pool.take(split.second)) for split in self.splits]
        return np.array(found)

    def value(self, candidate: Measured, reference: Measured) -> float:
        """The number that the check is about."""
        raise NotImplementedError

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """At most the quantile `level` of real against real."""
        return within(self.value(candidate, reference), None, float(np.quantile(self.null, self.level)))


def _joined(candidate: Array, reference: Array) -> tuple[Array, Split]:
    both = np.concatenate([candidate, reference])
    return both, Split(np.arange(len(candidate)), np.arange(len(candidate), len(both)))


class KernelCheck(FeatureCheck):
    """Unbiased MMD^2 with some kernel; pairs of one patient do not count."""

    def kernel(self, x: Array, y: Array) -> Array:
        """(N, M) of features (N, F) and (M, F)."""
        raise NotImplementedError

    def on_splits(self) -> Array:
        """All splits on one kernel."""
        features = self.of(self.pool)
        return mmd2_on_splits(self.kernel(features, features), self.splits, self.pool.owners)

    def value(self, candidate: Measured, reference: Measured) -> float:
        """MMD^2."""
        both, here = _joined(self.of(candidate), self.of(reference))
        owners = np.concatenate([candidate.owners, reference.owners])
        return float(mmd2_on_splits(self.kernel(both, both), [here], owners)[0])


@dataclass
class MMDCheck(KernelCheck):
    """Unbiased RBF-MMD^2."""

    level: float = PRIMARY
    name: str = claims.MMD

    def kernel(self, x: Array, y: Array) -> Array:
        """RBF."""
        return rbf_kernel(x, y, self.bandwidth)

    def certainty(self, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
        """Jackknife interval and permutation p, by patient."""
        found = mmd_test(
            self.of(candidate),
            self.of(reference),
            self.bandwidth,
            permutations=permutations,
            rng=np.random.default_rng(self.seed),
            x_owners=candidate.owners.tolist(),
            y_owners=reference.owners.tolist(),
        )
        return Certainty((found.low, found.high), {"p": found.p, "permutations": permutations})


@dataclass
class KIDCheck(KernelCheck):
    """Unbiased polynomial-kernel MMD^2."""

    name: str = claims.KID

    def kernel(self, x: Array, y: Array) -> Array:
        """Cubic."""
        return polynomial_kernel(x, y)

    def certainty(self, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
        """Jackknife interval by patient."""
        del permutations
        owners = {"x_owners": candidate.owners.tolist(), "y_owners": reference.owners.tolist()}
        found = kid(self.of(candidate), self.of(reference), **owners)
        return Certainty((found.low, found.high), {})


@dataclass
class FrechetCheck(FeatureCheck):
    """Extrapolated Frechet distance on as many of the widest axes as there are images for."""

    name: str = claims.FRECHET

    def of(self, images: Measured) -> Array:
        """One axis for every 6 images of the smaller side of a split; at least one."""
        smaller = min(min(len(split.first), len(split.second)) for split in self.splits)
        return images.features[self.features][:, : max(1, smaller // IMAGES_PER_AXIS)]

    def value(self, candidate: Measured, reference: Measured) -> float:
        """The extrapolated distance."""
        orders = [subset_orders(side.owners, self.seed + at) for at, side in enumerate((candidate, reference))]
        return extrapolated_distance(self.of(candidate), self.of(reference), orders[0], orders[1])

    def certainty(self, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
        """Jackknife interval by patient, the plain distance, the axes and whether the images are few for them."""
        del permutations
        found = frechet(
            self.of(candidate),
            self.of(reference),
            x_owners=candidate.owners.tolist(),
            y_owners=reference.owners.tolist(),
            seed=self.seed,
        )
        total = candidate.features[self.features].shape[1]
        more = {"plain": found.plain, "axes": found.axes, "axes_of": total, "size": found.size}
        return Certainty((found.low, found.high), more)


@dataclass
class ManifoldCheck(FeatureCheck):
    """Precision, recall, density or coverage at least the 1st percentile of real against real.

    Density is held from above too: images nearer to the middle of the reals than reals are (averages) are too dense.
    """

    near: Neighbourhoods | None = None

    @property
    def _near(self) -> Neighbourhoods:
        assert self.near is not None
        return self.near

    def on_splits(self) -> Array:
        """From the shared neighbourhoods."""
        return np.array([getattr(found, self.name) for found in self._near.null])

    def value(self, candidate: Measured, reference: Measured) -> float:
        """One of the four."""
        return float(getattr(self._near.of(candidate, reference), self.name))

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Beside the quantiles of real against real."""
        value, k = self.value(candidate, reference), self._near.of(candidate, reference).k
        if self.name == claims.DENSITY:
            tail = (1 - self.level) / 2
            low, high = (float(bar) for bar in np.quantile(self.null, (tail, 1 - tail)))
            return within(value, low, high, k=k)
        return within(value, float(np.quantile(self.null, 1 - self.level)), None, k=k)

    def certainty(self, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
        """Interval by patient."""
        del permutations
        found: Estimate = getattr(self._near.certain(candidate, reference), self.name)
        return Certainty((found.low, found.high), {})


@dataclass
class TwoSampleCheck(FeatureCheck):
    """Cross-validated AUC of a classifier of synthetic against real."""

    name: str = claims.TWO_SAMPLE

    def on_splits(self) -> Array:
        """All splits at once."""
        features = self.of(self.pool)
        first, used = np.zeros((2, len(self.splits), len(features)), dtype=bool)
        for row, split in enumerate(self.splits):
            first[row, split.first] = used[row, split.first] = used[row, split.second] = True
        scores = cross_validated_scores(features, first, used, self.pool.owners, self.seed)
        return np.array([auc(s[f], s[u & ~f]) for s, f, u in zip(scores, first, used, strict=True)])

    def value(self, candidate: Measured, reference: Measured) -> float:
        """AUC."""
        both, here = _joined(self.of(candidate), self.of(reference))
        owners = np.array([f"x{o}" for o in candidate.owners] + [f"y{o}" for o in reference.owners])
        first = (np.arange(len(both)) < len(here.first))[None]
        scores = cross_validated_scores(both, first, np.ones_like(first), owners, self.seed)[0]
        return auc(scores[here.first], scores[here.second])

    def certainty(self, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
        """Jackknife interval and permutation p, by patient."""
        found = classifier_test(
            self.of(candidate),
            self.of(reference),
            permutations=permutations,
            seed=self.seed,
            x_owners=candidate.owners.tolist(),
            y_owners=reference.owners.tolist(),
        )
        return Certainty((found.low, found.high), {"p": found.p, "permutations": permutations})


def feature_checks(
    features: str, fixed: FixedFeatures, pool: Measured, splits: Sequence[Split], seed: int
) -> Iterator[FeatureCheck]:
    """Every check on the features of one extractor.

    Args:
        features: its name, as it was given.
        fixed: the extractor with its bandwidth.
        pool: measured real images; splits: of the pool, where the bars come from.
        seed: of all chance.
    """
    near = Neighbourhoods(features, pool, splits)
    shared: dict[str, Any] = {"features": features, "pool": pool, "splits": splits, "seed": seed}
    shared["looks_at"] = ("images", "labels") if fixed.reads_labels else ("images",)
    yield MMDCheck(**shared, bandwidth=fixed.bandwidth)
    yield KIDCheck(**shared)
    yield FrechetCheck(**shared)
    for name in (claims.PRECISION, claims.RECALL, claims.DENSITY, claims.COVERAGE):
        yield ManifoldCheck(**shared, name=name, near=near)
    yield TwoSampleCheck(**shared)
