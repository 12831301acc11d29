"""Guidance: push a sample towards its condition, or away from what a worse model would say."""

import math

from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser


def classifier_free(
    denoise: Denoiser, null: Condition, scale: float, low: float = 0.0, high: float = math.inf
) -> Denoiser:
    """D_null + scale (D_condition - D_null) (Ho & Salimans 2022, in sigma space).

    Args:
        denoise: a denoiser trained with its condition dropped at times.
        null: the dropped condition, for the same batch.
        scale: 1 leaves the conditional denoiser as it is, 0 the unconditional one.
        low, high: levels low < sigma <= high that are guided (Kynkäänniemi et al. 2024); the others
            are as with scale 1.
    """

    def unconditional(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        del condition
        return denoise(x, sigma, null)

    return autoguided(denoise, unconditional, scale, low, high)


def autoguided(denoise: Denoiser, worse: Denoiser, scale: float, low: float = 0.0, high: float = math.inf) -> Denoiser:
    """D_worse + scale (D - D_worse), D_worse an earlier or smaller model's (Karras et al. 2024b, eq. 3).

    Args:
        denoise: the model.
        worse: one of the same task with the same errors, larger; it is asked the same condition.
        scale: 1 leaves the model as it is.
        low, high: as in `classifier_free`.
    """
    if scale == 1:
        return denoise

    def guided(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        best = denoise(x, sigma, condition)
        if not low < float(sigma[0]) <= high:  # samplers keep sigma on the CPU: nothing waits
            return best
        without = worse(x, sigma, condition)
        return without + scale * (best - without)

    return guided
