"""Whether the volumes of a folder show faces: NIfTI files, and DICOM series of CT and MR, however unevenly they lie."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import quiet, read_file
from medsynth.data.dicom_pixels import in_units, stored_frames
from medsynth.data.dicom_slices import Slice, slices_of
from medsynth.geometry import Geometry
from medsynth.identity.faces import LEAST_MM, find_face
from medsynth.identity.finding import Finding, Findings

_TAGS = ["Modality", "SeriesInstanceUID", "NumberOfFrames", "Rows"]
_UNTOLD = ("", "None", "OT", "SC")
"""Modality of files that do not say which: another might be that of any picture."""
_METRE = 1000.0
_MANY = 8
"""Slices from which on a series that is not understood is a finding."""


def faces_in_nifti(path: Path, findings: Findings) -> None:
    """Look for a face in a NIfTI file, in its first volume where it has several.

    Args:
        path: of the file, already judged as bytes; one that cannot be read says so there.
        findings: receives a "face" with its reason, or "unread" where the voxels cannot be looked at.
    """
    try:
        image: Any = nib.load(path)
        shape = image.shape[:3]
        scale = _METRE if image.header.get_xyzt_units()[0] == "meter" else 1.0  # what is too large is a finding
        affine = np.diag([scale, scale, scale, 1.0]) @ image.affine
        if len(shape) < 3 or min(np.array(shape) * np.linalg.norm(affine[:3, :3], axis=0)) < LEAST_MM:
            return
        array = np.asanyarray(image.dataobj[(..., *[0] * (len(image.shape) - 3))])
        face = find_face(array, Geometry(shape, affine))
    except Exception:  # readers fed with any bytes fail in any way
        findings.add("unread", "voxels")
        return
    if face is not None:
        findings.add("face", f"voxels: {face.why}")


def faces_in_series(files: Sequence[tuple[int, Path]]) -> list[Finding]:
    """Look for faces in the series of a folder.

    Args:
        files: number and path of each DICOM file.

    Returns:
        A "face", or an "unread" where a series of 8 slices and more cannot be looked at, at its first file.
    """
    series: dict[tuple[str, str], list[tuple[int, Path]]] = defaultdict(list)
    frames: dict[tuple[str, str], int] = defaultdict(int)
    with quiet():
        for number, path in files:
            try:
                header = read_file(path, stop_before_pixels=True, specific_tags=_TAGS)
                modality = str(header.get("Modality", "")).strip().upper()
                if "Rows" not in header or modality not in ("MR", "CT", *_UNTOLD):
                    continue
                key = (str(header.get("SeriesInstanceUID", "")), "" if modality in _UNTOLD else modality)
                frames[key] += int(header.get("NumberOfFrames") or 1)
            except Exception:  # such a file is a finding already
                continue
            series[key].append((number, path))
        found = []
        for key, members in series.items():
            first = members[0][0]
            try:
                volume = _rough_volume([path for _, path in members])
                face = None if volume is None else find_face(*volume, modality=key[1] or None)
            except Exception:  # decoders fed with any bytes fail in any way
                if frames[key] >= _MANY:
                    found.append(Finding(kind="unread", place="series", mark="", file=first))
                continue
            if face is not None:
                found.append(Finding(kind="face", place=f"series: {face.why}", mark="", file=first))
    return found


def _rough_volume(paths: Sequence[Path]) -> tuple[NDArray[Any], Geometry] | None:
    """Slices of one direction at even steps, the nearest one wherever gaps differ; None for less than 40 mm.

    Good enough to see a face in: tilts stay, and what `read_dicom` refuses is taken.
    """
    slices = [part for path in paths for part in slices_of(path, read_file(path, stop_before_pixels=True))]
    if not slices:
        return None
    plane = slices[0].plane
    right, down = np.array(plane.row_direction), np.array(plane.column_direction)
    normal = np.cross(right, down)
    at: dict[float, Slice] = {}
    for part in slices:
        if np.allclose(part.plane.orientation, plane.orientation, atol=0.01) and part.plane.rows == plane.rows:
            at.setdefault(round(float(np.dot(part.plane.position, normal)), 1), part)
    places = np.array(sorted(at))
    sides = np.array([plane.columns * plane.pixel_spacing[1], plane.rows * plane.pixel_spacing[0], np.ptp(places)])
    if len(places) < 3 or sides.min() < LEAST_MM:
        return None
    count = round(float(np.ptp(places) / np.median(np.diff(places)))) + 1
    even = np.linspace(places[0], places[-1], count)
    chosen = [at[places[int(np.abs(places - place).argmin())]] for place in even]
    held: dict[Path, Dataset] = {}
    array = np.stack([_values(part, held) for part in chosen]).T
    start, end = (np.array(at[places[k]].plane.position) for k in (0, -1))
    step = (end - start) / (count - 1)
    spacing = (plane.pixel_spacing[1], plane.pixel_spacing[0], float(np.linalg.norm(step)))
    direction = np.stack([right, down, step / spacing[2]], axis=1)
    return array, Geometry.from_lps(array.shape, start, spacing, direction)


def _values(part: Slice, held: dict[Path, Dataset]) -> NDArray[np.float32]:
    """(rows, columns) of a slice, in units; `held` keeps the file that was read last."""
    if part.path not in held:
        held.clear()
        held[part.path] = read_file(part.path)
    (frame,) = stored_frames(held[part.path], [part.frame])
    if part.tile is not None:
        row, column = part.tile
        frame = frame[row : row + part.plane.rows, column : column + part.plane.columns]
    return np.asarray(in_units(frame, part.rescale), dtype=np.float32)
