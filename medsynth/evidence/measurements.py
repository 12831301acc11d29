"""What is measured of every image, once: the comparisons then only pick rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeatureSpace
from medsynth.metrics.labels import LabelTable, label_table
from medsynth.metrics.spectrum import radial_log_spectrum

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


class Frame(NamedTuple):
    """What is fixed beforehand: features, voxel size in mm, the labels (value -> name)."""

    features: FeatureSpace
    spacing: Sequence[float]
    labels: dict[int, str]

    @property
    def floor(self) -> float:
        """Smallest power that counts in a spectrum: far below rounding, above the FFT's own error."""
        return 1e-10 * (self.features.high - self.features.low) ** 2


class Measured(NamedTuple):
    """Per image: `features` (N, G), `spectra` (N, F) in log10 power, a table for each label, owners (N,)."""

    features: Array
    spectra: Array
    labels: dict[int, LabelTable]
    owners: NDArray[np.str_]

    def take(self, rows: Rows) -> "Measured":
        """The images of `rows`."""
        tables = {
            value: LabelTable(t.volume[rows], t.components[rows], t.contrast[rows]) for value, t in self.labels.items()
        }
        return Measured(self.features[rows], self.spectra[rows], tables, self.owners[rows])


def measure(images: ImageSet, frame: Frame) -> Measured:
    """Measure every image of a set in a frame."""
    tables = {}
    if images.labels is not None:
        tables = {value: label_table(images.labels, value, frame.spacing, images.images) for value in frame.labels}
    spectra = radial_log_spectrum(images.images, frame.spacing, floor=frame.floor).log_power
    return Measured(frame.features(images.images), spectra, tables, images.owners)
