"""The content of what a verb reads, as one hash: the same inputs, wherever they lie."""

from collections.abc import Callable
from pathlib import Path

from medsynth.errors import MedsynthError
from medsynth.files import folders_with, sha256_file, sha256_json


def cases_content(key: str, folder: Path) -> str:
    """Hash of a folder of cases: cases.jsonl names every file with its own hash."""
    return _index(key, folder, "cases.jsonl", "ingest")


def samples_content(key: str, folder: Path) -> str:
    """Hash of a folder of samples: samples.jsonl names every file with its own hash."""
    return _index(key, folder, "samples.jsonl", "generate")


def samples_folders_content(key: str, folder: Path) -> str:
    """Hash of a folder of samples, or of all such folders in a folder."""
    return _all(key, folder, "samples.jsonl", samples_content)


def runs_content(key: str, folder: Path) -> str:
    """Hash of a run, or of all runs in a folder."""
    return _all(key, folder, "run.json", run_content)


def evaluation_content(key: str, folder: Path) -> str:
    """Hash of an evaluation: evaluation.json."""
    return _index(key, folder, "evaluation.json", "evaluate")


def audit_content(key: str, folder: Path) -> str:
    """Hash of an audit: audit.json."""
    return _index(key, folder, "audit.json", "audit")


def utility_content(key: str, folder: Path) -> str:
    """Hash of a measurement of usefulness: utility.json."""
    return _index(key, folder, "utility.json", "utility")


def parents_content(key: str, folder: Path) -> str:
    """Hash of a folder of cases or of samples."""
    return samples_content(key, folder) if (folder / "samples.jsonl").is_file() else cases_content(key, folder)


def table_content(key: str, path: Path) -> str:
    """Hash of a table."""
    if not path.is_file():
        raise MedsynthError(f"{key} names no file: {path}")
    return sha256_file(path)


def run_content(key: str, folder: Path) -> str:
    """Hash of a trained run: its description and its weights."""
    description = _index(key, folder, "run.json", "train")
    weights = sorted((folder / "weights").rglob("*.ckpt"))
    if not weights:
        raise MedsynthError(
            f"{key}: {folder} holds no weights yet: let `medsynth train` go on until its first validation"
        )
    return sha256_json([description, *([file.name, sha256_file(file)] for file in weights)])


def _all(key: str, folder: Path, name: str, content: Callable[[str, Path], str]) -> str:
    found = folders_with(folder, name)
    return sha256_json(sorted(content(key, one) for one in found)) if found else content(key, folder)


def _index(key: str, folder: Path, name: str, verb: str) -> str:
    if not folder.is_dir():
        raise MedsynthError(f"{key} names no folder: {folder}")
    if not (folder / name).is_file():
        raise MedsynthError(f"{key}: {folder} holds no {name}: is it a folder that `medsynth {verb}` finished?")
    return sha256_file(folder / name)
