"""What is measured of every image, once: the comparisons then only pick rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.metrics.anatomy import AnatomyTable, anatomy_table
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, intensity_range
from medsynth.metrics.fixed import FixedFeatures, fix_features
from medsynth.metrics.intensity import image_quantiles
from medsynth.metrics.labels import LabelTable, label_table
from medsynth.metrics.spectrum import radial_log_spectrum

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


class Frame(NamedTuple):
    """What is fixed beforehand on real training images.

    `features` by name; `value_range`, the robust range of their intensities; voxel size in mm; the labels
    (value -> name).
    """

    features: Mapping[str, FixedFeatures]
    value_range: tuple[float, float]
    spacing: Sequence[float]
    labels: dict[int, str]

    @property
    def floor(self) -> float:
        """Smallest power that counts in a spectrum: far below rounding, above the FFT's own error."""
        return 1e-10 * (self.value_range[1] - self.value_range[0]) ** 2


def fit_frame(
    plans: Mapping[str, FeaturePlan],
    training: ImageSet,
    spacing: Sequence[float],
    labels: dict[int, str],
    *,
    units: str = "arbitrary",
    seed: int = 0,
    cache: Path | None = None,
) -> Frame:
    """Fix every extractor, its whitening and bandwidth, and the range of intensities on real training images.

    Args:
        plans: feature plans by the name that results carry.
        training: real training images of one channel.
        spacing: voxel size in mm.
        labels: value and name of each label to judge.
        units: of the channel.
        seed: of all chance in the fitting.
        cache: folder for what is dear to fit again; None: nothing is kept.
    """
    fixed = {
        name: fix_features(plan.fit(training, spacing, units=units, seed=seed, cache=cache), training)
        for name, plan in plans.items()
    }
    return Frame(fixed, intensity_range(training.images), spacing, labels)


class Measured(NamedTuple):
    """Per image: features (N, G) by extractor, `spectra` (N, F) in log10 power, a table for each label, owners (N,).

    `intensity`: quantiles (N, Q) in units, of the whole image at None and inside each label at its value.
    `anatomy`: shape and place of all labels, None without label maps.
    """

    features: dict[str, Array]
    spectra: Array
    labels: dict[int, LabelTable]
    owners: NDArray[np.str_]
    intensity: dict[int | None, Array]
    anatomy: AnatomyTable | None = None

    def take(self, rows: Rows) -> "Measured":
        """The images of `rows`."""
        tables = {
            value: LabelTable(t.volume[rows], t.components[rows], t.contrast[rows]) for value, t in self.labels.items()
        }
        features = {name: found[rows] for name, found in self.features.items()}
        intensity = {value: found[rows] for value, found in self.intensity.items()}
        anatomy = None if self.anatomy is None else self.anatomy.take(rows)
        return Measured(features, self.spectra[rows], tables, self.owners[rows], intensity, anatomy)


def measure(images: ImageSet, frame: Frame) -> Measured:
    """Measure every image of a set in a frame."""
    tables, anatomy = {}, None
    intensity: dict[int | None, Array] = {None: image_quantiles(images.images)}
    if images.labels is not None:
        if frame.labels:
            anatomy = anatomy_table(images.labels, tuple(frame.labels), frame.spacing)
        tables = {value: label_table(images.labels, value, frame.spacing, images.images) for value in frame.labels}
        intensity |= {value: image_quantiles(images.images, images.labels == value) for value in frame.labels}
    spectra = radial_log_spectrum(images.images, frame.spacing, floor=frame.floor).log_power
    features = {name: fixed(images.images, images.labels) for name, fixed in frame.features.items()}
    return Measured(features, spectra, tables, images.owners, intensity, anatomy)
