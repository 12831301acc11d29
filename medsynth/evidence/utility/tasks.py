"""The networks that are trained downstream: segmentation and classification, of any spatial rank."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from monai.networks.nets import DenseNet
from numpy.typing import NDArray
from torch import Tensor, nn

from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.device import chosen_device
from medsynth.evidence.segmenter import AT_ONCE, dice_per_case, fit_network, train_segmenter
from medsynth.metrics.weighted import weighted_auc, weighted_mean

Array = NDArray[np.float64]


class Material(NamedTuple):
    """Images (N, C, *spatial) in [-1, 1], what is to be found in them (label maps or classes), owners (N,)."""

    images: Tensor
    targets: NDArray[np.integer]
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[np.intp]) -> "Material":
        """The images of `rows`."""
        return Material(self.images[torch.from_numpy(rows)], self.targets[rows], self.owners[rows])

    def __add__(self, other: "Material") -> "Material":  # type: ignore[override]
        """Both, one behind the other."""
        return Material(
            torch.cat([self.images, other.images]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.owners, other.owners]),
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every arm gets, the same for all.

    Args:
        steps: of the optimiser.
        batch: images a step.
        rate: highest learning rate of one cycle.
    """

    steps: int = 1000
    batch: int = 8
    rate: float = 2e-3

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or not 0 < self.rate < 1:
            raise MedsynthError("budget: steps and batch are at least 1, rate is above 0 and below 1")


class Task(Protocol):
    """A downstream task: trains a network on material, and says how well it does on real test images."""

    @property
    def name(self) -> str:
        """As in the report."""
        ...

    @property
    def score_name(self) -> str:
        """What the score is called."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """Labels or classes, each with a score."""
        ...

    def outcome(
        self,
        material: Material,
        shares: Array,
        test: Material,
        budget: Budget,
        seed: int,
        augment: Augmenter | None,
        on_step: Callable[[], None],
    ) -> Array:
        """Train, and give for each test image what the score is made of, (N, K), NaN where nothing is to be found."""
        ...

    def scores(self, outcome: Array, truth: NDArray[np.integer], weights: Array) -> Array:
        """Scores (R, len(parts)) of outcomes (N, K) with test images counted `weights` (R, N) times."""
        ...


@dataclass(frozen=True)
class Segmentation:
    """A MONAI U-Net; Dice of every label, mean over images that have it.

    Args:
        values: of the label map, background first.
        parts: the names of the others.
        device: None takes CUDA where there is one.
    """

    values: tuple[int, ...]
    parts: tuple[str, ...]
    device: str | None = None
    name: str = "segmentation"
    score_name: str = "Dice"

    def outcome(
        self,
        material: Material,
        shares: Array,
        test: Material,
        budget: Budget,
        seed: int,
        augment: Augmenter | None,
        on_step: Callable[[], None],
    ) -> Array:
        """Dice of every test image by label."""
        network = train_segmenter(
            material.images,
            material.targets,
            values=self.values,
            steps=budget.steps,
            seed=seed,
            augment=augment,
            batch=budget.batch,
            rate=budget.rate,
            shares=shares,
            device=self.device,
            progress=lambda _step, _loss: on_step(),
        )
        found = network.predict(test.images)
        return np.stack([dice_per_case(found, test.targets, value) for value in self.values[1:]], axis=1)

    def scores(self, outcome: Array, truth: NDArray[np.integer], weights: Array) -> Array:
        """Mean Dice by label."""
        del truth
        return np.stack([weighted_mean(outcome[:, part], weights) for part in range(outcome.shape[1])], axis=1)


@dataclass(frozen=True)
class Classification:
    """A small MONAI DenseNet; area under the ROC curve of every class against the others.

    Args:
        parts: names of the classes, in the order of their numbers.
        device: None takes CUDA where there is one.
    """

    parts: tuple[str, ...]
    device: str | None = None
    name: str = "classification"
    score_name: str = "AUC"

    def outcome(
        self,
        material: Material,
        shares: Array,
        test: Material,
        budget: Budget,
        seed: int,
        augment: Augmenter | None,
        on_step: Callable[[], None],
    ) -> Array:
        """Probability of each class in every test image."""
        where = chosen_device(self.device)
        rank = material.images.ndim - 2
        network = _classifier(rank, material.images.shape[1], len(self.parts), seed).to(where)
        classes, chances = torch.from_numpy(material.targets.astype(np.int64)), torch.from_numpy(shares)
        loss = nn.CrossEntropyLoss()

        def step(chance: torch.Generator) -> Tensor:
            rows = torch.multinomial(chances, budget.batch, replacement=True, generator=chance)
            x = material.images[rows]
            if augment is not None:
                x, _ = augment(x, chance)
            value: Tensor = loss(network(x.to(where)), classes[rows].to(where))
            return value

        fit_network(
            network,
            step,
            steps=budget.steps,
            seed=seed,
            rate=budget.rate,
            progress=lambda _step, _loss: on_step(),
        )
        with torch.no_grad():
            found = [network(part.to(where)).softmax(1).cpu() for part in torch.split(test.images, AT_ONCE)]
        return torch.cat(found).double().numpy()

    def scores(self, outcome: Array, truth: NDArray[np.integer], weights: Array) -> Array:
        """AUC of each class against the others; the two of a two-class task are one number."""
        return np.stack([weighted_auc(outcome[:, k], truth == k, weights) for k in range(len(self.parts))], axis=1)


def _classifier(rank: int, channels: int, classes: int, seed: int) -> nn.Module:
    # Group norm: the statistics of a batch would mix real and synthetic images, and the test has real ones alone.
    norm = ("group", {"num_groups": 4})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = DenseNet(
            rank, channels, classes, init_features=32, growth_rate=16, block_config=(3, 3, 3), norm=norm
        )
    return network


def class_numbers(found: Sequence[object], classes: Sequence[str]) -> NDArray[np.int64]:
    """The number of each class.

    Raises:
        MedsynthError: one that is missing or not among `classes`.
    """
    if any(str(one) not in classes for one in found):
        raise MedsynthError(
            f"a sample or case has none of the classes {', '.join(classes)}; generate with the class as condition"
        )
    return np.array([list(classes).index(str(one)) for one in found], dtype=np.int64)
