"""What the obedience benchmarks share: images as a judge sees them, its training, its weights.

A judge is a network trained on the real training patients of a run. It sees images in [-1, 1], averaged over
blocks of voxels where they are large, and knows neither the generator nor a sample.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import DenseNet
from numpy.typing import NDArray
from torch import Tensor, nn

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import Samples
from medsynth.evidence.segmenter import fit_network
from medsynth.files import sha256_json
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


def small_network(rank: int, channels: int, outputs: int, seed: int) -> nn.Module:
    """An untrained DenseNet of few features with weights of `seed`: (B, channels, *spatial) -> (B, outputs)."""
    torch.manual_seed(seed)
    network: nn.Module = DenseNet(rank, channels, outputs, init_features=16, growth_rate=12, block_config=(3, 4, 4))
    return network


def trained(
    network: nn.Module, step: Callable[[torch.Generator], Tensor], steps: int, seed: int, path: Path, *, name: str
) -> nn.Module:
    """Train for a fixed number of steps and keep the weights in `path`, or take them from there.

    Args:
        network: the judge; comes back in evaluation mode.
        step: draws a batch with the generator and gives its loss.
        steps: how many.
        seed: of that generator.
        path: of the kept weights; its name has to say all that decides them.
        name: of the judge, for the progress bar.
    """
    if path.exists():
        network.load_state_dict(read_sealed(path).content)
        return network.eval()
    with training_bar(name, steps) as after:
        fit_network(network, step, steps=steps, seed=seed, progress=after)
    write_sealed(path, network.state_dict())
    return network


@contextmanager
def training_bar(name: str, steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar of the training of `name`; gives what is to be called after every step."""
    with progress_bar(True) as bar:
        task = bar.add_task(f"training the {name}", total=steps, note="")
        yield lambda number, loss: bar.update(task, completed=number, note=f"loss {loss:.3f}")


@torch.no_grad()
def scores(network: nn.Module, x: Tensor, batch: int = 32) -> Tensor:
    """The judge's logits, (N, classes) of images or (N, labels, *spatial) of voxels."""
    return torch.cat([network(part) for part in x.split(batch)])
