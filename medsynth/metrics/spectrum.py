"""Radially averaged power spectrum in cycles per mm, for images of any rank and spacing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Spectrum(NamedTuple):
    """`frequencies` (F,) in cycles/mm, and `log_power` (N, F): log10 of the mean power in each ring."""

    frequencies: Array
    log_power: Array


def radial_log_spectrum(
    images: NDArray[np.floating], spacing: Sequence[float], *, hann: bool = True, floor: float | None = None
) -> Spectrum:
    """Log power spectrum of each image, averaged over rings (shells) of equal physical frequency.

    The image loses its mean, is multiplied with a Hann window (else its borders look like fine
    structure; with it the loss of the mean reaches into the two lowest rings), and |FFT|^2 is divided
    by the window's energy: white noise of variance v has power v at every frequency, whatever the
    shape (Parseval). Rings are as wide as the coarsest step of the frequency grid and end at the
    smallest Nyquist frequency of the axes.

    Args:
        images: (N, *spatial), any units u.
        spacing: voxel size in mm along each spatial axis.
        hann: apply the window.
        floor: smallest power in u^2 that counts, default 1e-12: log10 needs one.

    Returns:
        Frequencies of the rings and log10 power in u^2, without the ring at zero.
    """
    shape = images.shape[1:]
    window = np.ones(shape)
    if hann:
        for axis, side in enumerate(shape):
            taper = np.hanning(side + 2)[1:-1] if side > 1 else np.ones(1)
            window = window * taper.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    rings, frequencies, counts = _rings(shape, spacing)
    log_power = np.empty((len(images), len(frequencies)))
    for row, image in enumerate(images):
        centred = image.astype(np.float64)
        centred = (centred - (centred * window).sum() / window.sum()) * window
        power = np.abs(np.fft.fftn(centred)) ** 2 / (window**2).sum()
        sums = np.bincount(rings.ravel(), power.ravel(), minlength=len(frequencies) + 2)[1 : len(frequencies) + 1]
        log_power[row] = np.log10(np.maximum(sums / counts, 1e-12 if floor is None else floor))
    return Spectrum(frequencies, log_power)


def _rings(shape: tuple[int, ...], spacing: Sequence[float]) -> tuple[NDArray[np.intp], Array, Array]:
    """Ring number of every coefficient (0: the mean, last: beyond Nyquist), mean frequency and size of rings."""
    axes = [np.fft.fftfreq(side, d=step) for side, step in zip(shape, spacing, strict=True)]
    radius = np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))
    steps = [1 / (side * step) for side, step in zip(shape, spacing, strict=True) if side > 1]
    nyquist = min(0.5 / step for side, step in zip(shape, spacing, strict=True) if side > 1)
    count = max(1, int(np.floor(nyquist / max(steps) + 0.5)))
    rings = np.minimum(np.floor(radius / max(steps) + 0.5).astype(np.intp), count + 1)
    rings[(rings == 0) & (radius > 0)] = 1
    sizes = np.bincount(rings.ravel(), minlength=count + 2)[1 : count + 1].astype(np.float64)
    means = np.bincount(rings.ravel(), radius.ravel(), minlength=count + 2)[1 : count + 1] / np.maximum(sizes, 1)
    return rings, means, np.maximum(sizes, 1)
