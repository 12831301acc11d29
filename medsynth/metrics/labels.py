"""What a label map says of anatomy: volume, connectivity, contrast to the surroundings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

Array = NDArray[np.float64]


class LabelTable(NamedTuple):
    """Per image, (N,) each: volume, components and contrast of one label.

    `volume` in ml (2D: in cm^2), 0 where the label is absent; `components` counts the connected
    parts, 0 where absent; `contrast` is NaN where the label or its shell is empty.
    """

    volume: Array
    components: NDArray[np.intp]
    contrast: Array

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,), whether the image has the label at all."""
        return self.volume > 0


class VolumeComparison(NamedTuple):
    """Volumes of a label in two groups: relative difference of means with its 95% interval, and more.

    `difference` = mean(first) / mean(second) - 1; `sd_ratio` = SD(first) / SD(second); `ks` and
    `ks_p`: two-sample Kolmogorov-Smirnov statistic and its p.
    """

    difference: float
    low: float
    high: float
    sd_ratio: float
    ks: float
    ks_p: float


def label_table(
    labels: NDArray[np.integer], value: int, spacing: Sequence[float], images: NDArray[np.floating]
) -> LabelTable:
    """Measure label `value` in every image.

    Voxels that touch by a face, an edge or a corner are connected (26 neighbours in 3D, 8 in
    2D). Contrast: mean inside minus mean in the shell of two voxels around the label, divided by
    the robust range (0.5% to 99.5% quantile) of that image.

    Args:
        labels: (N, *spatial), whole numbers.
        value: the label.
        spacing: voxel size in mm along each spatial axis.
        images: (N, *spatial), on the same grid.
    """
    voxel = float(np.prod(spacing)) / (1000 if len(spacing) == 3 else 100)
    touching = np.ones((3,) * len(spacing), dtype=bool)
    volume, components = np.zeros(len(labels)), np.zeros(len(labels), dtype=np.intp)
    contrast = np.full(len(labels), np.nan)
    for row, (label, image) in enumerate(zip(labels, images, strict=True)):
        inside = label == value
        if not inside.any():
            continue
        volume[row] = voxel * int(inside.sum())
        components[row] = ndimage.label(inside, structure=touching)[1]
        contrast[row] = label_contrast(image, inside)
    return LabelTable(volume, components, contrast)


def label_contrast(image: NDArray[np.floating], inside: NDArray[np.bool_]) -> float:
    """Mean inside minus mean in the shell of two voxels around, in robust ranges of the image.

    Args:
        image: (*spatial).
        inside: (*spatial), the label.

    Returns:
        A number, usually in -1 to 1; NaN without inside or shell, 0 for an image of one value.
    """
    around = [slice(max(0, int(at.min()) - 2), int(at.max()) + 3) for at in np.nonzero(inside)] if inside.any() else []
    if not around:
        return float("nan")
    box = tuple(around)
    shell = ndimage.binary_dilation(inside[box], np.ones((3,) * image.ndim), iterations=2) & ~inside[box]
    if not shell.any():
        return float("nan")
    low, high = np.quantile(image, (0.005, 0.995))
    gap = float(image[box][inside[box]].mean(dtype=np.float64) - image[box][shell].mean(dtype=np.float64))
    return gap / float(high - low) if high > low else 0.0


def compare_volumes(first: Array, second: Array) -> VolumeComparison:
    """Compare the volumes of a label in two groups, of images that have it.

    The interval of the ratio of means is the delta method's, for independent images.

    Args:
        first: (N,) volumes, N at least 2.
        second: (M,) volumes, M at least 2, with positive mean.
    """
    ratio = float(first.mean() / second.mean())
    relative = [float(v.var(ddof=1) / len(v) / v.mean() ** 2) if v.mean() > 0 else 0.0 for v in (first, second)]
    error = ratio * float(np.sqrt(sum(relative)))
    spread = float(second.std(ddof=1))
    sd_ratio = float(first.std(ddof=1)) / spread if spread > 0 else float("inf")
    ks = stats.ks_2samp(first, second, method="asymp")
    return VolumeComparison(
        ratio - 1, ratio - 1 - 1.96 * error, ratio - 1 + 1.96 * error, sd_ratio, float(ks.statistic), float(ks.pvalue)
    )


def usual_components(table: LabelTable) -> int:
    """The most frequent number of parts among real images that have the label (2 for a pair of lungs)."""
    counts = np.bincount(table.components[table.present])
    return int(counts.argmax()) if counts.size else 1
