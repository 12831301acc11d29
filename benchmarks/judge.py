"""What the obedience benchmarks share: images as a judge sees them, its training, its weights.

A judge is a network trained on the real training patients of a run. It sees images in [-1, 1], averaged over
blocks of voxels where they are large, and knows neither the generator nor a sample.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import Samples
from medsynth.files import sha256_json
from medsynth.models.layout import Layout
from medsynth.models.sealed import read_sealed, write_sealed


def common_preparation(folders: Sequence[Path]) -> tuple[Preparation, str]:
    """The preparation of all folders of samples, and a hash of what decides how a judge is trained.

    Raises:
        MedsynthError: they were prepared differently, come of different splits, or have one name.
    """
    if len({folder.name for folder in folders}) < len(folders):
        raise MedsynthError("two folders of samples have one name; rename one, the table names them by it")
    found = [Preparation.read(folder) for folder in folders]
    hashes = []
    for each in found:
        content = each.to_json()
        del content["conditions"], content["layout"]["label"]
        hashes.append(sha256_json(content))
    if len(set(hashes)) > 1:
        raise MedsynthError("the folders of samples have different preparations or splits; judge each by itself")
    return found[0], hashes[0]


def share_presumed(cases: Sequence[PreparedCase]) -> float:
    """How many of the images have a patient key that was guessed, 0 to 1."""
    return round(float(np.mean([case.record.patient_source == "presumed" for case in cases])), 3)


def one_by_one(samples: Samples) -> list[dict[str, NDArray[Any]]]:
    """The images of each sample by channel, as those of a prepared case."""
    return [{name: stack[row] for name, stack in samples.images.items()} for row in range(len(samples.records))]


def as_seen(images: Sequence[dict[str, NDArray[Any]]], layout: Layout, longest: int) -> Tensor:
    """Images in units -> (N, C, *spatial) in [-1, 1], averaged over blocks until no side exceeds `longest`."""
    parts = []
    for image in images:
        channels = []
        for channel in layout.images:
            array = np.round(image[channel.name]) if channel.integer else image[channel.name]
            scaled = (torch.from_numpy(array).float() - channel.low) / (channel.high - channel.low)
            channels.append(scaled.clamp(0, 1) * 2 - 1)
        parts.append(torch.stack(channels))
    x, block = torch.stack(parts), math.ceil(max(layout.grid.shape) / longest)
    if block == 1:
        return x
    pool = F.avg_pool2d if layout.rank == 2 else F.avg_pool3d
    return pool(x, block, ceil_mode=True, count_include_pad=False)


def moved(x: Tensor, chance: torch.Generator, labels: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Each image shifted by up to a sixteenth of its sides, scaled by up to a tenth, its values by up to a tenth.

    Args:
        x: (B, C, *spatial).
        chance: of the augmentation.
        labels: (B, 1, *spatial) moved with the images, by nearest neighbour.
    """
    count, rank = len(x), x.ndim - 2

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=chance) * 2 - 1

    theta = torch.zeros(count, rank, rank + 1)
    theta[:, :, :rank] = torch.diag_embed(1 + 0.1 * uniform(1).expand(-1, rank))
    theta[:, :, rank] = uniform(rank) / 8  # of a half side
    grid = F.affine_grid(theta, [count, 1, *x.shape[2:]], align_corners=False)
    ones = (1,) * (rank + 1)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = x * (1 + 0.1 * uniform(*ones)) + 0.1 * uniform(*ones)
    if labels is not None:
        labels = F.grid_sample(labels.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return x, labels


def trained(
    network: nn.Module, step: Callable[[], Tensor], steps: int, path: Path, *, rate: float = 2e-3, name: str
) -> nn.Module:
    """Train by AdamW for a fixed number of steps and keep the weights in `path`, or take them from there.

    Args:
        network: the judge; comes back in evaluation mode.
        step: draws a batch and gives its loss.
        steps: how many.
        path: of the kept weights; its name has to say all that decides them.
        rate: the highest learning rate of one cycle.
        name: of the judge, for the progress bar.
    """
    if path.exists():
        network.load_state_dict(read_sealed(path).content)
        return network.eval()
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    with progress_bar(True) as bar:
        task = bar.add_task(f"training the {name}", total=steps, note="")
        for _ in range(steps):
            loss = step()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            cycle.step()
            bar.update(task, advance=1, note=f"loss {loss.item():.3f}")
    write_sealed(path, network.state_dict())
    return network.eval()


@torch.no_grad()
def scores(network: nn.Module, x: Tensor, batch: int = 32) -> Tensor:
    """The judge's logits, (N, classes) of images or (N, labels, *spatial) of voxels."""
    return torch.cat([network(part) for part in x.split(batch)])
