"""Folders of samples: which row and draw each belongs to, and which must not be compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from medsynth.data.preparation import PREPARATION_FILE, Preparation
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.evidence.utility.origin import Origin, generator_origin
from medsynth.files import folders_with, sha256_file
from medsynth.models.run import RUN_FILE
from medsynth.records import CASES_FILE, SAMPLES_FILE, CaseRecord, SampleRecord, read_records

LEAST = 8
"""Samples in a folder, and tested patients, below which nothing is measured."""


class SampleFolder(NamedTuple):
    """A generator's samples. `patients`: pseudonymous keys that it was trained and chosen by; `test`: held out."""

    path: Path
    sha256: str
    preparation: Preparation
    checkpoint: str
    patients: frozenset[str]
    test: frozenset[str]
    origin: Origin


class Row(NamedTuple):
    """Folders of generators that had the same number of patients, in the order of their draws.

    `whole`: they had all that are not held out, so that the draws differ by the training alone.
    """

    size: int
    whole: bool
    folders: tuple[SampleFolder, ...]

    @property
    def name(self) -> str:
        """As in the report."""
        return f"N={self.size}" + (" (all)" if self.whole else "")


def find_rows(samples: Path, cases: Path, runs: Path | None) -> list[Row]:
    """The rows that the folders of samples below `samples` make, the smallest first.

    Raises:
        MedsynthError: folders of other cases, another test split or another form; samples of test patients or of
            patients beyond the row's; two folders that are one draw; a generator that saw more (`generator_origin`).
    """
    records = read_records(cases / CASES_FILE, CaseRecord)
    known = folders_with(runs, RUN_FILE) if runs is not None else []
    if runs is not None and not known:
        raise MedsynthError("runs holds no run: name a run, or a folder of runs")
    paths = folders_with(samples, SAMPLES_FILE)
    if not paths:
        raise MedsynthError("samples holds no folder that `medsynth generate` finished")
    folders = [_read(path, records, known) for path in paths]
    _require_alike(folders)
    usable = len({record.patient for record in records} - folders[0].test)
    rows = []
    for size in sorted({len(folder.patients) for folder in folders}):
        own = sorted(
            (folder for folder in folders if len(folder.patients) == size),
            key=lambda folder: (folder.preparation.split.draw, folder.checkpoint),
        )
        row = Row(size, size == usable, tuple(own))
        _require_draws(row)
        rows.append(row)
    return rows


def _read(path: Path, cases: Sequence[CaseRecord], runs: Sequence[Path]) -> SampleFolder:
    preparation = Preparation.read(path / PREPARATION_FILE)
    records = read_records(path / SAMPLES_FILE, SampleRecord)
    splits = split_patients(cases, preparation.split)
    patients = frozenset(patient for patient, name in splits.items() if name != "test")
    test = frozenset(patient for patient, name in splits.items() if name == "test")
    if not test:
        raise MedsynthError("usefulness is tested on held-out patients, and there are none: train with data.split.test")
    if len({record.checkpoint for record in records}) > 1:
        raise MedsynthError("a folder holds samples of several generators; name folders of one each")
    if len(records) < LEAST:
        raise MedsynthError(f"a folder holds {len(records)} samples; generate {LEAST} or more")
    for record in records:
        if record.split == "test" or record.patient in test:
            raise MedsynthError(f"sample {record.id} is derived from a held-out patient; leave it out of samples")
        if record.patient is not None and record.patient not in patients:
            raise MedsynthError(
                f"sample {record.id} is derived from a patient or sample beyond those of its generator; leave it out"
            )
    origin = generator_origin(records[0], preparation, runs, cases)
    return SampleFolder(
        path, sha256_file(path / SAMPLES_FILE), preparation, records[0].checkpoint, patients, test, origin
    )


def _require_alike(folders: Sequence[SampleFolder]) -> None:
    first = folders[0]
    for folder in folders[1:]:
        one, other = first.preparation, folder.preparation
        if other.cases_sha256 != one.cases_sha256:
            raise MedsynthError("the folders of samples come from other cases; name those of one folder of cases")
        if folder.test != first.test:
            raise MedsynthError(
                "the folders of samples were made with other test patients: train with one data.split.seed and "
                "data.split.test"
            )
        same_images = [image.name for image in one.layout.images] == [image.name for image in other.layout.images]
        if one.resampling != other.resampling or not same_images or bool(one.layout.label) != bool(other.layout.label):
            raise MedsynthError(
                "the folders of samples have other channels, sizes or spacings; train with the same data settings"
            )


def _require_draws(row: Row) -> None:
    if len({folder.checkpoint for folder in row.folders}) < len(row.folders):
        raise MedsynthError(f"{row.name}: two folders come from one generator and are no two draws; name one of them")
    counts = Counter(folder.patients for folder in row.folders)
    if not row.whole and max(counts.values()) > 1:
        raise MedsynthError(
            f"{row.name}: two generators had the same patients and are no two draws; train with another data.split.draw"
        )
