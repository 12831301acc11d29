"""Series of DICOM files to measure reading with: real slices, places that are valid, one compression after another."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from medsynth.data.dicom_file import quiet

FORMS = {
    "raw": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
GAP = 2.5
"""Between the slices of a series, in mm."""


def real_slices(folder: Path) -> list[Dataset]:
    """The slices of a folder with their real headers, by their place."""
    with quiet():
        found = [pydicom.dcmread(path) for path in sorted(folder.iterdir()) if path.suffix == ".dcm"]
        return sorted(found, key=lambda dataset: float(dataset.ImagePositionPatient[2]))


def write_series(slices: list[Dataset], folder: Path, syntax: UID, count: int) -> list[Path]:
    """Write `count` files: the slices over and over, straight, GAP apart, numbered by place.

    The pixels and every other element stay as the scanner wrote them.
    """
    folder.mkdir(parents=True)
    paths = []
    packed: dict[int, bytes] = {}
    with quiet():
        for number in range(count):
            index = number % len(slices)
            dataset = pydicom.dcmread(slices[index].filename)
            _place(dataset, number)
            if syntax.is_compressed:
                if index in packed:
                    _take(dataset, packed[index], syntax)
                else:
                    compress(dataset, syntax, generate_instance_uid=False)
                    packed[index] = dataset.PixelData
            paths.append(folder / f"{number:04d}.dcm")
            dataset.save_as(paths[-1])
    return paths


def _place(dataset: Dataset, number: int) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = ["-125", "-125", f"{GAP * number:.1f}"]
    dataset.InstanceNumber = number + 1
    dataset.SliceThickness = GAP
    dataset.GantryDetectorTilt = 0
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()


def _take(dataset: Dataset, packed: bytes, syntax: UID) -> None:
    dataset.PixelData = packed
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax


def swap_pixels(paths: list[Path]) -> None:
    """The named bad case: the pixels of two files change places, the headers stay."""
    with quiet():
        one, other = (pydicom.dcmread(path) for path in (paths[1], paths[len(paths) // 2]))
        assert not np.array_equal(one.pixel_array, other.pixel_array)
        one.PixelData, other.PixelData = other.PixelData, one.PixelData
        one.save_as(paths[1])
        other.save_as(paths[len(paths) // 2])
