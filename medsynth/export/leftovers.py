"""What lies in a folder from before: pieces that a kill left are taken away, files of another export are refused."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from medsynth.errors import MedsynthError

PIECE = ".partial-"
"""Begins the name of a file that is not whole yet."""
Files = Mapping[Path, tuple[int, int]]


def files_before(folder: Path) -> Files:
    """The files of a folder before an export, of which `require_none_left` knows those that it wrote anew."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a piece of another call that is whole by now
            if path.is_file():
                found[path] = _stamp(path)
    return found


def require_none_left(folder: Path, before: Files) -> None:
    """Refuse a folder in which files of another export lie among those of this one.

    They may be of samples that the audit has flagged since, and nobody could tell. Pieces that a kill left are deleted:
    nnU-Net takes every file with its ending for a case. Those that another call is writing are not.

    Raises:
        MedsynthError: there are some.
    """
    left = [path for path, stamp in before.items() if path.is_file() and _stamp(path) == stamp]
    for path in left:
        if path.name.startswith(PIECE):
            path.unlink(missing_ok=True)
    others = sum(not path.name.startswith(PIECE) for path in left)
    if others:
        raise MedsynthError(
            f"{folder.name} in out holds {others} files that this export did not write, of an earlier one perhaps; "
            "choose another out"
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_ino, status.st_ctime_ns
