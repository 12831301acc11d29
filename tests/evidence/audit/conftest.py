"""A run trained for a moment on pictures of 80 patients, and samples: real patients in their place, and copies."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from medsynth.data.nifti import write_nifti
from medsynth.data.preparation import Preparation, load_prepared
from medsynth.data.resampling import Resampling
from medsynth.data.split import SplitPlan
from medsynth.evidence.audit.plan import CopyBars, MembershipPlan
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.metrics.correlation import SearchPlan
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import load_run
from medsynth.records import CaseRecord, Channel, SampleRecord, write_records
from medsynth.training.plan import Schedule
from tests.small import small_data, train_small

SEARCH = SearchPlan(voxels=(600, 1024))
COPIES = CopyBars(planted=5, stand_ins=20, least_found=0.8)
MEMBERSHIP = MembershipPlan(levels=(0.3, 1.0), draws=1)
SPLIT = SplitPlan(validation=0.1, test=0.35)


SIDE = 32


def textures(count: int, seed: int) -> list[np.ndarray]:
    """Images of one organ: a smooth pattern that all share and, on it, one of each's own."""
    common = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(SIDE, SIDE)), 4) * 400
    made = []
    for number in range(count):
        own = np.random.default_rng((seed, number)).normal(size=(SIDE, SIDE))
        made.append(np.round(np.clip(100 + common + ndimage.gaussian_filter(own, 1.2) * 120, -50, 250)))
    return made


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """`run`, `cases`, `preparation`, `prepared` cases, and `write` for a folder of samples, `write_cases` for cases."""
    folder = tmp_path_factory.mktemp("audit")
    geometry = Geometry.centred((SIDE, SIDE), (1.0, 1.0))

    def write_cases(out: Path, count: int, seed: int, source: str = "dicom") -> Path:
        records = []
        for number, image in enumerate(textures(count, seed)):
            path = f"volumes/{number:03d}.nii.gz"
            write_nifti(out / path, image.astype(np.int16), geometry)
            channel = Channel(path=path, kind="image", units="HU", sha256=sha256_file(out / path), modality="CT")
            records.append(
                CaseRecord(
                    id=f"case{number:03d}",
                    patient=f"patient{number:03d}",
                    patient_source=source,
                    identity="trusted",
                    channels={"image": channel},
                    geometry=geometry,
                )
            )
        write_records(out / "cases.jsonl", records)
        return out

    cases = write_cases(folder / "cases", 80, seed=1)
    short = Schedule(steps=2, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=0)
    data = small_data(resampling=Resampling(orientation=None, spacing=None, size=(SIDE, SIDE)), split=SPLIT)
    train_small(cases, folder / "run", data, short, parametrisation=ParametrisationPlan(modes=0))
    preparation, run = Preparation.read(folder / "run"), load_run(folder / "run")
    prepared = load_prepared(cases, preparation)

    def write(out: Path, images: list[np.ndarray], **more: object) -> Path:
        preparation.write(out)
        records = []
        for row, image in enumerate(images):
            path = f"volumes/{row:03d}.nii.gz"
            write_nifti(out / path, image.astype(np.float32), preparation.grid)
            channel = Channel(path=path, kind="image", units="HU", sha256=sha256_file(out / path))
            record = SampleRecord(
                id=f"s{row:03d}",
                index=row,
                seed=0,
                condition={},
                sampler={"name": "heun", "weights": "best"},
                channels={"image": channel},
                geometry=preparation.grid,
                checkpoint=run.checkpoint,
                identity="trusted",
            )
            records.append(replace(record, **more.get(record.id, {})))  # type: ignore[call-overload]
        write_records(out / "samples.jsonl", records)
        return out

    def fresh(count: int, seed: int = 1000) -> list[np.ndarray]:
        return textures(count, seed)

    return SimpleNamespace(
        run=folder / "run",
        cases=cases,
        preparation=preparation,
        prepared=prepared,
        training=[case for case in prepared if case.split == "train"],
        write=write,
        write_cases=write_cases,
        fresh=fresh,
        settings={
            "search": SEARCH,
            "copies": COPIES,
            "membership": MEMBERSHIP,
            "cache": folder / "cache",
            "device": "cpu",
            "progress": False,
        },
    )
