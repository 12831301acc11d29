"""Cycle spinning: estimates that do not see where a wavelet's blocks begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser

if TYPE_CHECKING:
    from medsynth.models.model import DiffusionModel


def spun(model: DiffusionModel, below: float) -> Denoiser:
    """The model's D; at levels below `below` its mean over the positions of the wavelet's blocks.

    A network on wavelet bands knows too little of what lies across the border of two blocks, and its samples change
    more there than inside. White noise is white wherever the blocks begin, so x moved by k voxels along every axis
    is as good an input, and the mean of what comes back shows no lattice (Coifman and Donoho 1995, section 3).
    k runs from 0 to stride - 1: `stride` evaluations, in which every position along an axis comes once.

    Moving wraps round, so within 2 strides of a border only k = 0 counts. What is given moves along.

    Args:
        model: its autoencoder's stride 1 has no blocks, and D is as it is.
        below: levels sigma < below, in units of the latent; 0 for none.
    """
    stride = model.autoencoder.stride
    if stride == 1 or below <= 0:
        return model.denoise

    def denoised(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        own = model.denoise(x, sigma, condition)
        if not float(sigma[0]) < below:  # samplers keep sigma on the CPU: nothing waits
            return own
        axes = tuple(range(2, x.ndim))
        here, seen = model.decode(own), model.decode(x)
        others = torch.zeros_like(here)
        for k in range(1, stride):
            moved = model.encode(seen.roll((k,) * len(axes), axes))
            estimate = model.denoise(moved, sigma, model.moved(condition, k))
            others = others + model.decode(estimate).roll((-k,) * len(axes), axes)
        inside = _inside(here, 2 * stride)
        return model.encode(torch.where(inside, (here + others) / stride, here))

    return denoised


def _inside(x: Tensor, margin: int) -> Tensor:
    """Where a voxel lies at least `margin` from every border: bool (1, 1, *spatial)."""
    inside = torch.ones(1, 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    for axis, side in enumerate(x.shape[2:], 2):
        place = torch.arange(side, device=x.device)
        near = (place < margin) | (place >= side - margin)
        inside = inside & ~near.reshape(*(side if a == axis else 1 for a in range(x.ndim)))
    return inside
