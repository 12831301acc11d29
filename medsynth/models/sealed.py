"""Checkpoint files that carry their own digest and are read without running anything in them.

A sealed file is one line "medsynth-sealed-1 <sha256 of the rest>", then what
`torch.save` wrote. A file cut short or with one bit flipped is refused; plain
`torch.load` would take the flipped bit without a word.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medsynth.errors import RunError
from medsynth.files import write_bytes

_MAGIC = b"medsynth-sealed-1 "
_HEADER = len(_MAGIC) + 64 + 1


class Sealed(NamedTuple):
    """What a sealed file holds, and its digest."""

    content: Any
    sha256: str


def write_sealed(path: Path, content: Any, *, private: bool = False) -> str:
    """Write tensors and plain containers to `path`, whole or not at all; returns the digest.

    Args:
        path: of the file.
        content: tensors and plain containers.
        private: mode 600, for its owner alone.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()
    write_bytes(path, b"".join([_MAGIC, digest.encode(), b"\n", payload]), private=private)
    return digest


def read_sealed(path: Path, device: str | torch.device = "cpu") -> Sealed:
    """Read what `write_sealed` wrote, tensors and plain containers only.

    Raises:
        RunError: missing, not sealed, cut short, altered, or holding other objects.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        raise RunError(
            f"checkpoint {path.name} is missing or cannot be read; copy the run again, or train on"
        ) from None
    if raw[: len(_MAGIC)] != _MAGIC:
        raise RunError(f"{path.name} is no medsynth checkpoint; name a run that `medsynth train` made")
    digest = raw[len(_MAGIC) : _HEADER - 1].decode("ascii", "replace")
    payload = memoryview(raw)[_HEADER:]
    if hashlib.sha256(payload).hexdigest() != digest:
        raise RunError(f"checkpoint {path.name} was cut short or altered; use an older one or train again")
    try:
        content = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError):
        raise RunError(
            f"checkpoint {path.name} holds more than weights and is not read; ask where it comes from for a clean one"
        ) from None
    return Sealed(content, digest)


def sealed_sha256(path: Path) -> str:
    """The digest that a sealed file names in its first line; nothing else of it is read.

    Raises:
        RunError: missing or not sealed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError:
        raise RunError(f"checkpoint {path.name} is missing or cannot be read; copy the run again") from None
    if head[: len(_MAGIC)] != _MAGIC:
        raise RunError(f"{path.name} is no medsynth checkpoint; name a run that `medsynth train` made")
    return head[len(_MAGIC) : _HEADER - 1].decode("ascii", "replace")


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """Hash of names, shapes, types and bytes of a module's state."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
