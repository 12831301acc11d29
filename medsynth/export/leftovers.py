"""What lies in a folder from before: pieces that a kill left are taken away, files of another export are refused."""

from collections.abc import Mapping
from pathlib import Path

from medsynth.errors import MedsynthError

_PIECES = ".partial-*"
Files = Mapping[Path, tuple[int, int]]


def files_before(folder: Path) -> Files:
    """The files of a folder before an export, of which `require_none_left` knows those that it wrote anew.

    Pieces that were never whole are deleted: nnU-Net takes every file with its ending for a case.
    """
    for piece in folder.rglob(_PIECES):
        piece.unlink(missing_ok=True)
    return {path: _stamp(path) for path in folder.rglob("*") if path.is_file()}


def require_none_left(folder: Path, before: Files) -> None:
    """Refuse a folder in which files of another export lie among those of this one.

    They may be of samples that the audit has flagged since, and nobody could tell.

    Raises:
        MedsynthError: there are some.
    """
    left = sum(path.is_file() and _stamp(path) == stamp for path, stamp in before.items())
    if left:
        raise MedsynthError(
            f"{folder.name} in out holds {left} files that this export did not write, of an earlier one perhaps; "
            "choose another out"
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_ino, status.st_ctime_ns
