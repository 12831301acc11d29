"""Features made comparable: centred, whitened and given a bandwidth on real training images alone."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import (
    IMAGES_PER_AXIS,
    MOST_FEATURES,
    FeatureExtractor,
    FeatureSpace,
    median_distance,
)

Array = NDArray[np.float64]
_RIDGE = 0.05  # added to the variance along each axis: rare directions do not rule the distance
_NO_SPREAD = 1e-9  # of the largest value: a column that varies less is constant


@dataclass(frozen=True, eq=False)
class FixedFeatures:
    """An extractor with the whitening and the bandwidth that real training images fixed.

    Args:
        extractor: gives raw features (N, F).
        mean: (F,); projection: (F, G), takes centred raw features to whitened ones, widest axes first.
        bandwidth: median distance between two training images, in whitened units.
        count: number of training images it was fixed on.
        reads_labels: whether the extractor looks at label maps.
    """

    extractor: FeatureExtractor
    mean: Array
    projection: Array
    bandwidth: float
    count: int
    reads_labels: bool

    @property
    def name(self) -> str:
        """Of the extractor's recipe."""
        return self.extractor.name

    @property
    def sha256(self) -> str:
        """Hash of the extractor and of every number here."""
        digest = hashlib.sha256(self.extractor.sha256.encode())
        for part in (self.mean, self.projection, self.bandwidth):
            digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return digest.hexdigest()

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Whitened features (N, G) of images (N, *spatial).

        Raises:
            MedsynthError: a feature that is not a finite number.
        """
        raw = self.extractor(images, labels)
        if not np.isfinite(raw).all():
            raise MedsynthError(f"features {self.name} are not finite for some image; use other features")
        features: Array = (raw - self.mean) @ self.projection
        return features


def fix_features(extractor: FeatureExtractor, training: ImageSet) -> FixedFeatures:
    """Fix whitening and bandwidth of an extractor on real training images.

    Columns without spread are left out, the others standardised and turned onto at most 64 principal axes, one for
    every 8 images, each divided by its ridged standard deviation. A `FeatureSpace` is whitened already.

    Args:
        extractor: any; training: real training images, at least 8.

    Raises:
        MedsynthError: fewer than 8 images, features that are not finite or alike for all images.
    """
    if len(training.images) < IMAGES_PER_AXIS:
        raise MedsynthError(f"features need at least 8 real training images, here are {len(training.images)}")
    raw = extractor(training.images, training.labels)
    if raw.ndim != 2 or not np.isfinite(raw).all():
        raise MedsynthError(f"features {extractor.name} are not finite rows of numbers; use other features")
    width = raw.shape[1]
    if isinstance(extractor, FeatureSpace):
        mean, projection = np.zeros(width), np.eye(width)
    else:
        mean, projection = raw.mean(0), _whitening(raw, extractor.name)
    bandwidth = median_distance((raw - mean) @ projection)
    return FixedFeatures(extractor, mean, projection, bandwidth, len(raw), _reads_labels(extractor, training))


def _whitening(raw: Array, name: str) -> Array:
    """(F, G): standardises, drops columns without spread, turns onto ridged principal axes."""
    spread = raw.std(0)
    varies = spread > _NO_SPREAD * np.maximum(np.abs(raw).max(0), 1e-300)
    if not varies.any():
        raise MedsynthError(f"features {name} are alike for all real training images; use other features")
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    _, values, axes = np.linalg.svd((raw - raw.mean(0)) * scale, full_matrices=False)
    kept = max(1, min(MOST_FEATURES, len(raw) // IMAGES_PER_AXIS, int((values > 1e-9 * values[0]).sum())))
    variance = values[:kept] ** 2 / (len(raw) - 1)
    projection: Array = scale[:, None] * axes[:kept].T / np.sqrt(variance + _RIDGE)
    return projection


def _reads_labels(extractor: FeatureExtractor, training: ImageSet) -> bool:
    """Whether a few images with each other's label maps get other features."""
    if training.labels is None:
        return False
    images, labels = training.images[:4], training.labels[:4]
    return not np.array_equal(extractor(images, labels), extractor(images, np.roll(labels, 1, axis=0)))
