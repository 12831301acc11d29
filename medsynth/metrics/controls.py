"""Bad cases made from real ones: what a metric worth its name rejects."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.errors import MedsynthError

BLUR = "reals blurred by 1 mm or a voxel"
NOISE = "reals with 5% noise"
AVERAGE = "averages of two patients"
CONSTANT = "constant-mean volumes"
REPEATED = "one case repeated"
TRIPLED = "intensities tripled"
DROPPED = "half of the variety missing"
SHUFFLED = "shuffled labels"
GROWN = "labels grown by one voxel"
SPECKS = "specks in one label map of five"
LOST = "labels lost in one map of five"
ERODED = "labels eroded by one voxel"
ROUGHENED = "labels with a ragged surface"
HOLED = "a hole in one label map of five"
MOVED = "label maps moved by a tenth of the sides"
MIRRORED = "label maps mirrored along every axis"
SWAPPED = "two labels swapped"
APART = "labels pulled apart by two voxels each"
BRIDGED = "two labels joined in one map of five"


class ImageSet(NamedTuple):
    """Images of one channel on one grid, with their label maps and owners.

    `images` (N, *spatial); `labels` (N, *spatial) of whole numbers, or None; `owners` (N,):
    patient key of each image (synthetic images: one each).
    """

    images: NDArray[np.floating]
    labels: NDArray[np.integer] | None
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[np.intp]) -> Self:
        """The images of `rows`."""
        return type(self)(self.images[rows], None if self.labels is None else self.labels[rows], self.owners[rows])


def controls(
    real: ImageSet, spacing: Sequence[float], value_range: tuple[float, float], rng: np.random.Generator
) -> dict[str, ImageSet]:
    """Every bad case of the same size as `real`, by name; those of labels where there are labels.

    Args:
        real: real images; two patients at least.
        spacing: voxel size in mm along each spatial axis.
        value_range: robust range of the real intensities: 5% noise is 5% of it.
        rng: source of chance.
    """
    made = {
        BLUR: blurred(real, spacing),
        NOISE: noisy(real, value_range, rng),
        AVERAGE: averaged(real, rng),
        CONSTANT: constant_mean(real),
        REPEATED: repeated(real),
        TRIPLED: tripled(real, value_range),
    }
    if real.labels is not None:
        made |= {SHUFFLED: shuffled_labels(real, rng), GROWN: grown_labels(real)}
        made |= {SPECKS: specks(real, rng), LOST: lost_labels(real)}
    return made


def blurred(real: ImageSet, spacing: Sequence[float], sigma_mm: float = 1.0) -> ImageSet:
    """Every image under a Gaussian of standard deviation `sigma_mm`, at least one voxel along each axis.

    In voxels much larger than `sigma_mm` a blur of that width would change nothing.
    """
    sigma = [max(sigma_mm / step, 1.0) for step in spacing]
    return real._replace(images=np.stack([ndimage.gaussian_filter(image, sigma) for image in real.images]))


def noisy(
    real: ImageSet, value_range: tuple[float, float], rng: np.random.Generator, fraction: float = 0.05
) -> ImageSet:
    """White noise of standard deviation `fraction` of the range, clipped to the values that reals take."""
    sigma = fraction * (value_range[1] - value_range[0])
    noise = rng.normal(0, sigma, real.images.shape).astype(real.images.dtype)
    return real._replace(images=np.clip(real.images + noise, real.images.min(), real.images.max()))


def averaged(real: ImageSet, rng: np.random.Generator) -> ImageSet:
    """Every image averaged with that of another patient; the label map of the first stays."""
    return real._replace(images=(real.images + real.images[_others(real.owners, rng)]) / 2)


def constant_mean(real: ImageSet) -> ImageSet:
    """Every voxel at its image's mean."""
    axes = tuple(range(1, real.images.ndim))
    means = real.images.mean(axis=axes, keepdims=True)
    return real._replace(images=np.broadcast_to(means, real.images.shape).copy())


def repeated(real: ImageSet) -> ImageSet:
    """The first image (and label map) as often as there are images."""
    rows = np.zeros(len(real.images), dtype=np.intp)
    return real.take(rows)._replace(owners=real.owners)


def tripled(real: ImageSet, value_range: tuple[float, float]) -> ImageSet:
    """Every intensity three times as far from the low end of the reals' robust range."""
    low = value_range[0]
    return real._replace(images=(low + 3 * (real.images - low)).astype(real.images.dtype))


def dropped_mode(real: ImageSet, features: NDArray[np.floating], rng: np.random.Generator) -> ImageSet:
    """Half of the images, those at one end of the first principal axis of `features` (N, F), twice each."""
    centred = features - features.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    kept = np.argsort(along, kind="stable")[: -(-len(along) // 2)]
    rows = rng.permutation(np.concatenate([kept, kept])[: len(along)])
    return real.take(rows)._replace(owners=real.owners)


def shuffled_labels(real: ImageSet, rng: np.random.Generator) -> ImageSet:
    """Every image with the label map of another patient."""
    return real._replace(labels=labels_of(real)[_others(real.owners, rng)])


def grown_labels(real: ImageSet) -> ImageSet:
    """Every label map dilated by one voxel (faces) into the background."""
    grown = np.stack([np.where(m == 0, ndimage.grey_dilation(m, footprint=_cross(m.ndim)), m) for m in labels_of(real)])
    return real._replace(labels=grown)


def specks(real: ImageSet, rng: np.random.Generator, every: int = 5) -> ImageSet:
    """In one map of `every`, one voxel of each label away from the label: one part too many."""
    labels = labels_of(real).copy()
    for label in labels[::every]:
        for value in np.unique(label[label > 0]):
            far = np.flatnonzero((ndimage.distance_transform_cdt(label != value) > 1) & (label == 0))
            if len(far):
                label.ravel()[rng.choice(far)] = value
    return real._replace(labels=labels)


def lost_labels(real: ImageSet, every: int = 5) -> ImageSet:
    """One map of `every` is empty."""
    labels = labels_of(real).copy()
    labels[::every] = 0
    return real._replace(labels=labels)


def labels_of(real: ImageSet) -> NDArray[np.integer]:
    """The label maps.

    Raises:
        MedsynthError: there are none.
    """
    if real.labels is None:
        raise MedsynthError("this control changes label maps, and the cases have none")
    return real.labels


def _cross(rank: int) -> NDArray[np.bool_]:
    cross: NDArray[np.bool_] = ndimage.generate_binary_structure(rank, 1)
    return cross


def _others(owners: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.intp]:
    """For every row a row of another owner; each row serves about once."""
    if len(np.unique(owners)) < 2:
        raise MedsynthError("a control that mixes patients needs images of two patients at least")
    order = rng.permutation(len(owners))
    other = np.empty(len(owners), dtype=np.intp)
    other[order] = np.roll(order, 1)
    for row in np.flatnonzero(owners[other] == owners):
        other[row] = rng.choice(np.flatnonzero(owners != owners[row]))
    return other


_DESCRIPTIONS = {
    BLUR: "a Gaussian of 1 mm standard deviation, at least one voxel, over every image",
    NOISE: "white noise of 5% of the intensity range, clipped to the range of the reals",
    AVERAGE: "the mean of two patients' images, with the label map of one",
    CONSTANT: "every voxel at its image's mean",
    REPEATED: "one image and its label map, again and again",
    TRIPLED: "every intensity three times as far from the low end of the robust range",
    DROPPED: "the half of the images at one end of the features' first principal axis, twice each",
    SHUFFLED: "every image with another patient's label map",
    GROWN: "label maps dilated by one voxel into the background",
    SPECKS: "one voxel of each label apart from it, in one map of five",
    LOST: "one label map of five is empty",
    ERODED: "label maps without the voxels that meet the background by a face",
    ROUGHENED: "of the voxels on either side of a label's surface, one in four taken away or added",
    HOLED: "the innermost voxel of each label is background, in one map of five",
    MOVED: "label maps moved along every axis by a tenth of its side, one voxel at least",
    MIRRORED: "label maps mirrored along every axis, the images as they are",
    SWAPPED: "the two most frequent labels with each other's values",
    APART: "every label moved by two voxels away from the middle of all labels",
    BRIDGED: "the two labels that touch most seldom joined by a line of voxels, in one map of five",
}


def describe(name: str) -> str:
    """What was done to the reals in the control `name`; its name where that says it all."""
    return _DESCRIPTIONS.get(name, name)
