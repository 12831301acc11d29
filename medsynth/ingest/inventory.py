"""Which files a source folder holds, by kind."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from medsynth.data.dicom_file import lacks_head, says_dicom
from medsynth.errors import MedsynthError

NIFTI_ENDINGS = (".nii", ".nii.gz")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_PLAIN_ENDINGS = (
    ".txt", ".json", ".csv", ".tsv", ".md", ".pdf", ".xml", ".html", ".zip", ".gz", ".py", ".log", ".yaml", ".bval",
    ".bvec",
)  # fmt: skip


class Inventory(NamedTuple):
    """Relative paths by kind, each list in the order of its text."""

    dicom: list[PurePosixPath]
    nifti: list[PurePosixPath]
    pictures: list[PurePosixPath]
    other: list[PurePosixPath]

    @property
    def total(self) -> int:
        """All files that are not hidden."""
        return sum(len(kind) for kind in self)

    def without(self, folder: Path, used: Collection[Path]) -> list[PurePosixPath]:
        """The files that are not among `used`, paths that begin with `folder`."""
        return [path for kind in self for path in kind if folder / path not in used]

    def __str__(self) -> str:
        names = ("DICOM", "NIfTI", "PNG or JPEG", "other")
        return ", ".join(f"{len(kind)} {name} files" for name, kind in zip(names, self, strict=True) if kind)


def take_inventory(folder: Path) -> Inventory:
    """Walk `folder`; hidden files and folders do not count, links are followed once.

    A file without a known ending is DICOM when it says so in its bytes 128 to 131, or begins as a data set does: then
    it is one that will be refused by name.

    Raises:
        MedsynthError: a folder cannot be opened.
    """
    kinds = Inventory([], [], [], [])
    for path in _files(folder):
        name = path.name.lower()
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        if name.endswith(NIFTI_ENDINGS):
            kinds.nifti.append(relative)
        elif name.endswith(PICTURE_ENDINGS):
            kinds.pictures.append(relative)
        elif name.endswith(_DICOM_ENDINGS) or (
            not name.endswith(_PLAIN_ENDINGS) and (says_dicom(path) or lacks_head(path))
        ):
            kinds.dicom.append(relative)
        else:
            kinds.other.append(relative)
    for kind in kinds:
        kind.sort(key=str)
    return kinds


def count_endings(paths: Iterable[PurePosixPath]) -> dict[str, int]:
    """How many files have each ending, the most frequent first.

    An ending off our own lists may name somebody: "other".

    >>> count_endings([PurePosixPath(name) for name in ("a.json", "b/x.NII.GZ", "scan.doe", "c.json")])
    {'.json': 2, '.nii.gz': 1, 'other': 1}
    """
    known = sorted((*NIFTI_ENDINGS, *PICTURE_ENDINGS, *_DICOM_ENDINGS, *_PLAIN_ENDINGS), key=len, reverse=True)
    names = [path.name.lower() for path in paths]
    counts = Counter(next((end for end in known if name.endswith(end)), "other") for name in names)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise MedsynthError(f"a folder below {folder} cannot be opened: {error.strerror}; allow reading it")

    for here, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(here, name) for name in names if not name.startswith("."))
        # A broken link is named here and refused later; pipes and devices are not opened.
        found.extend(path for path in paths if path.is_file() or not path.exists())
    return found
