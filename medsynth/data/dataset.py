"""Prepared cases as tensors, cached on disk, and the order in which training sees them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from medsynth.data.augmentation import Augmentation
from medsynth.data.resampling import Intensity, Resampling, read_case
from medsynth.errors import MedsynthError, RunError
from medsynth.files import disk_errors, sha256_json
from medsynth.models.conditioner import AttributeConditioner
from medsynth.models.label_field import label_channels
from medsynth.models.sealed import read_sealed, write_sealed
from medsynth.records import CaseRecord

_HELD_BYTES = 2**30  # prepared cases that each process holds in memory
_VERSION = 3  # of the steps in `prepare_case` and below: another number, other cache names


def default_cache() -> Path:
    """Where prepared scans are kept: outside every run, for the user alone."""
    named = os.environ.get("MEDSYNTH_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "medsynth"


@dataclass(frozen=True, kw_only=True)
class CasePlan:
    """What of a case becomes a training sample.

    Args:
        intensity: by image channel, in the order of the sample's channels.
        label: name of the label channel, or None.
        label_values: its values in the order of their channels.
        label_reach: voxels from a label's edge to where its channel is +1 and -1.
        resampling: orientation, spacing, size (with the margin of the augmentation).
    """

    intensity: Mapping[str, Intensity]
    label: str | None
    label_values: tuple[int, ...]
    label_reach: float
    resampling: Resampling

    def with_margin(self, margin: int) -> "CasePlan":
        """The same with `margin` more voxels on every side."""
        if not margin:
            return self
        size = tuple(side + 2 * margin for side in self.resampling.size)
        return replace(self, resampling=replace(self.resampling, size=size))


def prepare_case(folder: Path, record: CaseRecord, plan: CasePlan) -> dict[str, Tensor]:
    """One case's files -> {"x": (S, C, *size) in model units, "range": (images, 2), "affine": (4, 4)}.

    S is 1, or the number of slices that are cut from the volume; the affine is then that
    of the slice in the middle.
    """
    case = read_case(folder, record, plan.intensity, plan.label, plan.resampling)
    channels = []
    for name, part in case.images.items():
        low, high = case.ranges[name]
        channels.append(torch.from_numpy((part.array - low) / (high - low)).clamp(0, 1) * 2 - 1)
    label = None if case.label is None else case.label.array
    x = torch.stack(channels)
    geometry = next(iter(case.images.values())).geometry
    slices = plan.resampling.slices
    if slices is None:
        x = _with_label(x, label, plan)[None]
    else:
        positions = slices.positions(geometry.shape)
        x = torch.stack(
            [
                _with_label(
                    torch.from_numpy(np.stack([slices.cut(part, i) for part in x.numpy()])),
                    None if label is None else slices.cut(label, i),
                    plan,
                )
                for i in positions
            ]
        )
        geometry = slices.plane_geometry(geometry, positions[len(positions) // 2])
    return {
        "x": x.contiguous(),
        "range": torch.tensor([case.ranges[name] for name in case.images], dtype=torch.float64),
        "affine": torch.tensor(geometry.affine),
    }


def _with_label(images: Tensor, label: NDArray[Any] | None, plan: CasePlan) -> Tensor:
    if label is None:
        return images
    return torch.cat([images, label_channels(label, plan.label_values, plan.label_reach)])


class PreparedCases:
    """The cases of one split, prepared once and then read from the cache.

    The cache's names are hashes of the case's bytes and of the plan, so another plan or
    a changed scan never meets an old entry. An entry that was cut short or altered is
    made again. The first gigabyte of them stays in memory.

    Args:
        folder: CASES.
        records: the cases.
        plan: what of them becomes a sample.
        cache: folder of prepared tensors, made with mode 700 where it is new; its files have mode 600.
    """

    def __init__(self, folder: Path, records: Sequence[CaseRecord], plan: CasePlan, cache: Path) -> None:
        self.records = list(records)
        self.plan = plan
        self.folder, self.cache = folder, cache
        self._held: dict[int, dict[str, Tensor]] = {}
        self._room = _HELD_BYTES
        described = {
            "version": _VERSION,
            "intensity": [[name, asdict(value)] for name, value in plan.intensity.items()],
            "label": [plan.label, list(plan.label_values), plan.label_reach],
            "resampling": asdict(plan.resampling),
        }
        self._names = [sha256_json([record.sha256, described]) for record in self.records]
        with disk_errors(cache / "x"):
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index not in self._held:
            item = self._read(index)
            size = sum(part.nbytes for part in item.values())
            if size > self._room:
                return item
            self._room -= size
            self._held[index] = item
        return self._held[index]

    def _read(self, index: int) -> dict[str, Tensor]:
        path = self.cache / f"{self._names[index]}.pt"
        if path.exists():
            try:
                kept: dict[str, Tensor] = read_sealed(path).content
                return kept
            except RunError:
                path.unlink(missing_ok=True)
        item = prepare_case(self.folder, self.records[index], self.plan)
        write_sealed(path, item, private=True)
        return item


class Sample(NamedTuple):
    """One item, or a batch of them with an axis B in front.

    x: (C, *spatial) in model units; vector: (V,) condition; number: () int64, its n.
    """

    x: Tensor
    vector: Tensor
    number: Tensor


def _places(slices: Sequence[int]) -> list[tuple[int, int]]:
    return [(case, part) for case, count in enumerate(slices) for part in range(count)]


class TrainingSamples(Dataset[Sample]):
    """Training sample number n, a function of (seed, n) alone.

    Every pass over the data visits each case (or slice) once, in an order of its own.

    Args:
        cases: prepared with the augmentation's margin.
        slices: number of samples in each case.
        conditioner: from attributes to vectors.
        augmentation: what to do to them.
        seed: of the order and of the augmentation.
        spacing: mm along each axis of a sample; None takes voxels for cubes.
    """

    def __init__(
        self,
        cases: PreparedCases,
        slices: Sequence[int],
        conditioner: AttributeConditioner,
        augmentation: Augmentation,
        seed: int,
        spacing: Sequence[float] | None = None,
    ) -> None:
        self.cases, self.augmentation, self.seed, self.spacing = cases, augmentation, seed, spacing
        self.places = _places(slices)
        self.vectors = [conditioner.vector(conditioner.known(record.attributes)) for record in cases.records]
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
        return Sample(augmented.x, torch.cat([self.vectors[case], augmented.parameters]), torch.tensor(number))


class ValidationSamples(Dataset[Sample]):
    """The cases (or slices) of the validation patients, unaugmented, at most `most` of them.

    Where there are more, they are taken at even distances, the same ones every time.
    """

    def __init__(
        self,
        cases: PreparedCases,
        slices: Sequence[int],
        conditioner: AttributeConditioner,
        augmentation: Augmentation,
        most: int,
    ) -> None:
        self.cases = cases
        places = _places(slices)
        chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))
        self.places = [places[i] for i in chosen]
        # A class that no training patient has is unknown to the model, and a number that is none: their null.
        self.vectors = [conditioner.vector(conditioner.known(record.attributes)) for record in cases.records]
        self.silence = torch.zeros(augmentation.width(len(cases.plan.resampling.size)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Sample:
        case, part = self.places[number]
        return Sample(self.cases[case]["x"][part], torch.cat([self.vectors[case], self.silence]), torch.tensor(number))


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
