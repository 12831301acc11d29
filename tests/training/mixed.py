"""Cases of which some lack what others have, and a training that is told all of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsynth.data.augmentation import Augmentation
from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.data.texts import TextPlan
from medsynth.files import sha256_file
from medsynth.records import CaseRecord, read_records, write_records
from medsynth.training.plan import DataPlan, GivenPlan, ImageInput, Schedule, TrainReport
from tests.small import small_data, train_small
from tests.words import Letters

PET = ImageInput(name="pet", kind="percentiles", low=1, high=99)
PARTS = ("class", "age", "style", "text", "pet", "label")


def mixed_cases(folder: Path, make_cases: Callable[..., Path], patients: int = 16, **settings: Any) -> Path:
    """Every third patient lacks each of: label map, PET, age, report; the class is always there."""
    make_cases(folder, patients=patients, **settings)
    records = []
    for number, record in enumerate(read_records(folder / "cases.jsonl", CaseRecord)):
        channels, attributes = dict(record.channels), dict(record.attributes)
        array, geometry = read_nifti(folder / channels["image"].path)
        path = f"volumes/{record.id}_pet.nii.gz"
        write_nifti(folder / path, (1000 - 3 * array).astype("int16"), geometry)
        pet = replace(channels["image"], path=path, units="arbitrary", modality=None)
        channels["pet"] = replace(pet, sha256=sha256_file(folder / path))
        attributes |= {"age": 40 + 3 * number, "report": f"a bad scan {'c' * (number % 4)} of a cab"}
        for name, parts in (("pet", channels), ("label", channels), ("age", attributes), ("report", attributes)):
            if number % 3 == ("pet", "label", "age", "report").index(name) % 3:
                del parts[name]
        records.append(replace(record, channels=channels, attributes=attributes))
    write_records(folder / "cases.jsonl", records)
    return folder


def mixed_data(kind: str = "3d", **changes: Any) -> DataPlan:
    """A plan with everything: "3d", "2d" (pictures) or "slices"."""
    size = (8, 8, 8) if kind == "3d" else (8, 8)
    slices = SlicePlan(plane="axial", low=0.2, high=0.8, step=2) if kind == "slices" else None
    settings = {
        "resampling": Resampling(
            orientation="RAS" if kind == "slices" else None, spacing=None, size=size, slices=slices
        ),
        "conditions": ("class",),
        "numbers": ("age", "slice_position") if kind == "slices" else ("age",),
        "given": GivenPlan(label="label", images=(PET,)),
        "style": True,
        "text": TextPlan(of="report"),
        "augmentation": Augmentation(shift=1, rotate=5, scale=0.1, flip=(0,)),
    }
    return small_data(**{**settings, **changes})


def run(cases: Path, out: Path, data: DataPlan, steps: int = 2, **settings: Any) -> TrainReport:
    """Train for a moment."""
    words = data.text.of is not None
    every = {"validate_every": 2, "checkpoint_every": 2, "preview_every": steps, "preview_count": 0}
    settings = {
        "text_encoder": Letters() if words else None,
        "trainer": Schedule(**{"steps": steps, **every}),
        **settings,
    }
    return train_small(cases, out, data, **settings)
