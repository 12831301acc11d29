"""Cases brought to the form of a sample, as tensors, cached on disk."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.data.preparation import Preparation
from medsynth.data.resampling import Intensity, Resampling, read_case
from medsynth.errors import MedsynthError, RunError
from medsynth.files import disk_errors, sha256_json
from medsynth.models.label_field import label_channels
from medsynth.models.sealed import read_sealed, write_sealed
from medsynth.records import CaseRecord, Record

_HELD_BYTES = 2**30  # prepared cases that each process holds in memory
_VERSION = 4  # of the steps in `prepare_case` and below: another number, other cache names


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
        given: intensity of the image channels that a sample is made from; a case may lack them.
        label_given: whether the label map is given, not made; a case may then lack it.
    """

    intensity: Mapping[str, Intensity]
    label: str | None
    label_values: tuple[int, ...]
    label_reach: float
    resampling: Resampling
    given: Mapping[str, Intensity] = field(default_factory=dict)
    label_given: bool = False

    @classmethod
    def of(cls, preparation: Preparation) -> "CasePlan":
        """As a run's preparation says."""
        layout = preparation.layout
        label = layout.label or layout.given.label
        return cls(
            intensity={image.name: preparation.intensity[image.name] for image in layout.images},
            label=label.name if label else None,
            label_values=tuple(label.values) if label else (),
            label_reach=label.reach if label else 0.0,
            resampling=preparation.resampling,
            given={name: preparation.intensity[name] for name in layout.given.images},
            label_given=layout.given.label is not None,
        )

    @property
    def made(self) -> int:
        """Number of channels that are made; the others, behind them, are given."""
        return len(self.intensity) + (0 if self.label_given else len(self.label_values))

    def with_margin(self, margin: int) -> "CasePlan":
        """The same with `margin` more voxels on every side."""
        if not margin:
            return self
        size = tuple(side + 2 * margin for side in self.resampling.size)
        return replace(self, resampling=replace(self.resampling, size=size))

    def without_missing(self, record: Record) -> "CasePlan":
        """The same without the channels that are made and that the case lacks."""
        there = {name: intensity for name, intensity in self.intensity.items() if name in record.channels}
        plan = replace(self, intensity=there)
        if self.label is None or self.label_given or self.label in record.channels:
            return plan
        return replace(plan, label=None, label_values=())


def prepare_case(folder: Path, record: Record, plan: CasePlan) -> dict[str, Tensor]:
    """One case's files as tensors.

    Returns:
        "x": (S, C + G, *size) in model units, first the channels that are made, then those that are given
        (zeros where the case lacks them). S is 1, or the number of slices that are cut from the volume.
        "present": (P,), which parts are given. "range": (images, 2), of the images that are made.
        "affine": (4, 4), of the sample or of the slice in the middle.
    """
    given = {name: intensity for name, intensity in plan.given.items() if name in record.channels}
    label = None if plan.label_given and plan.label not in record.channels else plan.label
    case = read_case(folder, record, {**plan.intensity, **given}, label, plan.resampling)
    present = [name in given for name in plan.given] + ([label is not None] if plan.label_given else [])
    volumes = {name: _scaled(part.array, case.ranges[name]) for name, part in case.images.items()}
    mask = None if case.label is None else case.label.array
    if mask is not None and plan.label_given and not np.isin(mask, plan.label_values).all():
        raise MedsynthError(
            f"case {record.id}: its {plan.label} has values that the run was not trained with; merge or remove "
            "them, and ingest again"
        )
    geometry = case.geometry
    slices = plan.resampling.slices
    if slices is None:
        x = _stacked(volumes, mask, plan)[None]
    else:
        positions = slices.positions(geometry.shape)
        cuts = (
            (
                {name: slices.cut(volume, position) for name, volume in volumes.items()},
                None if mask is None else slices.cut(mask, position),
            )
            for position in positions
        )
        x = torch.stack([_stacked(images, cut, plan) for images, cut in cuts])
        geometry = slices.plane_geometry(geometry, positions[len(positions) // 2])
    return {
        "x": x.contiguous(),
        "present": torch.tensor(present, dtype=torch.bool),
        "range": torch.tensor([case.ranges[name] for name in plan.intensity], dtype=torch.float64),
        "affine": torch.tensor(geometry.affine),
    }


def _scaled(array: NDArray[np.float32], between: tuple[float, float]) -> NDArray[np.float32]:
    low, high = between
    scaled: NDArray[np.float32] = np.clip((array - low) / (high - low), 0, 1) * 2 - 1
    return scaled


def _stacked(images: Mapping[str, NDArray[np.float32]], mask: NDArray[Any] | None, plan: CasePlan) -> Tensor:
    """(C + G, *spatial): images made, a label map made, images given, a label map given."""
    shape = mask.shape if mask is not None else next(iter(images.values())).shape
    labels = []
    if plan.label is not None:
        nothing = torch.zeros(len(plan.label_values), *shape)
        labels = [nothing if mask is None else label_channels(mask, plan.label_values, plan.label_reach)]
    made = [torch.from_numpy(np.ascontiguousarray(images[name]))[None] for name in plan.intensity]
    given = [
        torch.from_numpy(np.ascontiguousarray(images[name]))[None] if name in images else torch.zeros(1, *shape)
        for name in plan.given
    ]
    return torch.cat([*made, *given, *labels] if plan.label_given else [*made, *labels, *given])


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
            "label": [plan.label, list(plan.label_values), plan.label_reach, plan.label_given],
            "given": [[name, asdict(value)] for name, value in plan.given.items()],
            "resampling": asdict(plan.resampling),
        }
        self._names = [sha256_json([record.sha256, described]) for record in self.records]
        with disk_errors(cache / "x"):
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is held: a loading process would have to keep a file open for every tensor of it."""
        return {**self.__dict__, "_held": {}, "_room": _HELD_BYTES}

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
