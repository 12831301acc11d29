"""Statistics of the intensities of a region, and of their histogram (IBSI 3.3 and 3.4)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Statistics(NamedTuple):
    """Intensity-based statistics (IBSI 3.3), in units of the image or its square; `cov`, `qcod` have none."""

    mean: float
    var: float
    skew: float
    kurt: float
    median: float
    min: float
    p10: float
    p90: float
    max: float
    iqr: float
    range: float
    mad: float
    rmad: float
    medad: float
    cov: float
    qcod: float
    energy: float
    rms: float


class Histogram(NamedTuple):
    """Intensity histogram (IBSI 3.4), in grey levels; `entropy` in bits, gradients in voxels a level."""

    mean: float
    var: float
    skew: float
    kurt: float
    median: float
    min: float
    p10: float
    p90: float
    max: float
    mode: float
    iqr: float
    range: float
    mad: float
    rmad: float
    medad: float
    cov: float
    qcod: float
    entropy: float
    uniformity: float
    max_grad: float
    max_grad_g: float
    min_grad: float
    min_grad_g: float


def statistics(values: NDArray[np.floating]) -> Statistics:
    """Statistics of the intensities (V,) of one region, V at least 1; a ratio to zero is NaN."""
    x = np.asarray(values, dtype=np.float64)
    low, p10, p25, median, p75, p90, high = (float(v) for v in np.percentile(x, (0, 10, 25, 50, 75, 90, 100)))
    mean = float(x.mean())
    centred = x - mean
    var = float(np.mean(centred**2))
    inner = x[(x >= p10) & (x <= p90)]  # never empty: it holds the median
    return Statistics(
        mean=mean,
        var=var,
        # Skewness and kurtosis of what is constant are 0 (IBSI 3.3.3, 3.3.4).
        skew=float(np.mean(centred**3)) / var**1.5 if var > 0 else 0.0,
        kurt=float(np.mean(centred**4)) / var**2 - 3 if var > 0 else 0.0,
        median=median,
        min=low,
        p10=p10,
        p90=p90,
        max=high,
        iqr=p75 - p25,
        range=high - low,
        mad=float(np.abs(centred).mean()),
        rmad=float(np.abs(inner - inner.mean()).mean()) if len(inner) else 0.0,
        medad=float(np.abs(x - median).mean()),
        cov=_ratio(var**0.5, mean),
        qcod=_ratio(p75 - p25, p75 + p25),
        energy=float((x**2).sum()),
        rms=float(np.sqrt(np.mean(x**2))),
    )


def histogram(levels: NDArray[np.integer]) -> Histogram:
    """Features of the histogram of the grey levels (V,), from 1 on, of one region."""
    of = statistics(levels.astype(np.float64))
    counts = np.bincount(levels, minlength=2)[1:].astype(np.float64)
    share = counts[counts > 0] / len(levels)
    slope = np.gradient(counts) if len(counts) > 1 else np.zeros(1)
    nearest = np.abs(np.arange(1, len(counts) + 1) - of.mean)  # of several modes the one nearest to the mean
    modes = np.flatnonzero(counts == counts.max())
    shared = {name: value for name, value in of._asdict().items() if name not in ("energy", "rms")}
    return Histogram(
        **shared,
        mode=float(modes[nearest[modes].argmin()] + 1),
        entropy=float(-(share * np.log2(share)).sum()),
        uniformity=float((share**2).sum()),
        max_grad=float(slope.max()),
        max_grad_g=float(slope.argmax() + 1),
        min_grad=float(slope.min()),
        min_grad_g=float(slope.argmin() + 1),
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")
