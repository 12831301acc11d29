"""Radiomic features of images as one row of numbers each: by label, or of the foreground."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.files import sha256_json
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, intensity_range
from medsynth.metrics.radiomics.discretise import Discretisation, FixedBinNumber, FixedBinWidth
from medsynth.metrics.radiomics.first_order import Histogram, Statistics, histogram, statistics
from medsynth.metrics.radiomics.glcm import Cooccurrence, cooccurrence, cooccurrence_matrices
from medsynth.metrics.radiomics.glrlm import RunLengths, run_length_matrices, run_lengths
from medsynth.metrics.radiomics.shape import Shape, shape

Array = NDArray[np.float64]
NAME = "radiomics_ibsi_v1"
MOST_LABELS = 16
_BODY_HU = -500.0
_FOREGROUND = 0.1  # of the robust range of the training images

_FAMILIES: dict[str, type] = {
    "morph": Shape,
    "stat": Statistics,
    "ih": Histogram,
    "cm": Cooccurrence,
    "rlm": RunLengths,
}
FEATURES = tuple(f"{family}_{name}" for family, kind in _FAMILIES.items() for name in kind._fields)  # type: ignore[attr-defined]
"""Names of the features of one region, as IBSI's benchmark tables tag them."""


def region_features(
    image: NDArray[np.floating],
    mask: NDArray[np.bool_],
    spacing: Sequence[float],
    discretisation: Discretisation,
) -> dict[str, float]:
    """Every feature of `FEATURES` of one region of one image.

    Textures are those of the merged matrices ("3D_comb"; in 2D "2D_comb") on the voxel grid: images that are
    compared lie on one grid.

    Args:
        image: (*spatial), 2D or 3D.
        mask: (*spatial), the region; all features are NaN where it is empty, some where it is a voxel or constant.
        spacing: voxel size in mm along each axis.
        discretisation: of the intensities into grey levels.
    """
    if not mask.any():
        return dict.fromkeys(FEATURES, float("nan"))
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))
    image, mask = image[box].astype(np.float64), mask[box]
    levels = np.zeros(mask.shape, dtype=np.intp)
    levels[mask] = discretisation(image[mask])
    families: Mapping[str, tuple[float, ...]] = {
        "morph": shape(mask, image, spacing),
        "stat": statistics(image[mask]),
        "ih": histogram(levels[mask]),
        "cm": cooccurrence(cooccurrence_matrices(levels)),
        "rlm": run_lengths(run_length_matrices(levels), int(mask.sum())),
    }
    return dict(zip(FEATURES, (value for family in families.values() for value in family), strict=True))


@dataclass(frozen=True, eq=False)
class Radiomics:
    """Radiomic features of images on one grid.

    Args:
        spacing: voxel size in mm along each spatial axis.
        discretisation: of intensities into grey levels.
        labels: values of the regions, or empty: the foreground, which is the voxels brighter than `cut`.
        cut: in units of the images.
        fill: (R, len(FEATURES)), what stands for a feature that a region has not: the training images' median.
        name: of the recipe.
    """

    spacing: tuple[float, ...]
    discretisation: Discretisation
    labels: tuple[int, ...]
    cut: float
    fill: Array
    name: str = NAME

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of every column: region, then IBSI's tag; "present" is 1 where the region has voxels, else 0."""
        regions = [f"label {value}" for value in self.labels] or ["foreground"]
        return tuple(f"{region}: {name}" for region in regions for name in (*FEATURES, "present"))

    @property
    def sha256(self) -> str:
        """Hash of the settings and of the fillings."""
        settings = {"name": self.name, "spacing": list(self.spacing), "labels": list(self.labels), "cut": self.cut}
        kind = {type(self.discretisation).__name__: asdict(self.discretisation)}
        return sha256_json({**settings, "discretisation": kind, "features": FEATURES, "fill": self.fill.tolist()})

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Features (N, F), finite, of `images` (N, *spatial) and their label maps.

        Raises:
            MedsynthError: regions are labels, and no label maps are given.
        """
        raw = measure_regions(images, labels, self.labels, self.cut, self.spacing, self.discretisation)
        present = ~np.isnan(raw).all(axis=-1, keepdims=True)
        filled = np.where(np.isfinite(raw), raw, self.fill)
        return np.concatenate([filled, present], axis=-1).reshape(len(images), -1)


@dataclass(frozen=True)
class RadiomicsPlan(FeaturePlan):
    """IBSI's first-order, shape, GLCM and GLRLM features by label, or of the foreground.

    Without label maps the region is the foreground: above -500 HU (body in air), or in other units above a tenth of
    the robust range of the training images; for both the cut is fixed on the training images' units alone.

    Args:
        bins: grey levels between the minimum and the maximum of a region; None with no width: 32, but for HU.
        width: units of one grey level, from the first of `window` on; None with no bins: 25 for HU.
        window: units that the levels of a width span; what lies beyond is clipped.
        labels: values of the labels to measure; None: all that the training maps hold but 0.
    """

    bins: int | None = None
    width: float | None = None
    window: tuple[float, float] = (-1000.0, 3000.0)
    labels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.bins is not None and self.width is not None:
            raise MedsynthError("radiomics: grey levels are of a number (bins) or of a width; leave one out")
        self._discretisation("arbitrary")

    def _discretisation(self, units: str) -> Discretisation:
        if self.bins is not None:
            return FixedBinNumber(bins=self.bins)
        if self.width is not None or units == "HU":
            low, high = self.window
            return FixedBinWidth(width=25.0 if self.width is None else self.width, low=low, high=high)
        return FixedBinNumber()

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> Radiomics:
        """Choose regions and levels, and take the medians that stand for what an image has not."""
        del seed, cache
        found: tuple[int, ...] = ()
        if training.labels is not None:
            found = tuple(self.labels or ()) or tuple(int(value) for value in np.unique(training.labels) if value != 0)
        elif self.labels:
            raise MedsynthError("radiomics of labels need cases with label maps; leave labels out for the foreground")
        if len(found) > MOST_LABELS:
            raise MedsynthError(
                f"radiomics of {len(found)} labels are more numbers than images can tell apart; "
                f"name at most {MOST_LABELS}: labels='[1,2]'"
            )
        low, high = intensity_range(training.images)
        cut = _BODY_HU if units == "HU" else low + _FOREGROUND * (high - low)
        levels = self._discretisation(units)
        steps = tuple(float(step) for step in spacing)
        raw = measure_regions(training.images, training.labels, found, cut, steps, levels)
        return Radiomics(steps, levels, found, cut, _medians(raw))


def measure_regions(
    images: NDArray[np.floating],
    labels: NDArray[np.integer] | None,
    values: Sequence[int],
    cut: float,
    spacing: Sequence[float],
    discretisation: Discretisation,
) -> Array:
    """Features (N, R, len(FEATURES)) of every region of every image, NaN where there are none."""
    if values and labels is None:
        raise MedsynthError("radiomics were fixed on labels, and these images have no label maps")
    rows = []
    for number, image in enumerate(images):
        masks = [labels[number] == value for value in values] if values and labels is not None else [image > cut]
        rows.append([list(region_features(image, mask, spacing, discretisation).values()) for mask in masks])
    return np.asarray(rows, dtype=np.float64)


def _medians(raw: Array) -> Array:
    """Median of what is finite over the images, 0 where nothing is."""
    medians = np.zeros(raw.shape[1:])
    for place in np.ndindex(medians.shape):
        held = raw[:, *place]
        held = held[np.isfinite(held)]
        medians[place] = np.median(held) if len(held) else 0.0
    return medians
