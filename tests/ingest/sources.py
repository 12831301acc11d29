"""Small sources to ingest, and what came of them."""

import json
from pathlib import Path

import numpy as np

from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry
from medsynth.ingest.run import ingest
from medsynth.records import CaseRecord, read_records


def run(source: Path, out: Path, **options):
    options = {"identity": "trust", "key": out.parent / "keys" / "key", "workers": 1, "progress": False, **options}
    return ingest(source, out, **options)


def cases(out: Path) -> list[CaseRecord]:
    return read_records(out / "cases.jsonl", CaseRecord)


def refusals(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "refused.jsonl").read_text().splitlines()]


def sources(report) -> dict[str, str]:
    lines = [json.loads(line) for line in report.sources.read_text().splitlines()[1:]]
    return {line["case"]: line["source"] for line in lines}


def image_folder(folder: Path, count: int = 6, label: bool = True) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        geometry = Geometry.centred((5, 6, 7), (1.0, 1.5, 2.0), centre=(k, 0, 0))
        write_nifti(folder / "images" / f"John_Doe_{k}.nii.gz", rng.normal(size=(5, 6, 7)), geometry)
        if label:
            write_nifti(folder / "labels" / f"John_Doe_{k}.nii.gz", rng.integers(0, 3, (5, 6, 7)), geometry)
    return folder


def all_text(folder: Path) -> str:
    names = " ".join(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return names + "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".json", ".jsonl"))


def cut(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
