"""A model of scans: autoencoder, conditioner, denoiser and the layout of its channels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.grids import karras_grid
from medsynth.diffusion.guidance import classifier_free
from medsynth.diffusion.noise import seeded_noise
from medsynth.diffusion.preconditioning import Condition, preconditioned, to_rank
from medsynth.diffusion.samplers import Sampler, dpmpp_2m, heun
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import ClassConditioner, batch_condition
from medsynth.models.layout import Decoded, Layout
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet
from medsynth.records import Attribute

SAMPLERS: dict[str, Sampler] = {"dpmpp_2m": dpmpp_2m, "dpmpp_2m_sde": dpmpp_2m, "heun": heun}
STEPS = {"dpmpp_2m": 20, "dpmpp_2m_sde": 40, "heun": 18}
"""Of each sampler where none are asked for."""
STOCHASTIC = ("dpmpp_2m_sde",)


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """How noise becomes a sample; goes into every sample's record.

    Args:
        name: "dpmpp_2m" or "dpmpp_2m_sde" (1 evaluation a step), "heun" (2).
        steps: steps of the Karras grid.
        sigma_min, sigma_max, rho: of the grid.
        guidance: scale of classifier-free guidance, 1 for none.
        calm: sigma at and below which a stochastic sampler adds no noise (S_tmin of Karras et al.
            2022): what the network leaves of it there would stay in the sample.
    """

    name: str = "dpmpp_2m"
    steps: int = 20
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    guidance: float = 1.0
    calm: float = 0.4

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise MedsynthError(f"sampler {self.name} is not known; there are {', '.join(SAMPLERS)}")
        if self.steps < 1 or not 0 < self.sigma_min < self.sigma_max or self.rho <= 0 or self.calm < 0:
            raise MedsynthError("sampler: steps is at least 1, 0 < sigma_min < sigma_max, rho above 0, calm 0 or more")

    def to_record(self) -> dict[str, Attribute]:
        """Plain types for the sample's record."""
        return asdict(self)


class DiffusionModel(nn.Module):
    """Everything that turns noise into scans.

    Args:
        layout: channels and grid of a sample.
        autoencoder: between samples and latents.
        network: F(seen, c_noise, condition) on latents; see `preconditioned`.
        conditioner: from attributes to vectors.
        augmentation: width of the vector that tells the network how a training case was
            augmented; zeros when sampling.
        modes: principal modes of the training latents in the Gaussian prior.
    """

    latent_mean: Tensor
    sigma_data: Tensor

    def __init__(
        self,
        layout: Layout,
        autoencoder: Identity | Haar,
        network: UNet,
        conditioner: ClassConditioner,
        augmentation: int = 0,
        modes: int = 0,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.autoencoder = autoencoder
        self.network = network
        self.conditioner = conditioner
        self.augmentation = augmentation
        width = autoencoder.latent_channels(layout.channels, layout.rank)
        self.register_buffer("latent_mean", torch.zeros(width))
        self.register_buffer("sigma_data", torch.ones(width))
        # The first channels are a wavelet's coarse bands; pixels are taken two by two instead.
        block = 2 if autoencoder.stride == 1 else 1
        self.prior = GaussianPrior(width, self.latent_shape[1:], modes, layout.channels, block)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(C', *spatial) of one latent."""
        stride = self.autoencoder.stride
        if any(side % stride for side in self.layout.grid.shape):
            raise MedsynthError(f"data.resampling.size must divide by {stride}, the autoencoder's stride")
        return (len(self.sigma_data), *(side // stride for side in self.layout.grid.shape))

    def encode(self, x: Tensor) -> Tensor:
        """Samples (B, C, *spatial) in model units -> centred latents."""
        z = self.autoencoder.encode(x)
        return z - to_rank(self.latent_mean[None], z.ndim)

    def decode(self, z: Tensor) -> Tensor:
        """Centred latents -> samples (B, C, *spatial) in model units."""
        return self.autoencoder.decode(z + to_rank(self.latent_mean[None], z.ndim))

    def denoise(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """D(x; sigma, condition) on latents."""
        return preconditioned(self.network, x, sigma, condition, self.prior, self.sigma_data)

    @torch.no_grad()
    def fit_latents(self, batches: Iterator[Tensor], owners: Sequence[int]) -> None:
        """Measure the latents of training samples (B, C, *spatial): mean, scale and prior.

        Args:
            batches: of samples in model units.
            owners: of every sample a number that stands for its patient.
        """
        moments = self.prior.fit((self.autoencoder.encode(x) for x in batches), owners)
        if not moments.std.max() > 0:
            raise MedsynthError(
                "the training cases are one value everywhere inside the intensity range; set data.images to theirs"
            )
        self.latent_mean.copy_(moments.mean)
        # A band that never varies (a label absent from training, say) keeps a scale above 0.
        self.sigma_data.copy_(moments.std.clamp(min=1e-3 * moments.std.max()))

    @torch.no_grad()
    def sample_latents(
        self,
        indices: Sequence[int],
        conditions: Sequence[Mapping[str, Attribute]],
        *,
        seed: int,
        plan: SamplingPlan,
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents (B, C', *spatial) of samples `indices` of the plan with `seed`.

        Sample i meets the same noise, at the start and in every step, whatever else is in the batch.
        """
        device = self.sigma_data.device
        noise = seeded_noise(seed, indices, self.latent_shape).to(device)
        vectors = torch.stack([self.conditioner.vector(condition) for condition in conditions]).to(device)
        condition = batch_condition(vectors, self.augmentation)
        null = batch_condition(torch.zeros_like(vectors), self.augmentation)
        denoise = classifier_free(self.denoise, null, plan.guidance) if vectors.shape[1] else self.denoise
        grid = karras_grid(plan.steps, plan.sigma_min, plan.sigma_max, plan.rho)

        def fresh(step: int, sigma: float) -> Tensor | None:
            if sigma <= plan.calm:
                return None
            return seeded_noise(seed, indices, self.latent_shape, f"sample, step {step}").to(device)

        start = self.prior.start(noise, grid[0].item())
        noisy = fresh if plan.name in STOCHASTIC else None
        return SAMPLERS[plan.name](denoise, start, grid, condition, on_step, noisy)

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        condition: Mapping[str, Attribute] | None = None,
        sampler: str = "dpmpp_2m",
        steps: int | None = None,
        guidance: float = 1.0,
        batch: int = 8,
    ) -> list[Decoded]:
        """Make `count` samples, as `medsynth generate` does with the same seed.

        Args:
            count: how many.
            seed, first: sample i of the list is number first + i of the plan with `seed`.
            condition: attributes for all of them, {"class": "PNEUMONIA"} for instance; classes
                that it does not name are made in turn.
            sampler, steps, guidance: see SamplingPlan; without steps those of `STEPS`.
            batch: how many at a time; does not change the result.

        Returns:
            For each sample its images in units and its label map; all lie on `layout.grid`.
        """
        plan = SamplingPlan(name=sampler, steps=steps or STEPS.get(sampler, 1), guidance=guidance)
        wanted = dict(condition or {})
        self.conditioner.check(wanted)
        training = self.training
        self.eval()
        made: list[Decoded] = []
        for start in range(first, first + count, batch):
            indices = range(start, min(start + batch, first + count))
            conditions = [self.conditioner.in_turn(index, wanted) for index in indices]
            latents = self.sample_latents(indices, conditions, seed=seed, plan=plan)
            made.extend(self.layout.decode(x) for x in self.decode(latents))
        self.train(training)
        return made
