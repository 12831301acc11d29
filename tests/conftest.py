"""Where the real scans are."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel, write_records


@pytest.fixture(scope="session")
def test_data() -> Path:
    named = os.environ.get("MEDSYNTH_TEST_DATA")
    if not named:
        pytest.skip("MEDSYNTH_TEST_DATA does not name the folder of real scans")
    folder = Path(named)
    assert (folder / "hippocampus").is_dir(), "MEDSYNTH_TEST_DATA names a folder without the real scans"
    return folder


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A real disk of that size, where mounting is allowed; else the test is skipped with the reason."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def oblique_affine(spacing=(1.0, 1.5, 2.5), degrees=3.0, origin=(10.0, -20.0, 30.0)) -> np.ndarray:
    """Two small turns about two axes, anisotropic voxels: nothing is aligned with RAS."""
    turn = np.radians(degrees)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * np.array(spacing)
    affine[:3, 3] = origin
    return affine


@pytest.fixture(scope="session")
def make_cases():
    """Write a folder of small cases as ingest would: a bright ball in noise, its label, a class."""

    def make(
        folder: Path, patients: int = 6, scans: int = 1, shape=(8, 8, 8), affine=None, units="HU", classes=("a", "b")
    ) -> Path:
        records = []
        geometry = Geometry(shape, oblique_affine() if affine is None else affine)
        places = np.stack(np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij"))
        for number in range(patients * scans):
            rng = np.random.default_rng(number)
            ball = ((places - rng.uniform(-0.2, 0.2, (len(shape), *(1,) * len(shape)))) ** 2).sum(0) < rng.uniform(
                0.3, 0.5
            )
            image = (ball * 200.0 + rng.normal(0, 10, shape)).astype(np.int16)
            channels = {}
            for name, array in (("image", image), ("label", ball.astype(np.uint8))):
                path = f"volumes/case{number:03d}_{name}.nii.gz"
                write_nifti(folder / path, array, geometry)
                channels[name] = Channel(
                    path=path,
                    kind="image" if name == "image" else "label",
                    units=units if name == "image" else "label",
                    sha256=sha256_file(folder / path),
                    modality="CT" if name == "image" else None,
                )
            records.append(
                CaseRecord(
                    id=f"case{number:03d}",
                    patient=f"patient{number // scans:03d}",
                    patient_source="dicom",
                    identity="trusted",
                    channels=channels,
                    geometry=geometry,
                    labels={0: "background", 1: "ball"},
                    attributes={"class": classes[number % len(classes)]},
                )
            )
        write_records(folder / "cases.jsonl", records)
        return folder

    return make
