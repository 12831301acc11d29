"""The denoising loss."""

from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser, Prior, to_rank


def denoising_loss(
    denoise: Denoiser,
    clean: Tensor,
    noise: Tensor,
    sigma: Tensor,
    condition: Condition,
    prior: Prior,
    channel_weight: Tensor,
) -> Tensor:
    """The denoising error of each sample, in units of the prior's: (B,).

    The weight 1 / c_out^2 (Karras et al. 2022, eq. 2 and Table 1) makes the loss 1 at every
    noise level for a network that adds nothing to the prior.

    Args:
        denoise: the Denoiser.
        clean, noise: (B, C, *spatial).
        sigma: (B,) noise levels.
        condition: of the batch.
        prior: Gaussian model of the data.
        channel_weight: (C,) weight between the channels or wavelet bands, mean 1.
    """
    noisy = clean + to_rank(sigma, clean.ndim) * noise
    error = (denoise(noisy, sigma, condition) - clean) ** 2
    weight = prior.std(sigma, clean.ndim) ** -2 * to_rank(channel_weight[None], clean.ndim)
    return (weight * error).flatten(1).mean(1)
