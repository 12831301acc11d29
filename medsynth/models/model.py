"""A model of scans: autoencoder, conditioner, denoiser and the layout of its channels."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.parametrisations import Edm, Epsilon, Flow, Parametrisation, Velocity, denoised
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import TEXT, Asked, Conditioner
from medsynth.models.drawing import sample_latents
from medsynth.models.layout import Decoded, Layout
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.text import Embedder
from medsynth.nets.unet import UNet
from medsynth.records import Attribute


def told_channels(layout: Layout, autoencoder: Identity | Haar) -> int:
    """Channels S of Condition.spatial: the latents of each part that is given, and a plane that says it is there."""
    widths = (part.stop - part.start for part in layout.given.parts.values())
    return sum(autoencoder.latent_channels(width, layout.rank) + 1 for width in widths)


def told_widths(model: "DiffusionModel") -> dict[str, int]:
    """Entries of each part of the Condition that a model tells its network, by the part's name."""
    return {
        "vector": model.conditioner.width + model.augmentation,
        "tokens": model.conditioner.tokens[1],
        "spatial": told_channels(model.layout, model.autoencoder),
    }


class DiffusionModel(nn.Module):
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

    latent_mean: Tensor
    latent_scale: Tensor
    sigma_data: Tensor

    def __init__(
        self,
        layout: Layout,
        autoencoder: Identity | Haar,
        network: UNet,
        conditioner: Conditioner,
        augmentation: int = 0,
        parametrisation: ParametrisationPlan | None = None,
    ) -> None:
        super().__init__()
        twice = [name for name in layout.given.parts if name in conditioner.parts]
        if twice:
            raise MedsynthError(
                f"{twice[0]} is given and a condition too: give the attribute or the channel another name"
            )
        self.layout = layout
        self.autoencoder = autoencoder
        self.network = network
        self.conditioner = conditioner
        self.augmentation = augmentation
        self.embed: Embedder | None = None  # of a text: whoever makes the model sets it
        width = autoencoder.latent_channels(layout.channels, layout.rank)
        self.parametrisation = parametrisation or ParametrisationPlan(modes=0)
        self.register_buffer("latent_mean", torch.zeros(width))
        self.register_buffer("latent_scale", torch.ones(()))
        self.register_buffer("sigma_data", torch.ones(width))
        # The first channels are a wavelet's coarse bands; pixels are taken two by two instead.
        block = 2 if autoencoder.stride == 1 else 1
        modes = self.parametrisation.modes or 0
        self.prior = GaussianPrior(width, self.latent_shape[1:], modes, layout.channels, block)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(C', *spatial) of one latent."""
        stride = self.autoencoder.stride
        if any(side % stride for side in self.layout.grid.shape):
            raise MedsynthError(f"data.resampling.size must divide by {stride}, the autoencoder's stride")
        return (len(self.sigma_data), *(side // stride for side in self.layout.grid.shape))

    def encode(self, x: Tensor) -> Tensor:
        """Samples (B, C, *spatial) in model units -> latents, centred and scaled as the parametrisation asks."""
        z = self.autoencoder.encode(x)
        return (z - to_rank(self.latent_mean[None], z.ndim)) / self.latent_scale

    def decode(self, z: Tensor) -> Tensor:
        """Latents -> samples (B, C, *spatial) in model units."""
        return self.autoencoder.decode(z * self.latent_scale + to_rank(self.latent_mean[None], z.ndim))

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
        if not moments.std.max() > 0:
            raise MedsynthError(
                "the training cases are one value everywhere inside the intensity range; set data.images to theirs"
            )
        if plan.standardise:
            self.latent_mean.copy_(moments.mean)
        if plan.standardise and plan.name != "edm":
            self.latent_scale.copy_(moments.std.square().mean().sqrt())
        # A band that never varies (a label absent from training, say) keeps a scale above 0.
        self.sigma_data.copy_(moments.std.clamp(min=1e-3 * moments.std.max()) / self.latent_scale)

    def condition(self, asked: Sequence[Asked], dropped: bool = False) -> Condition:
        """What the network is told of samples that are asked for so, or the null for as many.

        Raises:
            MedsynthError: a class the model was not trained on, a text without an encoder.
        """
        if dropped:
            asked = [Asked()] * len(asked)
        sentences = [each.attributes.get(TEXT) for each in asked]
        distinct = list(dict.fromkeys(str(sentence) for sentence in sentences if sentence is not None))
        texts: dict[str, tuple[Tensor, Tensor]] = {}
        if distinct and self.conditioner.text:
            if self.embed is None:
                raise MedsynthError("a text is asked for, and the model has no encoder: load the run with load_run")
            texts = dict(zip(distinct, zip(*self.embed(distinct), strict=True), strict=True))
        silent = (torch.zeros(self.conditioner.tokens), None)
        told = [silent if sentence is None else texts.get(str(sentence), silent) for sentence in sentences]
        vectors = [
            self.conditioner.vector(each.attributes, each.style, pooled)
            for each, (_, pooled) in zip(asked, told, strict=True)
        ]
        plain = torch.stack(vectors)
        padded = torch.cat([plain, torch.zeros(len(plain), self.augmentation)], dim=1)  # an unaugmented sample
        given = [each.given or self.layout.given.tell(self.layout.grid.shape) for each in asked]
        return self.tell(
            padded,
            torch.stack([tokens for tokens, _ in told]),
            torch.stack([part.channels for part in given]),
            torch.stack([part.present for part in given]),
        )

    def tell(self, vector: Tensor, tokens: Tensor, given: Tensor, present: Tensor) -> Condition:
        """What a batch is told, as the network takes it: on its device and on the latents' grid.

        What is given goes through the autoencoder as samples do, in units of one voxel, and a plane of ones
        for every part that is there; a part that is not there is zeros.

        Args:
            vector: (B, V).
            tokens: (B, T, E).
            given: (B, G, *spatial) in model units.
            present: (B, P).
        """
        device = self.sigma_data.device
        spatial = None
        parts = self.layout.given.parts
        if parts:
            given, there = given.to(device), present.to(device, given.dtype)
            gain = self.autoencoder.stride ** (self.layout.rank / 2)
            latents = []
            for number, part in enumerate(parts.values()):
                flag = to_rank(there[:, number : number + 1], given.ndim)
                z = self.autoencoder.encode(given[:, part]) / gain
                latents += [z * flag, flag.expand(-1, 1, *z.shape[2:])]
            spatial = torch.cat(latents, dim=1)
        return Condition(
            vector=vector.to(device) if vector.shape[1] else None,
            tokens=tokens.to(device) if tokens.shape[1] else None,
            spatial=spatial,
        )

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

    @property
    def conditional(self) -> bool:
        """Whether anything can be asked of it."""
        return bool(self.conditioner.width or self.layout.given.parts)

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
        wanted = dict(condition or {})
        self.conditioner.check(wanted)
        training = self.training
        self.eval()
        made: list[Decoded] = []
        for start in range(first, first + count, batch):
            indices = range(start, min(start + batch, first + count))
            asked = [Asked(self.conditioner.in_turn(index, wanted)) for index in indices]
            latents = sample_latents(self, indices, asked, seed=seed, plan=plan)
            made.extend(self.layout.decode(x) for x in self.decode(latents))
        self.train(training)
        return made
