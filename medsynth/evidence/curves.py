"""What the figures of a comparison draw: plain JSON, so that a page is made from evaluation.json alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.checks import Outcome
from medsynth.evidence.feature_checks import MMDCheck
from medsynth.evidence.image_checks import SpectrumCheck
from medsynth.evidence.lines import key_of
from medsynth.evidence.measurements import Frame, Measured
from medsynth.metrics.intensity import LEVELS

BOX = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that a box of the figures is drawn from; extremes would be single patients'."""
_EVERY = 4  # of the intensity quantiles are drawn


def make_curves(
    frame: Frame,
    spectrum: SpectrumCheck,
    mmds: list[MMDCheck],
    samples: Measured,
    reference: Measured,
    cases: Mapping[str, Measured],
    outcomes: Mapping[str, Mapping[str, Outcome]],
    own: Mapping[str, Outcome],
) -> dict[str, Any]:
    """Curves and boxes of one group and channel, as plain JSON.

    Args:
        frame: of the comparison.
        spectrum: the check; its band is drawn.
        mmds: of every extractor; their real-against-real values are drawn.
        samples, reference: measured.
        cases: measured bad cases, by name; outcomes: their outcomes by check.
        own: outcomes of the samples.
    """
    return {
        "spectrum": {
            "cycles_per_mm": spectrum.frequencies.tolist(),
            "synthetic": samples.spectra.mean(0).tolist(),
            "real": reference.spectra.mean(0).tolist(),
            "band": (spectrum.spread * spectrum.factor).tolist(),
            "controls": {name: found.spectra.mean(0).tolist() for name, found in cases.items()},
        },
        "mmd": {
            check.features: {
                "synthetic": own[key_of(check)].value,
                "real_against_real": np.sort(check.null).tolist(),
                "controls": {name: of[key_of(check)].value for name, of in outcomes.items() if key_of(check) in of},
            }
            for check in mmds
        },
        "intensity": {
            "shares": ((np.arange(LEVELS) + 0.5) / LEVELS)[::_EVERY].tolist(),
            "synthetic": samples.intensity[None].mean(0)[::_EVERY].tolist(),
            "real": reference.intensity[None].mean(0)[::_EVERY].tolist(),
        },
        "volumes": {
            frame.labels[value]: {
                "quantiles": list(BOX),
                "synthetic": _box(table.volume),
                "real": _box(reference.labels[value].volume),
            }
            for value, table in samples.labels.items()
        },
    }


def _box(volume: NDArray[np.float64]) -> list[float] | None:
    present = volume[volume > 0]
    found: list[float] = np.quantile(present, BOX).tolist() if present.size else []
    return found or None
