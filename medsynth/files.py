"""Files that appear under their final name only when they are whole.

Writing straight to the final name and being killed leaves a file that looks
finished; writing beside it, fsync and rename does not. Every result that medsynth
leaves on a disk goes through `write_atomic`; logs and the journal of an ingest are
appended to line by line.
"""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from medsynth.errors import MedsynthError

NAME_TOO_LONG = "a path holds a name that is longer than the disk allows; choose a shorter one"
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk under `path`, or a place where no folder can be, into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise MedsynthError(
                f"no space left on the disk that holds {path.parent}: free some room and call the same "
                "command again, it goes on where it stopped"
            ) from error
        if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
            raise MedsynthError(f"cannot write into {path.parent}: {error.strerror}; choose another folder") from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            raise MedsynthError(
                f"{path.parent} cannot be a folder: it is a file or lies below one; choose another folder"
            ) from error
        if error.errno == errno.ENOENT and not path.parent.exists():  # below /proc, for one
            raise MedsynthError(f"{path.parent} cannot be made: {error.strerror}; choose another folder") from error
        if error.errno == errno.ENAMETOOLONG:
            raise MedsynthError(NAME_TOO_LONG) from error
        raise


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any], *, private: bool = False) -> None:
    """Let `write` fill a temporary file beside `path`, fsync it, rename it to `path`.

    Args:
        path: final name; its folder is made when missing.
        write: receives the open binary file.
        private: mode 600, for its owner alone; else as the umask says.

    Raises:
        MedsynthError: the disk is full or not writable. No partial file stays behind.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays the final one: some writers choose their format by it.
        partial = path.parent / f".partial-{secrets.token_hex(8)}{''.join(path.suffixes[-2:])}"
        # Opened with its final mode: the umask of a process with threads cannot be asked for without changing it.
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path`, whole or not at all."""
    write_atomic(path, lambda file: file.write(content), private=private)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON to `path`, whole or not at all; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(content: Any) -> str:
    """SHA-256 of the canonical JSON of `content` (sorted keys, no blanks)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def inside(folder: Path, relative: str) -> Path:
    """The path of `relative` below `folder`.

    Raises:
        MedsynthError: `relative` is absolute, empty or leads out of the folder
            (symbolic links followed).
    """
    path = folder / relative
    if not relative or "\0" in relative or Path(relative).is_absolute():
        raise MedsynthError("a record names a file that is not inside its folder; make the folder anew")
    try:
        fine = path.resolve().is_relative_to(folder.resolve())
    except (RuntimeError, OSError, ValueError):  # links in a circle, a name too long, or of letters that no disk holds
        fine = False
    if not fine:
        raise MedsynthError("a record names a file that is not inside its folder; make the folder anew")
    return path


def folders_with(folder: Path, name: str, depth: int = 3) -> list[Path]:
    """`folder` itself where it holds the file `name`, else all folders below that do, `depth` deep, in order."""
    if (folder / name).is_file():
        return [folder]
    if depth == 0 or not folder.is_dir():
        return []
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [found for path in below for found in folders_with(path, name, depth - 1)]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
