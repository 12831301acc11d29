"""Grey levels of a region: 1 to the number of levels, 0 outside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError

MOST_LEVELS = 1024
"""A co-occurrence matrix has levels x levels entries."""


@dataclass(frozen=True, kw_only=True)
class FixedBinNumber:
    """As many levels as `bins` between the region's own minimum and maximum (IBSI 2.7, "FBN").

    For arbitrary units: what a gain or an offset of the scanner does to the image does nothing to the levels.
    """

    bins: int = 32

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= MOST_LEVELS:
            raise MedsynthError(f"grey levels: bins is 2 to {MOST_LEVELS}, here it is {self.bins}")

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.intp]:
        """Levels (V,) of the values (V,) of one region; all 1 where the values are alike."""
        low, high = (float(np.min(values)), float(np.max(values))) if len(values) else (0.0, 0.0)
        if high <= low:
            return np.ones(len(values), dtype=np.intp)
        scaled = np.floor(self.bins * (np.asarray(values, dtype=np.float64) - low) / (high - low)).astype(np.intp)
        levels: NDArray[np.intp] = np.minimum(scaled + 1, self.bins)
        return levels


@dataclass(frozen=True, kw_only=True)
class FixedBinWidth:
    """Levels of `width` units from `low` on (IBSI 2.7, "fixed bin size", FBS); values beyond low and high are clipped.

    For calibrated units: one level means one thing in every image.
    """

    width: float = 25.0
    low: float = -1000.0
    high: float = 3000.0

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.high > self.low and (self.high - self.low) / self.width <= MOST_LEVELS):
            raise MedsynthError(
                f"grey levels: from {self.low:g} to {self.high:g} in steps of {self.width:g} are no 1 to "
                f"{MOST_LEVELS} levels; choose another width"
            )

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.intp]:
        """Levels (V,) of the values (V,) of one region."""
        clipped = np.clip(np.asarray(values, dtype=np.float64), self.low, np.nextafter(self.high, self.low))
        levels: NDArray[np.intp] = np.floor((clipped - self.low) / self.width).astype(np.intp) + 1
        return levels


Discretisation = FixedBinNumber | FixedBinWidth
"""For units that mean nothing from one scan to the next the first, for HU the second."""
