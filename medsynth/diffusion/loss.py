"""The denoising loss."""

from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser, edm_weight, to_rank


def denoising_loss(
    denoise: Denoiser,
    clean: Tensor,
    noise: Tensor,
    sigma: Tensor,
    condition: Condition,
    sigma_data: Tensor,
    channel_weight: Tensor,
) -> Tensor:
    """EDM's weighted denoising error of each sample (Karras et al. 2022, eq. 2): (B,).

    Args:
        denoise: the Denoiser.
        clean, noise: (B, C, *spatial).
        sigma: (B,) noise levels.
        condition: of the batch.
        sigma_data: (C,) standard deviation of the data.
        channel_weight: (C,) weight between the channels or wavelet bands, mean 1.
    """
    noisy = clean + to_rank(sigma, clean.ndim) * noise
    error = (denoise(noisy, sigma, condition) - clean) ** 2
    weight = edm_weight(sigma, sigma_data, clean.ndim) * to_rank(channel_weight[None], clean.ndim)
    return (weight * error).flatten(1).mean(1)
