"""A population of phantoms on disk, as DICOM series or as NIfTI."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from medsynth.data.nifti import write_nifti
from medsynth.data.phantom import PhantomScan, make_scan, rotation
from medsynth.data.phantom_dicom import write_dicom_study
from medsynth.errors import MedsynthError
from medsynth.files import disk_errors
from medsynth.geometry import LPS_TO_RAS, Geometry

Form = Literal["dicom", "nifti"]


def write_phantom(
    out: Path,
    *,
    patients: int,
    scans: int,
    seed: int,
    form: Form,
    shape: tuple[int, int, int] = (64, 64, 48),
    spacing: tuple[float, float, float] = (6.0, 6.0, 8.0),
    tilt_degrees: float = 0.0,
    progress: Callable[[], None] | None = None,
) -> None:
    """Write `patients` times `scans` scans; `out` appears when all are there.

    dicom: `patient000/study0/CT/IM0001` and `.../MR/IM0001`: two series a study, several
    studies a patient. The label map is not written. Array axes are those of LPS, and the
    table stands elsewhere in each scan.
    nifti: `images/` (CT), `mr/` and `labels/`, each with `patient000_scan0.nii.gz`;
    array axes are those of RAS.

    Args:
        out: a folder that does not exist yet, or an empty one.
        patients: how many, 1 or more.
        scans: of each patient, 1 or more.
        seed: of the population; the same arguments give the same voxels and UIDs.
        form: "dicom" or "nifti".
        shape: voxels along each array axis.
        spacing: mm along each array axis.
        tilt_degrees: turns the grid, not the patient, about x and half as much about y:
            an oblique acquisition.
        progress: called after each scan.

    Raises:
        MedsynthError: `out` holds something, a count below 1, a seed below 0, an unknown form, a full disk.
    """
    if patients < 1 or scans < 1:
        raise MedsynthError(
            f"a phantom population of {patients} patients and {scans} scans each is empty; ask for at least 1"
        )
    if seed < 0:
        raise MedsynthError("the seed of a phantom population is 0 or more")
    if form not in ("dicom", "nifti"):
        raise MedsynthError("the form of a phantom population is dicom or nifti")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MedsynthError(f"{out} already holds something: choose another folder, or delete it first")
    direction = oblique(tilt_degrees) @ (LPS_TO_RAS[:3, :3] if form == "dicom" else np.eye(3))
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=".partial-"))
        try:
            for patient in range(patients):
                for scan in range(scans):
                    found = make_scan(patient, scan, seed=seed, shape=shape, spacing=spacing, direction=direction)
                    if form == "dicom":
                        write_dicom_study(partial / f"patient{patient:03d}", found, on_table(found), seed)
                    else:
                        _write_nifti_scan(partial, found)
                    if progress is not None:
                        progress()
            partial.chmod(0o755)
            partial.replace(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def oblique(tilt_degrees: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(3, 3) rotation by `tilt_degrees` about x, then half of it about y."""
    return rotation(np.radians(tilt_degrees), np.radians(tilt_degrees / 2))


def on_table(found: PhantomScan) -> Geometry:
    """The scan's grid where the table stood: a different origin in each scan."""
    patient, scan = int(found.attributes["patient"]), int(found.attributes["scan"])
    affine = found.geometry.affine.copy()
    affine[:3, 3] += (1.5 * (patient % 5), -140.25 + scan, -412.5 - 7.25 * scan)
    return Geometry(found.geometry.shape, affine)


def _write_nifti_scan(folder: Path, found: PhantomScan) -> None:
    name = f"patient{found.attributes['patient']:03d}_scan{found.attributes['scan']}.nii.gz"
    write_nifti(folder / "images" / name, np.rint(found.ct).astype(np.int16), found.geometry)
    write_nifti(folder / "mr" / name, np.rint(np.clip(found.mr, 0, 32767)).astype(np.int16), found.geometry)
    write_nifti(folder / "labels" / name, found.label, found.geometry)
