"""Features of an image that are fixed before a synthetic image is seen.

"haar_energy_lowres_v1" joins, for any spatial rank,
(a) the image averaged down to at most 8 voxels a side, in its first principal components,
(b) the log energy of every Haar wavelet band at up to three levels,
(c) seven quantiles of the intensity,
standardised and turned onto at most 64 whitened principal axes, so that a rare combination
(the coarse bands of a sharp image beside the fine bands of a smooth one) counts as much as a
common one.
Principal axes, scales and the kernel's bandwidth come from the real training images alone;
`FeatureSpace.sha256` says which.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.metrics.controls import ImageSet

Array = NDArray[np.float64]
NAME = "haar_energy_lowres_v1"
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
LOWRES_SIDE = 8
LEVELS = 3
MOST_FEATURES = 64
IMAGES_PER_AXIS = 8
"""Training images for each principal axis. With 4, fresh real images look foreign to axes fitted on the others: the
95% bar of real against real was passed by 75 to 88% of fresh draws; with 8, by 92 to 95%."""
_FLOOR = 1e-7  # of the squared intensity range: about the rounding of a stored image
_RIDGE = 0.05  # added to the variance along each axis: rare directions do not rule the distance
_LEAST_ENERGY = 0.02  # smallest standard deviation of a log10 energy that is divided by
_LEAST_QUANTILE = 0.005  # and of a quantile: half a percent of the range is not anatomy


class FeatureExtractor(Protocol):
    """A fixed map from images to numbers, injected where numbers are compared.

    `name` is of the recipe; `sha256` hashes all that defines the numbers, weights among it, so that two results with
    the same hash are comparable.
    """

    @property
    def name(self) -> str:
        """Of the recipe."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of all that defines the numbers."""
        ...

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Features (N, F), finite, of images (N, *spatial), in units of the reals, and their label maps if any."""
        ...


class FeaturePlan(ABC):
    """What is wished for before the cases are known: `fit` turns it into an extractor.

    A plan that learns nothing and one that is fixed on real training images look alike, so that those who compare
    numbers need not know which is which. A subclass is a frozen dataclass whose fields are its settings.
    """

    @abstractmethod
    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> FeatureExtractor:
        """Fix an extractor.

        Args:
            training: real training images of one channel; neither held-out nor synthetic ones.
            spacing: voxel size in mm along each spatial axis.
            units: of the channel: "HU", "arbitrary", "grey", ...
            seed: of all chance in the fitting.
            cache: folder for what is dear to make again; None: nothing is kept. What is found there is used only
                where plan, images and seed are the same.

        Raises:
            MedsynthError: too few images, or images that the plan has no use for.
        """


@dataclass(frozen=True)
class HaarPlan(FeaturePlan):
    """The features of this module: `components` as in `fit_features`."""

    components: int = 16

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> "FeatureSpace":
        """Fix axes, scales and bandwidth on the training images; the rest is not looked at."""
        del spacing, units, seed, cache
        return fit_features(training.images, components=self.components)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """A fixed map from images to features, with the bandwidth of the kernel on them.

    Args:
        low: intensity that maps to 0, in units of the images.
        high: intensity that maps to 1.
        lowres_mean: (V,), mean low-resolution image.
        lowres_axes: (V, K), principal axes divided by the standard deviation along them.
        mean: (F,), of the raw features.
        projection: (F, G), takes centred raw features to the features.
        bandwidth: median distance between two training images, in feature units.
        count: number of training images it was fixed on.
        name: of the recipe.
    """

    low: float
    high: float
    lowres_mean: Array
    lowres_axes: Array
    mean: Array
    projection: Array
    bandwidth: float
    count: int
    name: str = NAME

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Features of `images` (N, *spatial) in the units it was fixed on, (N, G); label maps are not looked at."""
        del labels
        raw = _raw(images, self.low, self.high, self.lowres_mean, self.lowres_axes)
        features: Array = (raw - self.mean) @ self.projection
        return features

    @property
    def sha256(self) -> str:
        """Hash of every number that defines the features and the bandwidth."""
        digest = hashlib.sha256(self.name.encode())
        for part in (
            self.low,
            self.high,
            self.lowres_mean,
            self.lowres_axes,
            self.mean,
            self.projection,
            self.bandwidth,
        ):
            digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return digest.hexdigest()


def fit_features(images: NDArray[np.floating], *, components: int = 16) -> FeatureSpace:
    """Fix the feature space and bandwidth on real training images.

    Args:
        images: (N, *spatial), real training images on one grid, finite, in any units.
        components: principal components of the low-resolution image, at most N // 8 of them.

    Raises:
        MedsynthError: fewer than 8 images, or all voxels alike.
    """
    if len(images) < 8:
        raise MedsynthError(f"features need at least 8 real training images, here are {len(images)}; add real cases")
    low, high = intensity_range(images)
    small = np.stack([_lowres(_scaled(image, low, high)) for image in images])
    mean = small.mean(axis=0)
    kept = max(1, min(components, len(images) // IMAGES_PER_AXIS))
    _, values, axes = np.linalg.svd(small - mean, full_matrices=False)
    spread = np.maximum(values[:kept] / np.sqrt(len(images) - 1), 1e-6)
    lowres_axes = axes[:kept].T / spread
    raw = _raw(images, low, high, mean, lowres_axes)
    centre, projection = raw.mean(axis=0), _whitening(raw, kept)
    features = (raw - centre) @ projection
    return FeatureSpace(low, high, mean, lowres_axes, centre, projection, median_distance(features), len(images))


def intensity_range(images: NDArray[np.floating]) -> tuple[float, float]:
    """The 0.5% and 99.5% quantile of all voxels of `images` (N, *spatial): their robust range.

    Raises:
        MedsynthError: the images have one value only.
    """
    voxels = np.asarray(images).reshape(len(images), -1)
    step = max(1, voxels.size // 5_000_000)
    low, high = (float(v) for v in np.quantile(voxels.ravel()[::step], (0.005, 0.995)))
    if high <= low:
        low, high = float(voxels.min()), float(voxels.max())
    if high <= low:
        raise MedsynthError("all real voxels have one value; there is nothing to compare")
    return low, high


def median_distance(features: Array, limit: int = 1000) -> float:
    """Median Euclidean distance between two different rows of `features` (N, F), of at most `limit` rows."""
    rows = features[:: max(1, -(-len(features) // limit))]
    squared = np.maximum((rows**2).sum(1)[:, None] + (rows**2).sum(1)[None] - 2 * rows @ rows.T, 0)
    return max(float(np.sqrt(np.median(squared[np.triu_indices(len(rows), 1)]))), 1e-6)


def haar_log_energies(image: Array, levels: int = LEVELS) -> Array:
    """Log10 of the mean square of every orthonormal Haar detail band of one image.

    Args:
        image: (*spatial), any rank; an odd side loses its last plane at that level.
        levels: at most this many, fewer where a side falls below 2.

    Returns:
        (levels * (2**rank - 1),); fewer levels leave their last value repeated.
    """
    rank, energies = image.ndim, []
    for _ in range(levels):
        if min(image.shape) >= 2:
            image = image[tuple(slice(0, side - side % 2) for side in image.shape)]
            bands = [image]
            for axis in range(rank):
                even, odd = ([b.take(range(s, b.shape[axis], 2), axis) for b in bands] for s in (0, 1))
                bands = [h for a, b in zip(even, odd, strict=True) for h in ((a + b) / 2**0.5, (a - b) / 2**0.5)]
            image, details = bands[0], [float(np.mean(band**2)) for band in bands[1:]]
        energies.append(details)
    return np.log10(np.array(energies).ravel() + _FLOOR)


def _raw(images: NDArray[np.floating], low: float, high: float, mean: Array, axes: Array) -> Array:
    rows = []
    for image in images:
        scaled = _scaled(image, low, high)
        lowres = (_lowres(scaled) - mean) @ axes
        rows.append(np.concatenate([lowres, haar_log_energies(scaled), np.quantile(scaled, QUANTILES)]))
    return np.stack(rows)


def _scaled(image: NDArray[np.floating], low: float, high: float) -> Array:
    scaled: Array = (image.astype(np.float64) - low) / (high - low)
    return scaled


def _lowres(image: Array) -> Array:
    """Average into at most LOWRES_SIDE blocks along each axis, flattened."""
    for axis in range(image.ndim):
        edges = np.linspace(0, image.shape[axis], min(LOWRES_SIDE, image.shape[axis]) + 1).round().astype(int)
        sums = np.add.reduceat(image, edges[:-1], axis=axis)
        widths = np.diff(edges).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        image = sums / widths
    return image.ravel()


def _whitening(raw: Array, lowres: int) -> Array:
    """(F, G): unit variance along every principal axis of the standardised training features, ridged."""
    least = np.full(raw.shape[1], _LEAST_ENERGY)
    least[:lowres], least[-len(QUANTILES) :] = 1e-6, _LEAST_QUANTILE
    scale = np.maximum(raw.std(axis=0), least)
    _, values, axes = np.linalg.svd((raw - raw.mean(axis=0)) / scale, full_matrices=False)
    kept = max(1, min(MOST_FEATURES, len(raw) // IMAGES_PER_AXIS, len(values)))
    variance = values[:kept] ** 2 / (len(raw) - 1)
    projection: Array = axes[:kept].T / np.sqrt(variance + _RIDGE) / scale[:, None]
    return projection
