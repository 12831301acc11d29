"""A diffusion model of scans: a denoiser on the latents of a SampleModel."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.parametrisations import Edm, Epsilon, Flow, Parametrisation, Velocity, denoised
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.drawing import sample_latents
from medsynth.models.layout import Decoded, Layout
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sample_model import SampleModel
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet
from medsynth.records import Attribute


class DiffusionModel(SampleModel):
    """Everything that turns noise into scans.

    Args:
        layout: channels and grid of a sample.
        autoencoder: between samples and latents.
        network: F(seen, noise, condition) on latents; see `medsynth.diffusion.parametrisations`.
        conditioner: from what is asked to vectors.
        augmentation: width of the vector that tells the network how a training case was
            augmented; zeros when sampling.
        parametrisation: what the network says; its `modes` a number.

    Raises:
        MedsynthError: something given has a condition's name.
    """

    network: UNet

    def __init__(
        self,
        layout: Layout,
        autoencoder: Identity | Haar,
        network: UNet,
        conditioner: Conditioner,
        augmentation: int = 0,
        parametrisation: ParametrisationPlan | None = None,
    ) -> None:
        super().__init__(layout, autoencoder, network, conditioner, augmentation)
        self.parametrisation = parametrisation or ParametrisationPlan(modes=0)
        # The first channels are a wavelet's coarse bands; pixels are taken two by two instead.
        block = 2 if autoencoder.stride == 1 else 1
        modes = self.parametrisation.modes or 0
        self.prior = GaussianPrior(len(self.sigma_data), self.latent_shape[1:], modes, layout.channels, block)

    @property
    def form(self) -> Parametrisation:
        """What surrounds the network."""
        plan = self.parametrisation
        if plan.name == "edm":
            return Edm(self.prior, self.sigma_data)
        if plan.schedule is None:
            return Flow()
        return (Epsilon if plan.name == "epsilon" else Velocity)(plan.schedule)

    def denoise(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """D(x; sigma, condition) on latents."""
        return denoised(self.network, x, sigma, condition, self.form)

    def start(self, noise: Tensor, sigma: float) -> Tensor:
        """Where sampling begins: white noise turned into y + sigma n of the data's Gaussian."""
        if self.parametrisation.name == "edm":
            return self.prior.start(noise, sigma)
        return noise * math.sqrt(1 + sigma**2)

    @torch.no_grad()
    def fit_latents(self, batches: Iterator[Tensor], owners: Sequence[int]) -> None:
        """Measure the latents of training samples (B, C, *spatial): mean, scale and prior.

        Args:
            batches: of samples in model units.
            owners: of every sample a number that stands for its patient.
        """
        plan = self.parametrisation
        moments = self.prior.fit((self.autoencoder.encode(x) for x in batches), owners)
        self._require_variety(moments)
        if plan.standardise:
            self.latent_mean.copy_(moments.mean)
        if plan.standardise and plan.name != "edm":
            self.latent_scale.copy_(moments.std.square().mean().sqrt())
        # A band that never varies (a label absent from training, say) keeps a scale above 0.
        self.sigma_data.copy_(moments.std.clamp(min=1e-3 * moments.std.max()) / self.latent_scale)

    def moved(self, condition: Condition, offset: int) -> Condition:
        """What is told, with what is given moved by `offset` voxels along every axis, round the borders."""
        if condition.spatial is None:
            return condition
        axes = tuple(range(2, condition.spatial.ndim))
        latents, first = [], 0
        for part in self.layout.given.parts.values():
            width = self.autoencoder.latent_channels(part.stop - part.start, self.layout.rank)
            told = condition.spatial[:, first : first + width + 1]
            z, flag = told[:, :width], told[:, width:]
            there = self.autoencoder.decode(z).roll((offset,) * len(axes), axes)
            latents += [self.autoencoder.encode(there), flag]
            first += width + 1
        return condition._replace(spatial=torch.cat(latents, dim=1))

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        condition: Mapping[str, Attribute] | None = None,
        sampler: str | SamplingPlan = "dpmpp_2m",
        steps: int | None = None,
        guidance: float = 1.0,
        batch: int = 8,
    ) -> list[Decoded]:
        """Make `count` samples, as `medsynth generate` does with the same seed.

        Args:
            count: how many.
            seed, first: sample i of the list is number first + i of the plan with `seed`.
            condition: what all of them are asked, {"class": "PNEUMONIA"} for instance; classes
                that it does not name are made in turn.
            sampler: a name, or a whole plan, which has steps and guidance of its own.
            steps, guidance: see SamplingPlan.usual.
            batch: how many at a time; does not change the result.

        Returns:
            For each sample its images in units and its label map; all lie on `layout.grid`.
        """
        plan = sampler
        if isinstance(plan, str):
            plan = SamplingPlan.usual(plan, steps=steps, guidance=guidance)

        def latents(indices: Sequence[int], asked: Sequence[Asked]) -> Tensor:
            return sample_latents(self, indices, asked, seed=seed, plan=plan)

        return self._made(range(first, first + count), dict(condition or {}), batch, latents)


def require_diffusion(model: SampleModel, what: str) -> DiffusionModel:
    """The model, if it is a diffusion model.

    Args:
        model: of a run.
        what: needs one; begins the message.

    Raises:
        MedsynthError: it is a GAN.
    """
    if not isinstance(model, DiffusionModel):
        raise MedsynthError(
            f"{what} needs a diffusion model, which goes from noise to a scan by steps; this run is a GAN, which makes "
            "it at once: take a run of model=unet"
        )
    return model
