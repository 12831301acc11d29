"""Folders that should name nobody, and the same with one identity in every file: parts of `benchmarks/identity.py`."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medsynth.cli.main import main as medsynth
from medsynth.data.dicom_file import quiet
from medsynth.data.phantom_files import write_phantom
from medsynth.errors import MedsynthError
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.identity.clean_files import packed

NAME = "Ottilie Quandt"


def removed_files(source: Path, out: Path, key: bytes) -> list[tuple[Path, Path]]:
    """Every DICOM file below `source` that removal writes, and what it wrote; later copies are left out."""
    pairs: dict[Path, Path] = {}
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        done = remove_from_file(RemovalTask(path, out, key))
        if done.path is not None:
            pairs.setdefault(out / done.path, path)
    return [(path, written) for written, path in pairs.items()]


def made_folders(work: Path) -> tuple[Path, Path]:
    """Cases and samples of a phantom: the pipeline in its smallest form.

    Raises:
        MedsynthError: a step of it failed.
    """
    write_phantom(
        work / "scans", patients=6, scans=1, seed=0, form="nifti", shape=(16, 16, 8), spacing=(24.0, 24.0, 48.0)
    )
    cases, run, samples = work / "cases", work / "run", work / "samples"
    quick = ["trainer.steps=2", "trainer.validate_every=1", "trainer.checkpoint_every=2", "trainer.preview_every=2"]
    size = ["data.resampling.size=[8,8,8]", "data.resampling.spacing=null", "data.label=null"]
    for words in (
        ["ingest", f"source={work / 'scans'}", f"out={cases}", f"key={work / 'key'}", "identity=check", "modality=CT"],
        ["train", f"cases={cases}", f"out={run}", f"cache={work / 'cache'}", "experiment=phantom_3d", *quick, *size],
        ["generate", f"run={run}", f"out={samples}", "count=16", "batch_size=16", "sampler.steps=2", "seed=83749201"],
    ):
        if medsynth([*words, "progress=false"]):
            raise MedsynthError(f"medsynth {words[0]} failed; give --cases and --samples")
    return cases, samples


def planted_copies(folder: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """A copy of every file with one identity in it, at places that take turns; its name below the folder."""
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        name = path.relative_to(folder).as_posix()
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        if path.suffix == ".dcm":
            _IN_DICOM[number % len(_IN_DICOM)](target)
        else:
            target.write_bytes(_with_name(target.read_bytes(), path.name, number))
        yield target, name


def _with_name(content: bytes, name: str, number: int) -> bytes:
    if name.endswith(".nii.gz"):
        import gzip

        opened = gzip.decompress(content)
        return packed(opened, name="quandt_ottilie.nii") if number % 2 else packed(opened + b"Quandt^Ottilie")
    if name.endswith(".jsonl"):
        return content + b'{"note": "' + NAME.encode() + b'"}\n'
    if name.endswith(".json"):
        return content.rstrip()[:-1] + b', "note": "' + NAME.encode() + b'"}'
    return content + (b"# " + NAME.encode() + b"\n" if name.endswith((".yaml", ".txt")) else b"Quandt^Ottilie")


def _changed(change: Callable[[pydicom.FileDataset], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with quiet():
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(path)

    return write


def _nested(dataset: Dataset) -> None:
    item = Dataset()
    item.SeriesDescription = NAME
    dataset.RelatedSeriesSequence = Sequence([item])


def _private(dataset: Dataset) -> None:
    dataset.private_block(0x0099, "ACME 1.1", create=True).add_new(1, "LO", "83749201")


_IN_DICOM: tuple[Callable[[Path], None], ...] = (
    _changed(lambda dataset: setattr(dataset, "OperatorsName", "Quandt^Ottilie")),
    _changed(lambda dataset: setattr(dataset, "StudyDescription", NAME)),
    _changed(lambda dataset: setattr(dataset, "AdditionalPatientHistory", "seen by Siobhan")),
    _changed(lambda dataset: setattr(dataset, "SoftwareVersions", NAME)),
    _changed(lambda dataset: setattr(dataset, "SeriesNumber", "83749201")),
    _changed(lambda dataset: setattr(dataset, "PatientBirthDate", "19610503")),
    _changed(_nested),
    _changed(_private),
    _changed(lambda dataset: setattr(dataset, "preamble", b"Quandt^Ottilie".ljust(128, b"\0"))),
    lambda path: path.write_bytes(path.read_bytes() + b"Quandt^Ottilie") and None,
)


def spoilt(path: Path, out: Path) -> Path:
    """A copy of a DICOM file without an element that every image has to have."""
    with quiet():
        dataset = pydicom.dcmread(path)
        del dataset.Rows
        out.mkdir(parents=True, exist_ok=True)
        dataset.save_as(out / f"{os.urandom(4).hex()}.dcm")
    return sorted(out.iterdir(), key=lambda one: one.stat().st_mtime_ns)[-1]
