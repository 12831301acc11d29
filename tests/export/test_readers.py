"""Other programs: dcm2niix makes the sample's NIfTI of a series, dcmqi its label maps of a segmentation."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.nifti import read_nifti
from medsynth.export.run import export
from medsynth.geometry import Geometry
from tests.export.checks import off_by, series
from tests.export.conftest import place

CHANNELS = {"ct": ("HU", "CT"), "mr": ("arbitrary", None), "label": ("label", None)}
LABELS = {0: "background", 1: "liver", 4: "left kidney", 7: "cyst"}
WHERE = ["axial", "sagittal", "coronal", "oblique", "very oblique"]


@pytest.fixture(scope="module")
def exported(make_samples, tmp_path_factory):
    made = {}
    for name in WHERE:
        folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        make_samples(folder / "samples", place(name), CHANNELS, labels=LABELS)
        export(folder / "samples", folder / "out", unaudited="i_accept", progress=False)
        made[name] = folder
    return made


def original(folder: Path, channel: str):
    volume = read_nifti(folder / "samples" / "volumes" / f"000000_{channel}.nii.gz")
    return volume.array, volume.geometry


def dcm2niix(source: Path, out: Path) -> tuple[np.ndarray, Geometry]:
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed (Debian package dcm2niix)")
    out.mkdir()
    done = subprocess.run([program, "-b", "n", "-z", "n", "-f", "x", "-o", str(out), str(source)], capture_output=True)
    assert done.returncode == 0, done.stdout.decode()
    (found,) = out.glob("*.nii")
    image = nib.load(found)
    return np.asarray(image.dataobj, dtype=np.float64), Geometry(image.shape, image.affine)


@pytest.mark.parametrize("channel", ["ct", "mr"])
@pytest.mark.parametrize("name", WHERE)
def test_dcm2niix_gives_the_sample_back(exported, tmp_path, name, channel):
    folder = exported[name]
    (source,) = (paths for where, paths in series(folder / "out").items() if where.endswith(channel.upper()))
    array, geometry = original(folder, channel)
    values, mm = off_by(array, geometry, *dcm2niix(source[0].parent, tmp_path / "nifti"))
    step = np.ptp(array) / 65535 if channel == "mr" else 0
    assert values <= step / 2 * 1.01 + 1e-4  # half of a step of the rescale, and a float32 header's rounding
    assert mm < 1e-3  # in the float32 of a NIfTI header


@pytest.mark.parametrize("name", WHERE)
def test_dcmqi_gives_the_segments_back(exported, tmp_path, name):
    program = shutil.which("segimage2itkimage", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("dcmqi is not installed (extra test)")
    folder = exported[name]
    (source,) = (paths[0] for where, paths in series(folder / "out").items() if where.endswith("SEG"))
    words = [program, "--inputDICOM", str(source), "--outputDirectory", str(tmp_path), "--outputType", "nii"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    label, geometry = original(folder, "label")
    values = sorted(value for value in LABELS if value)
    found = sorted(tmp_path.glob("*.nii.gz"))
    assert len(found) == len(values)
    for value, path in zip(values, found, strict=True):
        image = sitk.ReadImage(str(path))
        there = Geometry.from_lps(
            image.GetSize(), image.GetOrigin(), image.GetSpacing(), np.array(image.GetDirection())
        )
        array = sitk.GetArrayFromImage(image).T
        ours = np.argwhere(label == value)
        theirs = np.argwhere(array > 0)
        assert len(ours) == len(theirs) > 0
        mine = (geometry.affine @ np.c_[ours, np.ones(len(ours))].T).T[:, :3]
        its = (there.affine @ np.c_[theirs, np.ones(len(theirs))].T).T[:, :3]
        away = np.linalg.norm(mine[:, None] - its[None], axis=-1)
        assert away.min(1).max() < 1e-3
        assert away.min(0).max() < 1e-3
