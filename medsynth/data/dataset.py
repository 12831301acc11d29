"""Training and validation samples, and the order in which training sees them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from medsynth.data.augmentation import Augmentation
from medsynth.data.derived import attributes_of
from medsynth.data.prepared import PreparedCases
from medsynth.data.texts import Texts
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Conditioner
from medsynth.models.style import style_of


class Sample(NamedTuple):
    """One item, or a batch of them with an axis B in front.

    x: (C, *spatial) in model units; number: () int64, its n. What it is told: vector (V,), tokens (T, E),
    given (G, *spatial) with present (P,).
    """

    x: Tensor
    vector: Tensor
    tokens: Tensor
    given: Tensor
    present: Tensor
    number: Tensor


def _places(slices: Sequence[int]) -> list[tuple[int, int]]:
    return [(case, part) for case, count in enumerate(slices) for part in range(count)]


class _Samples(Dataset[Sample]):
    """What training and validation samples have in common.

    Args:
        cases: prepared.
        slices: number of samples in each case.
        conditioner: from what is known of a case to vectors.
        texts: what is said of the cases; None for nothing.
    """

    def __init__(
        self, cases: PreparedCases, slices: Sequence[int], conditioner: Conditioner, texts: Texts | None
    ) -> None:
        self.cases, self.conditioner, self.texts = cases, conditioner, texts
        resampling = cases.plan.resampling
        # A class that no training patient has is unknown to the model, and a number that is none: their null.
        self.known = [
            [conditioner.known(attributes_of(record, resampling, part, count)) for part in range(count)]
            for record, count in zip(cases.records, slices, strict=True)
        ]
        self.sentences = [() if texts is None else texts.plan.sentences_of(r.attributes) for r in cases.records]

    def _sample(self, place: tuple[int, int], x: Tensor, parameters: Tensor, chance: float, number: int) -> Sample:
        """A sample of `x` (C + G, *spatial); `chance` in [0, 1) chooses among several texts."""
        case, part = place
        plan, item = self.cases.plan, self.cases[case]
        style = style_of(x[: len(plan.intensity)]) if self.conditioner.style else None
        tokens, pooled = torch.zeros(self.conditioner.tokens), None
        sentences = self.sentences[case]
        if self.texts is not None and sentences:
            tokens, pooled = self.texts.embedded(sentences[int(chance * len(sentences))])
        vector = self.conditioner.vector(self.known[case][part], style, pooled)
        return Sample(
            x=x[: plan.made],
            vector=torch.cat([vector, parameters]),
            tokens=tokens,
            given=x[plan.made :],
            present=item["present"],
            number=torch.tensor(number),
        )


class TrainingSamples(_Samples):
    """Training sample number n, a function of (seed, n) alone.

    Every pass over the data visits each case (or slice) once, in an order of its own.

    Args:
        cases: prepared with the augmentation's margin.
        slices: number of samples in each case.
        conditioner: from what is known of a case to vectors.
        augmentation: what to do to them.
        seed: of the order, the augmentation and the choice among texts.
        spacing: mm along each axis of a sample; None takes voxels for cubes.
        texts: what is said of the cases.
    """

    def __init__(
        self,
        cases: PreparedCases,
        slices: Sequence[int],
        conditioner: Conditioner,
        augmentation: Augmentation,
        seed: int,
        spacing: Sequence[float] | None = None,
        texts: Texts | None = None,
    ) -> None:
        super().__init__(cases, slices, conditioner, texts)
        self.augmentation, self.seed, self.spacing = augmentation, seed, spacing
        self.places = _places(slices)
        self._order: tuple[int, np.ndarray[Any, Any]] | None = None

    def place(self, number: int) -> tuple[int, int]:
        """Case and slice that sample `number` comes from."""
        turn, place = divmod(number, len(self.places))
        if self._order is None or self._order[0] != turn:
            self._order = (turn, np.random.default_rng([self.seed, 1, turn]).permutation(len(self.places)))
        return self.places[int(self._order[1][place])]

    def __getitem__(self, number: int) -> Sample:
        case, part = self.place(number)
        generator = np.random.default_rng([self.seed, 2, number])
        augmented = self.augmentation(self.cases[case]["x"][part], generator, self.spacing)
        chance = np.random.default_rng([self.seed, 3, number]).random()
        return self._sample((case, part), augmented.x, augmented.parameters, chance, number)


class ValidationSamples(_Samples):
    """The cases (or slices) of the validation patients, unaugmented, at most `most` of them.

    Where there are more, they are taken at even distances, the same ones every time.
    """

    def __init__(
        self,
        cases: PreparedCases,
        slices: Sequence[int],
        conditioner: Conditioner,
        augmentation: Augmentation,
        most: int,
        texts: Texts | None = None,
    ) -> None:
        super().__init__(cases, slices, conditioner, texts)
        places = _places(slices)
        chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))
        self.places = [places[i] for i in chosen]
        self.silence = torch.zeros(augmentation.width(len(cases.plan.resampling.size)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Sample:
        case, part = self.places[number]
        chance = (number * 0.6180339887) % 1
        return self._sample((case, part), self.cases[case]["x"][part], self.silence, chance, number)


class StepBatches(Sampler[list[int]]):
    """Batches of sample numbers from step `start` on, without an end.

    Step s of a global batch of B holds the numbers s B to s B + B - 1; each of `world`
    processes takes its share of consecutive ones.
    """

    def __init__(self, start: int, batch: int, rank: int = 0, world: int = 1) -> None:
        if batch % world:
            raise MedsynthError(f"data.batch_size={batch} does not divide by the {world} devices")
        self.start, self.batch, self.share, self.rank = start, batch, batch // world, rank

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            first = step * self.batch + self.rank * self.share
            yield list(range(first, first + self.share))
            step += 1
