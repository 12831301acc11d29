"""The denoising loss and its weights over the noise levels."""

from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser, to_rank
from medsynth.diffusion.parametrisations import Parametrisation

WEIGHTS = ("uniform", "edm", "min_snr")


def loss_weight(kind: str, sigma: Tensor, rank: int, form: Parametrisation, gamma: float = 5.0) -> Tensor:
    """Weight of |D - y|^2 at each level, with s the data's standard deviation: (B,) -> (B, C or 1, 1, ...).

    Args:
        kind: "uniform", 1 / out^2: the network's own answers count the same at every level, which is
            the loss of Ho et al. 2020 (eq. 14), of v and of rectified flow; with EDM's frame its loss.
            "edm", 1 / sigma^2 + 1 / s^2 (Karras et al. 2022, Table 1), for any parametrisation.
            "min_snr", min(s^2 / sigma^2, gamma) / s^2 (Hang et al. 2023, section 3.4).
        sigma: (B,).
        rank: axes of the result.
        form: the network's parametrisation.
        gamma: largest signal-to-noise ratio that counts.

    Raises:
        ValueError: another kind.
    """
    if kind == "uniform":
        return form.out(sigma, rank) ** -2
    data = to_rank(form.data_std.to(sigma)[None], rank) ** -2
    signal = to_rank(sigma, rank) ** -2
    if kind == "edm":
        return signal + data
    if kind == "min_snr":
        return signal.minimum(gamma * data)
    raise ValueError(f"loss weights are {', '.join(WEIGHTS)}")


def denoising_loss(
    denoise: Denoiser, clean: Tensor, noise: Tensor, sigma: Tensor, condition: Condition, weight: Tensor
) -> Tensor:
    """The weighted denoising error of each sample: (B,).

    Args:
        denoise: the Denoiser.
        clean, noise: (B, C, *spatial).
        sigma: (B,) noise levels.
        condition: of the batch.
        weight: (B, C, 1, ...) or broadcast to it, of the levels and the channels.
    """
    noisy = clean + to_rank(sigma, clean.ndim) * noise
    error = (denoise(noisy, sigma, condition) - clean) ** 2
    return (weight * error).flatten(1).mean(1)
