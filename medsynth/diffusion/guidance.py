"""Guidance: push a sample towards its condition."""

from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser


def classifier_free(denoise: Denoiser, null: Condition, scale: float) -> Denoiser:
    """D_null + scale (D_condition - D_null) (Ho & Salimans 2022, in sigma space).

    Args:
        denoise: a denoiser trained with its condition dropped at times.
        null: the dropped condition, for the same batch.
        scale: 1 leaves the conditional denoiser as it is, 0 the unconditional one.
    """
    if scale == 1:
        return denoise

    def guided(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        without = denoise(x, sigma, null)
        return without + scale * (denoise(x, sigma, condition) - without)

    return guided
