"""An encoder trained without labels on the real training images alone, as a feature extractor.

VICReg (Bardes, Ponce, LeCun 2022, arXiv:2105.04906): two views of an image come near each other while every feature
keeps its variance and tells something else. It needs neither negatives nor large batches, so it works on a hundred
images and a CPU. The views differ in place, gain, offset and a hidden block, never in sharpness or noise: features
that are blind to those could not find them in synthetic images.

The features are of two kinds: means and spreads of every level's channels, which see noise and blur, and the
embedding that the loss looks at, which tells one patient from another.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medsynth.errors import MedsynthError, RunError
from medsynth.evidence.device import chosen_device
from medsynth.files import sha256_json
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, intensity_range
from medsynth.models.sealed import read_sealed, state_sha256, write_sealed
from medsynth.nets.encoder import Embedded, EmbeddingEncoder

Array = NDArray[np.float64]
NAME = "vicreg_encoder_v1"
Part = Literal["all", "levels", "embedding"]
LEAST_IMAGES = 16
_BATCH_AT_ONCE = 16


class VICRegLoss(NamedTuple):
    """The three terms of VICReg, unweighted: scalars."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg_loss(first: Tensor, second: Tensor) -> VICRegLoss:
    """Terms of VICReg (eq. 1, 3, 5) for the embeddings (B, E) of two views of B images, B at least 2."""
    variance, covariance = first.new_zeros(()), first.new_zeros(())
    for z in (first, second):
        centred = z - z.mean(dim=0)
        variance = variance + F.relu(1 - torch.sqrt(centred.var(dim=0) + 1e-4)).mean() / 2
        products = (centred.T @ centred / (len(z) - 1)).square()
        covariance = covariance + (products.sum() - products.diagonal().sum()) / z.shape[1]
    return VICRegLoss(F.mse_loss(first, second), variance, covariance)


@dataclass(frozen=True, kw_only=True)
class EncoderPlan(FeaturePlan):
    """How the encoder is trained; steps=0 gives the untrained one, the control of what the training is worth.

    Args:
        steps: of the optimiser.
        batch: images a step, of as many patients where there are that many.
        rate: highest learning rate; it rises for a third of the steps and then falls to 0.
        widths: channels of each level of the encoder.
        embedding: features of the projector that the loss looks at.
        part: which features are given: those of the levels, the embedding, or all; the training is the same.
        crop: side of a view as a share of the image's.
        gain: largest relative change of the gain of a view, and of its offset as a share of the spread.
        hidden: side of the hidden block as a share of the view's; 0 hides nothing.
        device: "cpu", "cuda" or None: CUDA where there is one.
    """

    steps: int = 300
    batch: int = 16
    rate: float = 3e-3
    widths: tuple[int, ...] = (8, 16, 32, 64)
    embedding: int = 64
    part: Part = "all"
    crop: float = 0.75
    gain: float = 0.1
    hidden: float = 0.3
    device: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 4 or not self.widths or min(self.widths) < 1 or self.embedding < 2:
            raise MedsynthError("encoder: steps is 0 or more, batch 4 or more, embedding 2 or more, widths 1 or more")
        if not (0 < self.crop <= 1 and 0 <= self.hidden < 1 and 0 <= self.gain < 1 and self.rate > 0):
            raise MedsynthError("encoder: crop is above 0 and at most 1; hidden and gain 0 to below 1; rate above 0")

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> "Encoder":
        """Train, or take the weights that an earlier call left in the cache for the same plan, images and seed."""
        images = training.images
        if len(images) < LEAST_IMAGES or images.ndim - 1 not in (2, 3):
            raise MedsynthError(
                f"an encoder is trained on at least {LEAST_IMAGES} real images in 2D or 3D, here are {len(images)} "
                f"in {images.ndim - 1}D; add real cases or take other features"
            )
        record = self._record(training, spacing, units, seed)
        low, high = intensity_range(images)
        file = None if cache is None else cache / f"encoder-{sha256_json(record)[:32]}.pt"
        weights = None if file is None else _cached(file, record)
        if weights is None:
            weights = train_encoder(self, training, seed=seed)
            if file is not None:
                write_sealed(file, {"record": record, "weights": weights})
        return Encoder(weights, images.ndim - 1, low, high, record, self.part, chosen_device(self.device))

    def _record(self, training: ImageSet, spacing: Sequence[float], units: str, seed: int) -> dict[str, Any]:
        """All that the weights depend on; patients and images as digests."""
        settings = {key: value for key, value in asdict(self).items() if key not in ("device", "part")}
        return {
            "name": NAME,
            "settings": {**settings, "widths": list(self.widths)},
            "spacing": [float(step) for step in spacing],
            "units": units,
            "seed": seed,
            "images": len(training.images),
            "patients": len(np.unique(training.owners)),
            "patients_sha256": sha256_json(sorted(str(owner) for owner in np.unique(training.owners))),
            "images_sha256": hashlib.sha256(np.ascontiguousarray(training.images, dtype="<f4").tobytes()).hexdigest(),
        }


class Encoder:
    """A trained encoder; `record` says how, and on whom.

    Args:
        weights: of `EmbeddingEncoder`.
        rank: 2 or 3.
        low, high: intensities that become -1 and 1.
        record: settings, seed, digests of training patients and images.
        part: which features are given.
        device: that it runs on.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        rank: int,
        low: float,
        high: float,
        record: dict[str, Any],
        part: Part,
        device: torch.device,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            self._net = EmbeddingEncoder(rank, record["settings"]["widths"], record["settings"]["embedding"])
        self._net.load_state_dict(weights)
        self._net.requires_grad_(False).eval().to(device)
        self._range, self._device, self._rank = (low, high), device, rank
        self.record, self.part = record, part
        self.weights_sha256 = state_sha256(weights)

    @property
    def name(self) -> str:
        """Of the recipe; with "untrained" where no step was taken, and the part where it is not all."""
        return ", ".join(
            [NAME]
            + ([] if self.record["settings"]["steps"] else ["untrained"])
            + ([] if self.part == "all" else [self.part])
        )

    @property
    def sha256(self) -> str:
        """Hash of weights, intensity range and record."""
        return sha256_json(
            {"weights": self.weights_sha256, "range": list(self._range), "record": self.record, "part": self.part}
        )

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Features (N, F) of `images` (N, *spatial); label maps are not looked at."""
        del labels
        if images.ndim - 1 != self._rank:
            raise MedsynthError(f"the encoder was trained in {self._rank}D, these images are in {images.ndim - 1}D")
        x = _standard(images, *self._range)
        with torch.inference_mode():
            parts = [self._chosen(self._net(few.to(self._device))).cpu() for few in torch.split(x, _BATCH_AT_ONCE)]
        features: Array = torch.cat(parts).double().numpy()
        return features

    def _chosen(self, found: Embedded) -> Tensor:
        if self.part == "all":
            return torch.cat(found, dim=1)
        return found.levels if self.part == "levels" else found.embedding


def train_encoder(
    plan: EncoderPlan,
    training: ImageSet,
    *,
    seed: int,
    progress: Callable[[int, float], None] = lambda _step, _loss: None,
) -> dict[str, Tensor]:
    """Train on the images (N, *spatial) of `training`, and on nothing else; returns the weights.

    The same plan, images and seed give the same bits on the same kind of CPU, threads and versions.

    Args:
        plan: of the training.
        training: real training images.
        seed: of initial weights, batches and views; 0 or more.
        progress: called with the step and its loss.
    """
    rank, device = training.images.ndim - 1, chosen_device(plan.device)
    x = _standard(training.images, *intensity_range(training.images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EmbeddingEncoder(rank, plan.widths, plan.embedding)
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=max(plan.steps, 1))
    for step in range(plan.steps):
        chance = np.random.default_rng((seed, step))
        rows = _rows(training.owners, plan.batch, chance)
        views = [_view(x[rows], plan, chance).to(device) for _ in range(2)]
        terms = vicreg_loss(*model(torch.cat(views)).embedding.chunk(2))
        loss = 25 * terms.invariance + 25 * terms.variance + terms.covariance  # the paper's weights
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        progress(step, float(loss.detach()))
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _rows(owners: NDArray[np.str_], batch: int, chance: np.random.Generator) -> NDArray[np.intp]:
    """One image of each of `batch` patients, or of as many as there are."""
    order = chance.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    rows: NDArray[np.intp] = order[np.sort(first)][:batch]
    return rows


def _view(x: Tensor, plan: EncoderPlan, chance: np.random.Generator) -> Tensor:
    """(B, 1, *spatial) -> (B, 1, *crop): places by whole voxels, so that no view is smoother than its image."""
    sides = [max(4, round(plan.crop * side)) if side > 4 else side for side in x.shape[2:]]
    made = []
    for image in x:
        corner = [int(chance.integers(0, full - side + 1)) for full, side in zip(image.shape[1:], sides, strict=True)]
        view = image[(slice(None), *(slice(at, at + side) for at, side in zip(corner, sides, strict=True)))].clone()
        gain, offset = (float(v) for v in chance.uniform(-plan.gain, plan.gain, 2))
        view = (1 + gain) * view + offset * float(view.std())
        if plan.hidden:
            block = [round(plan.hidden * side) for side in sides]
            at = [int(chance.integers(0, side - size + 1)) for side, size in zip(sides, block, strict=True)]
            view[(slice(None), *(slice(a, a + size) for a, size in zip(at, block, strict=True)))] = view.mean()
        made.append(view)
    return torch.stack(made)


def _standard(images: NDArray[np.floating], low: float, high: float) -> Tensor:
    """(N, *spatial) in units -> (N, 1, *spatial), the robust range of the training images at -1 and 1."""
    scaled = (np.asarray(images, dtype=np.float32) - low) * (2 / (high - low)) - 1
    return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))[:, None]


def _cached(file: Path, record: dict[str, Any]) -> dict[str, Tensor] | None:
    """Weights of an earlier training of this record; None where there is no whole file of it."""
    if not file.is_file():
        return None
    try:
        content = read_sealed(file).content
    except RunError:
        return None
    if not isinstance(content, dict) or content.get("record") != record:
        return None
    weights: dict[str, Tensor] = content["weights"]
    return weights
