"""What becomes of each DICOM file of a folder: read as ITK reads it, or refused by name.

`python benchmarks/shipped_files.py FOLDER` is meant for the files that libraries ship for their own tests; highdicom's
are in the folder data/test_files of its repository. Each file is read by itself. Exit status 1 where a file is read
otherwise than by ITK (padding apart, which becomes the lowest value with us), or where nothing says why it was refused.
The bad case is the same reading with its array turned upside down and its origin moved by a millimetre.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import lacks_head, says_dicom
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry


def as_itk(array: NDArray, geometry: Geometry, theirs: sitk.Image) -> bool:
    """Whether voxels and place agree; voxels that are our lowest may be padding."""
    place, values = geometry.to_lps(), sitk.GetArrayFromImage(theirs).T
    if values.size != array.size:
        return False
    same = (np.float32(values.reshape(array.shape)) == np.float32(array)) | (array == array.min())
    placed = theirs.GetDimension() < 3 or (
        np.allclose(theirs.GetOrigin(), place.origin, atol=1e-3)
        and np.allclose(theirs.GetDirection(), place.direction.ravel(), atol=1e-4)
    )
    return bool(same.all()) and placed


def outcomes(folder: Path) -> Iterator[tuple[str, bool | None]]:
    """For each file what is said of it, whether it is as ITK reads it, and the same of the bad case."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not (says_dicom(path) or lacks_head(path)):
            continue
        try:
            image = read_dicom([path])
        except MedsynthError as refusal:
            yield f"refused: {str(refusal).split(';')[0]}", None
            continue
        theirs = sitk.ReadImage(str(path))
        yield f"{image.modality}: as ITK reads it", as_itk(image.array, image.geometry, theirs)
        moved = image.geometry.affine.copy()
        moved[0, 3] += 1
        bad = as_itk(image.array[::-1], Geometry(image.geometry.shape, moved), theirs)
        yield "bad case, upside down and moved: as ITK reads it", bad


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    of, same, wrong = Counter(), Counter(), 0
    for said, is_same in outcomes(parser.parse_args().folder):
        of[said] += 1
        same[said] += bool(is_same)
        wrong += is_same is not None and is_same == said.startswith("bad case")
    table = Table("file", "number", "as ITK")
    for said, number in sorted(of.items()):
        table.add_row(said, str(number), "" if said.startswith("refused") else str(same[said]))
    Console(width=140).print(table)
    return 1 if wrong or not of else 0


if __name__ == "__main__":
    sys.exit(main())
