"""What readers make of an exported folder: other programs' eyes and our own."""

import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk

from medsynth.geometry import Geometry

ALLOWED = "</(0008,001c)> - Attribute with an even group number is not a recognized standard attribute"
"""The validator of 2022 does not know Synthetic Data."""


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def series(out: Path, study="s000000") -> dict[str, list[Path]]:
    """Files by the series' folder."""
    return {folder.name: files(folder) for folder in sorted((out / "dicom" / study).iterdir())}


def read_itk(paths: list[Path]) -> tuple[np.ndarray, Geometry]:
    """As SimpleITK puts a series together, indexed as its geometry."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(paths[0].parent)) if len(paths) > 1 else [str(paths[0])]
    image = sitk.ReadImage(names) if len(names) > 1 else sitk.ReadImage(names[0])
    place = Geometry.from_lps(image.GetSize(), image.GetOrigin(), image.GetSpacing(), np.array(image.GetDirection()))
    return sitk.GetArrayFromImage(image).T, place


def read_highdicom(paths: list[Path]) -> tuple[np.ndarray, Geometry]:
    """As highdicom does: (slice, row, column) and an affine in LPS."""
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in paths])
    return _of_highdicom(volume)


def read_segments(path: Path) -> tuple[np.ndarray, Geometry]:
    """Numbers of segments of a SEG, and its own place."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True, skip_overlap_checks=True)
    return _of_highdicom(volume)


def _of_highdicom(volume) -> tuple[np.ndarray, Geometry]:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    return volume.array, Geometry(volume.array.shape, affine)


def off_by(ours: np.ndarray, here: Geometry, theirs: np.ndarray, there: Geometry) -> tuple[float, float]:
    """Largest differences between two volumes whose voxels lie at the same places: in value, and in mm.

    Every voxel of `ours` is looked for in `theirs` by where it lies in the patient.
    """
    indices = np.indices(ours.shape).reshape(3, -1)
    indices = np.concatenate([indices, np.ones((1, indices.shape[1]))])
    found = (np.linalg.inv(there.affine) @ here.affine @ indices)[:3]
    nearest = np.rint(found).astype(int)
    if (nearest < 0).any() or (nearest >= np.array(theirs.shape)[:, None]).any():
        return np.inf, np.inf
    away = there.affine[:3, :3] @ (found - nearest)
    values = theirs[tuple(nearest)].astype(np.float64) - ours.ravel()
    return float(np.abs(values).max()), float(np.linalg.norm(away, axis=0).max())


def errors(path: Path) -> list[str]:
    """Error lines of dciodvfy but the one that is allowed; its exit status where it is not 0."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    found = [line for line in lines if line.startswith("Error") and ALLOWED not in line]
    return found + ([f"exit {done.returncode}"] if done.returncode else [])


def entity_errors(paths: list[Path]) -> list[str]:
    """What dcentvfy says of a series as a whole."""
    done = subprocess.run(["dcentvfy", *map(str, paths)], capture_output=True, check=False)
    return (done.stdout + done.stderr).decode(errors="replace").splitlines()
