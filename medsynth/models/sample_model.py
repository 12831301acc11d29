"""What every model of scans has: autoencoder, conditioner, network and the layout of its channels."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.gaussian import Moments
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import TEXT, Asked, Conditioner
from medsynth.models.layout import Decoded, Layout
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.generator import Generator
from medsynth.nets.text import Embedder
from medsynth.nets.unet import UNet
from medsynth.records import Attribute


def told_channels(layout: Layout, autoencoder: Identity | Haar) -> int:
    """Channels S of Condition.spatial: the latents of each part that is given, and a plane that says it is there."""
    widths = (part.stop - part.start for part in layout.given.parts.values())
    return sum(autoencoder.latent_channels(width, layout.rank) + 1 for width in widths)


def told_widths(model: "SampleModel") -> dict[str, int]:
    """Entries of each part of the Condition that a model tells its network, by the part's name."""
    return {
        "vector": model.conditioner.width + model.augmentation,
        "tokens": model.conditioner.tokens[1],
        "spatial": told_channels(model.layout, model.autoencoder),
    }


class SampleModel(nn.Module):
    """From noise to scans, however it is done; `DiffusionModel` and `GanModel` say how.

    Args:
        layout: channels and grid of a sample.
        autoencoder: between samples and latents.
        network: that learns.
        conditioner: from what is asked to vectors.
        augmentation: width of the vector that tells the network how a training case was
            augmented; zeros when sampling.

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
        network: UNet | Generator,
        conditioner: Conditioner,
        augmentation: int = 0,
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
        self.register_buffer("latent_mean", torch.zeros(width))
        self.register_buffer("latent_scale", torch.ones(()))
        self.register_buffer("sigma_data", torch.ones(width))

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

    @property
    def conditional(self) -> bool:
        """Whether anything can be asked of it."""
        return bool(self.conditioner.width or self.layout.given.parts)

    def fit_latents(self, batches: Iterator[Tensor], owners: Sequence[int]) -> None:
        """Measure the latents of training samples (B, C, *spatial), of every sample a number for its patient."""
        raise NotImplementedError

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        condition: Mapping[str, Attribute] | None = None,
        batch: int = 8,
    ) -> list[Decoded]:
        """Make `count` samples, as `medsynth generate` does with the same seed."""
        raise NotImplementedError

    def _made(
        self,
        indices: Sequence[int],
        wanted: Mapping[str, Attribute],
        batch: int,
        latents: Callable[[Sequence[int], Sequence[Asked]], Tensor],
    ) -> list[Decoded]:
        """Samples `indices` of a plan, a few at a time, in evaluation mode.

        Args:
            indices: of the samples.
            wanted: what all are asked; classes that it does not name are made in turn.
            batch: how many at a time.
            latents: (B, C', *spatial) of samples that are asked for so.
        """
        self.conditioner.check(wanted)
        training = self.training
        self.eval()
        made: list[Decoded] = []
        for start in range(0, len(indices), batch):
            part = indices[start : start + batch]
            asked = [Asked(self.conditioner.in_turn(index, wanted)) for index in part]
            made.extend(self.layout.decode(x) for x in self.decode(latents(part, asked)))
        self.train(training)
        return made

    def _require_variety(self, moments: Moments) -> None:
        if not moments.std.max() > 0:
            raise MedsynthError(
                "the training cases are one value everywhere inside the intensity range; set data.images to theirs"
            )
