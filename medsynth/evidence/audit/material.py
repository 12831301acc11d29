"""What an audit looks at: samples, training and held-out patients, all in the form of a sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.data.preparation import PREPARATION_FILE, Preparation, PreparedCase, cases_digest, load_prepared
from medsynth.data.resampling import read_case
from medsynth.errors import MedsynthError
from medsynth.evidence.sample_files import read_sample_file
from medsynth.records import CASES_FILE, SAMPLES_FILE, CaseRecord, SampleRecord, read_records

OTHER_CASES = "the cases are not those that the run was trained on"


class Material(NamedTuple):
    """`samples` (N, C, *spatial) in units with their records; `reals` (M, C, *spatial) with whose and which they are.

    `patients` (M,) keys, `cases` (M,) ids, `training` (M,) whether the model saw them.
    """

    preparation: Preparation
    records: list[SampleRecord]
    samples: Tensor
    reals: Tensor
    patients: NDArray[np.str_]
    cases: NDArray[np.str_]
    training: NDArray[np.bool_]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm along each axis of a sample."""
        grid = self.preparation.grid
        return tuple(float(step) for step in grid.spacing[: grid.rank])

    def excluded(self) -> NDArray[np.bool_]:
        """(N, M): reals that a sample is not compared with, its own patients where it was made from scans."""
        own = [set((record.patient or "").split(".")) for record in self.records]
        rows = [[patient in keys for patient in self.patients] for keys in own]
        return np.array(rows, dtype=bool).reshape(len(own), len(self.patients))

    def untold(self) -> NDArray[np.bool_]:
        """(N,): samples whose own patients are not said one by one, so that nobody can leave them out."""
        return np.array([(record.patient or "").startswith("several-") for record in self.records], dtype=bool)


def read_folder(samples: Path, run: Path) -> tuple[Preparation, list[SampleRecord]]:
    """The run's preparation and the samples' records.

    Raises:
        MedsynthError: the samples were prepared for another run.
    """
    preparation, records = Preparation.read(run), read_records(samples / SAMPLES_FILE, SampleRecord)
    if Preparation.read(samples / PREPARATION_FILE).sha256 != preparation.sha256:
        raise MedsynthError("the samples were not made with this run: name the run that they were generated with")
    return preparation, records


def are_its_cases(cases: Path, preparation: Preparation) -> bool:
    """Whether a folder of cases is the one that the run was trained on."""
    return cases_digest(read_records(cases / CASES_FILE, CaseRecord)) == preparation.cases_sha256


def load_material(samples: Path, records: Sequence[SampleRecord], cases: Path, preparation: Preparation) -> Material:
    """Read all images.

    Raises:
        MedsynthError: a file that is missing or was changed, or that cannot be brought to a sample's form.
    """
    prepared = load_prepared(cases, preparation)
    return Material(
        preparation,
        list(records),
        torch.stack([read_sample(samples, record, preparation) for record in records]),
        torch.stack([_stacked(case, preparation) for case in prepared]),
        np.array([case.record.patient for case in prepared]),
        np.array([case.record.id for case in prepared]),
        np.array([case.split == "train" for case in prepared], dtype=bool),
    )


def read_sample(folder: Path, record: SampleRecord, preparation: Preparation) -> Tensor:
    """The images of a sample (C, *spatial); one that lies on its parent's grid is prepared as a case is.

    Raises:
        MedsynthError: a channel is missing or its file was changed.
    """
    images = []
    for channel in preparation.layout.images:
        array, geometry = read_sample_file(folder, record, channel.name)
        grid = preparation.grid
        if array.ndim == grid.rank + 1 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.shape != grid.shape or not np.allclose(geometry.spacing[: grid.rank], grid.spacing, rtol=1e-3):
            return _prepared(folder, record, preparation)
        images.append(torch.from_numpy(array.astype(np.float32)))
    return torch.stack(images)


def _prepared(folder: Path, record: SampleRecord, preparation: Preparation) -> Tensor:
    made = {image.name: preparation.intensity[image.name] for image in preparation.layout.images}
    parts = list(preparation.samples_in(read_case(folder, record, made, None, preparation.resampling)))
    if len(parts) != 1:
        raise MedsynthError(f"sample {record.id} is a volume and the run makes slices; audit its slices")
    return torch.stack([torch.from_numpy(image) for image in parts[0][0].values()])


def _stacked(case: PreparedCase, preparation: Preparation) -> Tensor:
    images: list[NDArray[Any]] = [case.images[channel.name] for channel in preparation.layout.images]
    return torch.from_numpy(np.stack(images).astype(np.float32))
