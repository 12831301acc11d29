"""The look of a reference image as a few numbers that say nothing of its anatomy."""

import math

import torch
from torch import Tensor

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
OCTAVES = 4
_FLOOR = 1e-8


def style_width(images: int) -> int:
    """Length of the style of `images` image channels."""
    return images * (len(QUANTILES) + OCTAVES)


def style_of(images: Tensor) -> Tensor:
    """Contrast, sharpness and noise of a sample: quantiles of its values and its power by octave.

    For each channel seven quantiles, then log10 of the mean power in the four octaves up to the Nyquist
    frequency, shifted to about 0. Where a structure lies changes neither; how much of it there is does.

    Args:
        images: (C, *spatial) in [-1, 1].

    Returns:
        (11 C,), float32.
    """
    return torch.cat([torch.cat([_quantiles(image), _octaves(image)]) for image in images.float()])


def _quantiles(image: Tensor) -> Tensor:
    ordered = image.flatten().sort().values  # torch.quantile takes no more than 2^24 voxels
    return torch.stack([ordered[round(share * (len(ordered) - 1))] for share in QUANTILES])


def _octaves(image: Tensor) -> Tensor:
    """Power of frequencies in (1/4, 1/2], (1/8, 1/4], ... cycles a voxel along the fastest axis."""
    spectrum = torch.fft.fftn(image - image.mean()).abs().square() / image.numel()
    axes = [torch.fft.fftfreq(side, device=image.device).abs() for side in image.shape]
    fastest = torch.stack(torch.meshgrid(*axes, indexing="ij")).amax(0)
    powers = []
    for octave in range(OCTAVES):
        high = 0.5 / 2**octave
        inside = (fastest > high / 2) & (fastest <= high)
        powers.append(spectrum[inside].mean() if inside.any() else spectrum.new_zeros(()))
    return (torch.stack(powers) + _FLOOR).log10() / math.log10(100) + 1
