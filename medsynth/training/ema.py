"""Averages of the weights over training."""

import numpy as np
import torch
from torch import nn


def power_gamma(sigma_rel: float) -> float:
    """Exponent gamma of the power-function average of relative width `sigma_rel` (Karras et al. 2024, eq. 124).

    sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)); 0.1 gives 6.94.
    """
    if not 0 < sigma_rel < 0.28:
        raise ValueError("sigma_rel lies between 0 and 0.28")
    t = sigma_rel**-2
    roots = np.roots([1, 7, 16 - t, 12 - t])
    return float(roots[np.isreal(roots)].real.max())


def power_decay(step: int, gamma: float) -> float:
    """Decay of the power-function average at `step` >= 1 (Karras et al. 2024, eq. 127)."""
    return float((1 - 1 / step) ** (gamma + 1))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Average <- decay average + (1 - decay) model, parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)
