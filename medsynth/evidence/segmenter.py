"""A segmentation network trained on images and label maps: what others are judged by.

A U-Net (Ronneberger et al. 2015) with residual units of MONAI, for any spatial rank and any size,
trained for a fixed number of steps by cross-entropy and Dice loss together (Isensee et al. 2021):
nothing is chosen by how well it does. The same inputs, seed and threads give the same weights on
one kind of CPU; on a GPU they are nearly the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from numpy.typing import NDArray
from torch import Tensor, nn

from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.device import chosen_device
from medsynth.models.sealed import read_sealed, state_sha256, write_sealed

WIDTHS = (16, 32, 64, 96)
FOLD = 2 ** (len(WIDTHS) - 1)  # the network halves the sides so often
AT_ONCE = 8
"""Images in a batch of `predict`."""


class SegmentationNet(nn.Module):
    """A small U-Net for any size: sides are filled up to what it can halve, and cut again."""

    def __init__(self, rank: int, channels: int, labels: int) -> None:
        super().__init__()
        self.net = UNet(rank, channels, labels, WIDTHS, (2,) * (len(WIDTHS) - 1), num_res_units=1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, *spatial) -> logits (B, labels, *spatial)."""
        sides = x.shape[2:]
        more = [width for side in reversed(sides) for width in (0, -side % FOLD)]
        answer: Tensor = self.net(F.pad(x, more, mode="replicate"))
        for axis, side in enumerate(sides, 2):
            answer = answer.narrow(axis, 0, side)
        return answer


@dataclass(frozen=True)
class Segmenter:
    """A trained network and what it was trained with.

    Args:
        network: in evaluation mode.
        values: the label values that its outputs stand for, in order.
        settings: of the training, plain JSON types.
    """

    network: nn.Module
    values: tuple[int, ...]
    settings: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the weights: names, types, shapes and bytes."""
        return state_sha256(self.network.state_dict())

    @torch.no_grad()
    def predict(self, images: Tensor) -> NDArray[np.int32]:
        """Images (N, C, *spatial) in [-1, 1] -> label values (N, *spatial)."""
        device = next(self.network.parameters()).device
        parts = (images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE))
        found = torch.cat([self.network(part.to(device)).argmax(1).cpu() for part in parts])
        values: NDArray[np.int32] = np.asarray(self.values, dtype=np.int32)[found.numpy()]
        return values

    def write(self, path: Path) -> None:
        """Keep the weights in a sealed file."""
        weights = {name: weight.cpu() for name, weight in self.network.state_dict().items()}
        write_sealed(path, {"weights": weights, "values": list(self.values), "settings": dict(self.settings)})


def train_segmenter(
    images: Tensor,
    labels: NDArray[np.integer],
    *,
    values: Sequence[int],
    steps: int,
    seed: int,
    augment: Augmenter | None,
    batch: int = 4,
    rate: float = 2e-3,
    shares: NDArray[np.float64] | None = None,
    device: str | None = None,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Segmenter:
    """Train on images and their label maps for a fixed number of steps.

    Args:
        images: (N, C, *spatial) in [-1, 1].
        labels: (N, *spatial), label values.
        values: all label values, that of the background first.
        steps: of the optimiser.
        seed: of the first weights, the batches and the augmentation.
        augment: None takes the images as they are.
        batch: images a step, drawn with replacement.
        rate: the highest learning rate of one cycle.
        shares: (N,), how often each image is drawn, relative to the others; None draws all alike.
        device: None takes CUDA where there is one, else the CPU.
        progress: called after every step with its number and its loss.

    Raises:
        MedsynthError: no images, as many maps as images are missing, or a map holds other values.
    """
    if not len(images) or len(images) != len(labels):
        raise MedsynthError(f"a segmenter needs images and as many label maps: {len(images)} and {len(labels)} given")
    if min(steps, batch) < 1:
        raise MedsynthError("a segmenter needs 1 step and 1 image a step at least")
    where = chosen_device(device)
    maps = torch.from_numpy(indexed(labels, values))[:, None]
    weights = None if shares is None else torch.as_tensor(shares, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentationNet(images.ndim - 2, images.shape[1], len(values))
    loss = DiceCELoss(to_onehot_y=True, softmax=True)

    def step(chance: torch.Generator) -> Tensor:
        if weights is None:
            rows = torch.randint(len(images), (batch,), generator=chance)
        else:
            rows = torch.multinomial(weights, batch, replacement=True, generator=chance)
        image, label = images[rows], maps[rows]
        if augment is not None:
            image, moved = augment(image, chance, label)
            assert moved is not None
            label = moved
        value: Tensor = loss(network(image.to(where)), label.to(where))
        return value

    fit_network(network.to(where), step, steps=steps, seed=seed, rate=rate, progress=progress)
    settings = {
        "network": "MONAI UNet, 1 residual unit",
        "widths": list(WIDTHS),
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "seed": seed,
        "augmentation": None if augment is None else augment.to_json(),
        "images": len(images),
    }
    return Segmenter(network, tuple(values), settings)


def fit_network(
    network: nn.Module,
    step: Callable[[torch.Generator], Tensor],
    *,
    steps: int,
    seed: int,
    rate: float = 2e-3,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> nn.Module:
    """Train by AdamW (Loshchilov and Hutter 2019) over one cycle of the learning rate (Smith and Topin 2018).

    Args:
        network: on its device; comes back in evaluation mode.
        step: draws a batch with the given generator (of the CPU) and gives its loss.
        steps: how many.
        seed: of that generator.
        rate: the highest learning rate.
        progress: called after every step with its number and its loss.
    """
    network.train()
    chance = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for number in range(1, steps + 1):
        loss = step(chance)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        cycle.step()
        progress(number, loss.item())
    return network.eval()


def read_segmenter(path: Path, channels: int, rank: int) -> Segmenter:
    """Read what `Segmenter.write` kept, for images of so many channels and that spatial rank.

    Raises:
        RunError: missing, cut short, altered.
    """
    content = read_sealed(path).content
    network = SegmentationNet(rank, channels, len(content["values"]))
    network.load_state_dict(content["weights"])
    return Segmenter(network.eval(), tuple(content["values"]), content["settings"])


def dice_per_case(found: NDArray[np.integer], true: NDArray[np.integer], value: int) -> NDArray[np.float64]:
    """Dice (1945) of one label in every image: twice the overlap by the sum of both volumes.

    Args:
        found: (N, *spatial), label values.
        true: (N, *spatial), on the same grid.
        value: the label.

    Returns:
        (N,) in 0..1; NaN where `true` lacks the label, as MONAI has it.
    """
    axes = tuple(range(1, true.ndim))
    ours, theirs = found == value, true == value
    both, sizes = (ours & theirs).sum(axes), theirs.sum(axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 2 * both / (ours.sum(axes) + sizes)
    return np.where(sizes > 0, dice, np.nan)


def indexed(labels: NDArray[np.integer], values: Sequence[int]) -> NDArray[np.int64]:
    """Label values (N, *spatial) -> their index in the sorted `values`.

    Raises:
        MedsynthError: a map holds another value.
    """
    rows = np.searchsorted(values, labels).clip(max=len(values) - 1)
    if not np.array_equal(np.asarray(values)[rows], labels):
        raise MedsynthError("a label map holds values that the preparation does not name; ingest and train anew")
    return rows
