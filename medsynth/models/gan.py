"""A GAN's model of scans: a generator that goes from noise to a latent at once."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.noise import seeded_noise
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.layout import Decoded, Layout
from medsynth.models.sample_model import SampleModel
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.generator import Generator
from medsynth.records import Attribute


class GanModel(SampleModel):
    """Turns noise into scans in one pass of its network; the discriminator is training's.

    The network works on latents of the autoencoder, a wavelet's or the pixels themselves: both are orthonormal, so
    distances and gradients are those of the scans, and the finest level of the network has 2^rank times fewer places.

    Args:
        layout: channels and grid of a sample; nothing is given.
        autoencoder: between samples and latents.
        network: G(noise, condition), for the latents' channels and grid.
        conditioner: from what is asked to vectors; without text.
        augmentation: width of the vector that tells how a training case was augmented; zeros when sampling.

    Raises:
        MedsynthError: given parts or a text, which a generator is not told; a network of another size.
    """

    network: Generator

    def __init__(
        self,
        layout: Layout,
        autoencoder: Identity | Haar,
        network: Generator,
        conditioner: Conditioner,
        augmentation: int = 0,
    ) -> None:
        super().__init__(layout, autoencoder, network, conditioner, augmentation)
        if layout.given.parts or conditioner.text:
            raise MedsynthError(
                "model=gan is told classes, numbers and a style; label maps, other images and texts are for diffusion "
                "models: leave data.given and data.text out, or take model=unet"
            )
        if (network.channels, *network.grid) != self.latent_shape:
            raise MedsynthError("the generator makes latents of another size than the samples have")

    @torch.no_grad()
    def fit_latents(self, batches: Iterator[Tensor], owners: Sequence[int]) -> None:
        """Measure the latents of training samples (B, C, *spatial): mean and standard deviations.

        Args:
            batches: of samples in model units.
            owners: of every sample a number that stands for its patient.
        """
        measure = GaussianPrior(len(self.sigma_data), self.latent_shape[1:])
        moments = measure.fit((self.autoencoder.encode(x) for x in batches), owners)
        self._require_variety(moments)
        self.latent_mean.copy_(moments.mean)
        self.latent_scale.copy_(moments.std.square().mean().sqrt())
        self.sigma_data.copy_(moments.std.clamp(min=1e-3 * moments.std.max()) / self.latent_scale)

    def latents(self, noise: Tensor, condition: Condition) -> Tensor:
        """White noise (B, noise) -> latents (B, C', *spatial), float32, centred and of variance about 1 over all.

        The network's channels are multiplied by the latents' own standard deviations.
        """
        made: Tensor = self.network(noise, condition).float()
        return made * to_rank(self.sigma_data[None], made.ndim)

    @torch.no_grad()
    def sample_latents(self, indices: Sequence[int], asked: Sequence[Asked], *, seed: int | Sequence[int]) -> Tensor:
        """Latents (B, C', *spatial) of samples `indices` of the plan with `seed`, whatever else is in the batch.

        Args:
            indices: of the samples.
            asked: of each.
            seed: of the plan, or one for each sample.

        Raises:
            MedsynthError: the weights make no numbers.
        """
        seeds = [seed] * len(indices) if isinstance(seed, int) else list(seed)
        pairs = zip(seeds, indices, strict=True)
        noise = torch.cat([seeded_noise(one, [index], [self.network.noise]) for one, index in pairs])
        made = self.latents(noise.to(self.sigma_data.device), self.condition(asked))
        if not made.isfinite().all():
            raise MedsynthError("the generator made no numbers: take weights of another step")
        return made

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        condition: Mapping[str, Attribute] | None = None,
        batch: int = 8,
    ) -> list[Decoded]:
        """Make `count` samples, as `medsynth generate` does with the same seed.

        Args:
            count: how many.
            seed, first: sample i of the list is number first + i of the plan with `seed`.
            condition: what all of them are asked; classes that it does not name are made in turn.
            batch: how many at a time; does not change the result.

        Returns:
            For each sample its images in units and its label map; all lie on `layout.grid`.
        """

        def latents(indices: Sequence[int], asked: Sequence[Asked]) -> Tensor:
            return self.sample_latents(indices, asked, seed=seed)

        return self._made(range(first, first + count), dict(condition or {}), batch, latents)
