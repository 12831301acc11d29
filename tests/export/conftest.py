"""Samples of every kind, written by hand: a model has nothing to do with how they are stored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import Channel, SampleRecord, write_records
from tests.conftest import oblique_affine

SHAPE = (11, 9, 7)
_TURNS = {
    "axial": [(-1, 0, 0), (0, -1, 0), (0, 0, 1)],
    "sagittal": [(0, -1, 0), (0, 0, -1), (1, 0, 0)],
    "coronal": [(-1, 0, 0), (0, 0, -1), (0, -1, 0)],
    "ras": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "left-handed": [(-1, 0, 0), (0, 1, 0), (0, 0, 1)],
}


def place(name: str, shape=SHAPE, spacing=(0.7, 1.3, 2.9)) -> Geometry:
    """By name: columns of the direction are the array axes in RAS; anisotropic, off the origin."""
    affine = np.eye(4)
    if name == "oblique":
        affine = oblique_affine(spacing, degrees=23.0, origin=(-71.123456, 12.5, 33.25))
    elif name == "very oblique":
        affine = oblique_affine(spacing, degrees=52.0, origin=(-71.123456, 12.5, 33.25))
    else:
        affine[:3, :3] = np.array(_TURNS[name], dtype=float).T * np.array(spacing)
        affine[:3, 3] = (-17.5, 33.123456, -120.75)
    return Geometry(shape, affine)


PLACES = [*_TURNS, "oblique", "very oblique"]


def values(units: str, shape, seed=0) -> np.ndarray:
    """No two corners alike: whole HU and grey, fractions for MR and PET."""
    rng = np.random.default_rng(seed)
    ramp = np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)
    if units == "HU":
        return np.rint(ramp * 300 - 150 + rng.normal(0, 20, shape)).astype(np.int16)
    if units == "grey":
        return np.rint(ramp * 255).astype(np.uint8)
    return (ramp * (12 if units == "SUV" else 900) + rng.uniform(0, 0.5, shape)).astype(np.float32)


@pytest.fixture(scope="session")
def make_samples():
    """Write a folder of samples, as generate would."""

    def make(folder: Path, geometry: Geometry, channels=None, count=1, labels=None, **changes) -> Path:
        channels = {"image": ("HU", None)} if channels is None else channels
        labels = {0: "background", 1: "liver", 4: "left kidney", 7: "odd \\ name"} if labels is None else labels
        records = []
        for index in range(count):
            made = {}
            for name, (units, modality) in channels.items():
                kind = "label" if units == "label" else "image"
                array = _label(geometry.shape, labels) if kind == "label" else values(units, geometry.shape, index)
                path = f"volumes/{index:06d}_{name}.nii.gz"
                write_nifti(folder / path, array, geometry)
                made[name] = Channel(
                    path=path, kind=kind, units=units, modality=modality, sha256=sha256_file(folder / path)
                )
            record = SampleRecord(
                id=f"s{index:06d}",
                index=index,
                seed=5,
                condition={"class": "a", "text": "größer \\ als"},
                sampler={"name": "euler", "steps": 4},
                channels=made,
                geometry=geometry,
                labels=labels if any(c.kind == "label" for c in made.values()) else {},
                checkpoint="ab" * 32,
                identity="cleared",
                licences=("CC-BY-4.0",),
            )
            records.append(replace(record, **changes))
        write_records(folder / "samples.jsonl", records)
        return folder

    return make


def _label(shape, labels) -> np.ndarray:
    """A block a label, no two alike, none symmetric."""
    array = np.zeros(shape, dtype=np.uint8)
    for step, value in enumerate(sorted(value for value in labels if value)):
        cut = [slice(1 + step, min(3 + 2 * step, side)) for side in shape[:2]]
        array[(*cut, *([slice(step, step + 3)] if len(shape) == 3 else []))] = value
    return array
