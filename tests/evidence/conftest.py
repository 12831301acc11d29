"""Folders as ingest and generate leave them, from arrays: the material of the evaluation tests."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.resampling import Intensity, Resampling
from medsynth.data.split import SplitPlan
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.records import CaseRecord, Channel, SampleRecord, write_records

LABELS = {0: "background", 1: "front", 2: "back"}


def blobs(count: int, seed: int, shape: tuple[int, ...] = (16, 18, 14)) -> tuple[np.ndarray, np.ndarray]:
    """Smooth grey images with a bright two-part body whose size and place vary; labels 1 and 2."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    images, labels = [], []
    for _ in range(count):
        centre, radius = rng.normal(0, 0.08, len(shape)), rng.normal(0.55, 0.02)
        offset = grid - centre.reshape(-1, *(1,) * len(shape))
        inside = np.sqrt((offset**2).sum(0)) < radius
        label = np.where(inside, np.where(offset[1] > 0, 1, 2), 0)
        image = 30 + 80 * (label == 1) + 130 * (label == 2) + 15 * rng.normal() * grid[0] + rng.normal(0, 3, shape)
        images.append(np.clip(image, 0, 255))
        labels.append(label)
    return np.stack(images).astype(np.float32), np.stack(labels).astype(np.uint8)


def write_cases(
    folder: Path,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    window: tuple[float, float] = (0.0, 255.0),
    owners: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    source: str = "pattern",
) -> Preparation:
    """Write CASES and give the preparation that a run on them would carry."""
    geometry = Geometry.centred(images.shape[1:], (1.0,) * (images.ndim - 1))
    records = []
    for row, image in enumerate(images):
        channels = {"mr": _channel(folder, f"mr/{row:04d}.nii.gz", image, geometry, "image")}
        if labels is not None:
            channels["label"] = _channel(folder, f"label/{row:04d}.nii.gz", labels[row], geometry, "label")
        records.append(
            CaseRecord(
                id=f"case{row:04d}",
                patient=owners[row] if owners is not None else f"patient{row:04d}",
                patient_source=source,
                identity="trusted",
                channels=channels,
                geometry=geometry,
                labels=LABELS if labels is not None else {},
                attributes={"class": classes[row]} if classes is not None else {},
            )
        )
    write_records(folder / "cases.jsonl", records)
    low, high = window
    return Preparation(
        layout=Layout(
            images=(ImageChannel(name="mr", units="arbitrary", low=low, high=high),),
            label=LabelChannel(name="label", values=LABELS) if labels is not None else None,
            grid=geometry,
        ),
        intensity={"mr": Intensity(kind="window", low=low, high=high)},
        resampling=Resampling(orientation=None, spacing=None, size=geometry.shape),
        split=SplitPlan(),
        cases_sha256=cases_digest(records),
    )


def write_samples(
    folder: Path,
    images: np.ndarray,
    labels: np.ndarray | None,
    preparation: Preparation,
    *,
    classes: Sequence[str] | None = None,
    **more: Any,
) -> None:
    """Write SAMPLES with their preparation; `more` goes into every record."""
    preparation.write(folder)
    records = []
    for row, image in enumerate(images):
        channels = {"mr": _channel(folder, f"mr/{row:04d}.nii.gz", image, preparation.grid, "image")}
        if labels is not None:
            channels["label"] = _channel(folder, f"label/{row:04d}.nii.gz", labels[row], preparation.grid, "label")
        records.append(
            SampleRecord(
                id=f"sample{row:04d}",
                index=row,
                seed=0,
                condition={"class": classes[row]} if classes is not None else {},
                sampler={"name": "heun", "steps": 18},
                channels=channels,
                geometry=preparation.grid,
                labels=LABELS if labels is not None else {},
                **{"identity": "trusted", "checkpoint": "a" * 64, **more},
            )
        )
    write_records(folder / "samples.jsonl", records)


def _channel(folder: Path, path: str, array: np.ndarray, geometry: Geometry, kind: Any) -> Channel:
    write_nifti(folder / path, array, geometry)
    units = "label" if kind == "label" else "arbitrary"
    return Channel(path=path, kind=kind, units=units, sha256=sha256_file(folder / path))


@pytest.fixture(scope="session")
def folders() -> SimpleNamespace:
    return SimpleNamespace(blobs=blobs, write_cases=write_cases, write_samples=write_samples)
