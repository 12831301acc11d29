"""Read a network that `torch.export.save` wrote, without running anything that its writer chose.

torch.export.load alone would not do: it falls back to unpickling whatever the file holds, evaluates the text of
symbolic sizes as Python, runs its guards and loads compiled libraries. So the archive is read here first, all but
plain tensors, aten operators and sizes is refused, and torch is given a copy made of what was read. TorchScript is
not read at all: its programs can write files (aten::save, aten::from_file), at loading already.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import nn

from medsynth.errors import MedsynthError

_MODEL = "models/model.json"
_SAMPLE = "data/sample_inputs/model.pt"
_PLAIN = re.compile(
    r"models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id)|\.format_version"
)
_OPERATOR = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|getitem|eq|ne|lt|le|gt|ge)")
_WRITES = re.compile(r"torch\.ops\.aten\.(save|from_file)\b")
_SIZE = re.compile(
    r"(Symbol\('[su]\d+'(, (positive|integer|nonnegative)=True)*\)"
    r"|Integer|Mul|Add|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|[su]\d+|\d+|[-+*/(), ])+"
)
_TREES = {"builtins.tuple", "builtins.list", "builtins.dict", None}


class Exported(NamedTuple):
    """The network, and the SHA-256 of the file."""

    network: nn.Module
    sha256: str


def load_exported(path: Path) -> Exported:
    """The network of a .pt2 file, frozen.

    Args:
        path: of what `torch.export.save(torch.export.export(network.eval(), (example,), dynamic_shapes=...), path)`
            wrote, weights and operators of aten alone.

    Raises:
        MedsynthError: missing, damaged, of another version of torch, or holding more than tensors and aten operators.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        raise MedsynthError(f"the network {path.name} is missing or cannot be read; name a .pt2 file") from None
    parts = _parts(raw, path.name)
    try:
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = torch.export.load(_archive(parts)).module()
    except Exception as error:
        raise MedsynthError(
            f"the network {path.name} is not read by torch {torch.__version__} ({type(error).__name__}); export it "
            "anew with this version"
        ) from error
    return Exported(network.requires_grad_(False), hashlib.sha256(raw).hexdigest())


def _parts(raw: bytes, name: str) -> dict[str, bytes]:
    """The files of the archive by path below its folder, each of a kind that is known and looked through."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = archive.namelist()
            parts = {str(PurePosixPath(*PurePosixPath(n).parts[1:])): archive.read(n) for n in names}
        if len(parts) != len(names):
            raise ValueError("two files of one name")
        odd = sorted(part for part in parts if not _PLAIN.fullmatch(part))
        if any(part.startswith("code/") for part in odd):
            raise _refused(name, "it is TorchScript, whose programs may write files")
        if odd:
            raise _refused(name, f"it holds {len(odd)} files that are neither weights nor graph")
        for part, content in parts.items():
            if part.endswith(".json"):
                _look_through(json.loads(content), name)
        if {_MODEL, _SAMPLE} - set(parts):
            raise ValueError("no graph")
    except MedsynthError:
        raise
    except Exception as error:
        raise MedsynthError(
            f"the network {name} is no whole .pt2 file ({type(error).__name__}); write it with torch.export.save"
        ) from error
    try:  # torch would fall back to unpickling all that is in it
        torch.load(io.BytesIO(parts[_SAMPLE]), weights_only=True)
    except Exception as error:
        raise _refused(name, "its example inputs hold more than tensors") from error
    return parts


def _look_through(content: Any, name: str) -> None:
    for key, value in _pairs(content):
        fits = True
        if key == "use_pickle":
            fits = value is False
        elif key in ("guards_code", "treespec_namedtuple_fields"):
            fits = not value
        elif key == "expr_str":
            fits = isinstance(value, str) and _SIZE.fullmatch(value) is not None
        elif key == "target" and isinstance(value, str):
            fits = _OPERATOR.fullmatch(value) is not None and _WRITES.match(value) is None
        elif key == "path_name":
            fits = isinstance(value, str) and re.fullmatch(r"(weight|tensor)_\d+", value) is not None
        elif key in ("in_spec", "out_spec"):
            fits = all(kind in _TREES for k, kind in _pairs(json.loads(value)) if k == "type")
        if not fits:
            raise _refused(name, f"{key} holds more than tensors, aten operators and sizes")


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(content, list):
        for value in content:
            yield from _pairs(value)


def _archive(parts: dict[str, bytes]) -> io.BytesIO:
    """A fresh archive of the parts, so that torch reads the bytes that were looked through."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for part, content in parts.items():
            archive.writestr(f"network/{part}", content)
    buffer.seek(0)
    return buffer


def _refused(name: str, reason: str) -> MedsynthError:
    return MedsynthError(
        f"the network {name} is not read: {reason}; export it with torch.export.save from plain layers, or give its "
        "state_dict to a module of your own"
    )
