"""The folder that a verb writes, and the stamp that says for which command it is.

The same verb, configuration and inputs go on in it where they stopped; anything else
is refused. Neither the stamp nor the configuration beside it names a path: a run can be
handed to others.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.files import disk_errors, write_json, write_text

STAMP_FILE = "medsynth.json"
HYDRA_FOLDER = ".hydra"
_SCHEMA = "medsynth.out/1"
_PARTIAL = ".partial-"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What fixes the content of a folder.

    Args:
        verb: that writes it.
        config: resolved configuration as plain JSON types, without paths and without
            keys that change nothing in the result.
        inputs: hash of the content behind each path key; None where none was given.
        sweep: the folder holds one subfolder a job and nothing else.
    """

    verb: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    sweep: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "schema": _SCHEMA,
            "medsynth": __version__,
            "verb": self.verb,
            "sweep": self.sweep,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
        }

    @classmethod
    def read(cls, out: Path) -> "Stamp":
        """The stamp of a folder.

        Raises:
            MedsynthError: it is altered or was written by another version.
        """
        try:
            content = json.loads((out / STAMP_FILE).read_text())
            if content["schema"] != _SCHEMA:
                raise MedsynthError(f"{out} was begun by another version of medsynth; choose another out")
            return cls(verb=content["verb"], config=content["config"], inputs=content["inputs"], sweep=content["sweep"])
        except (OSError, ValueError, KeyError, TypeError):
            raise MedsynthError(f"{out}: its {STAMP_FILE} cannot be read; choose another out") from None

    def difference(self, earlier: "Stamp") -> str | None:
        """The first thing in which the folder's `earlier` stamp is another, None when they agree."""
        if (self.verb, self.sweep) != (earlier.verb, earlier.sweep):
            return f"it was begun by `medsynth {earlier.verb}{' -m' if earlier.sweep else ''}`"
        for key in dict.fromkeys([*self.inputs, *earlier.inputs]):
            if self.inputs.get(key) != earlier.inputs.get(key):
                return f"{key} has another content"
        now, then = flatten(self.config), flatten(earlier.config)
        for key in dict.fromkeys([*now, *then]):
            if key not in then:
                return f"{key} is set to {_text(now[key])} and was not set"
            if key not in now:
                return f"{key} was {_text(then[key])} and is not set"
            if now[key] != then[key]:
                return f"{key} was {_text(then[key])} and is {_text(now[key])}"
        return None


@contextmanager
def claim(out: Path, stamp: Stamp, records: Mapping[str, str] | None = None) -> Iterator[bool]:
    """Make `out` this command's folder while the work goes on in it.

    Args:
        out: is made when missing.
        stamp: of this command.
        records: texts to leave in out/.hydra by file name, when the folder is new.

    Yields:
        Whether the folder was begun earlier by the same command.

    Raises:
        MedsynthError: `out` is a file, belongs to another command, or holds other
            things. When the work fails before it left a file, the folder is taken away
            again, so that a corrected command can have it.
    """
    with disk_errors(out / STAMP_FILE):
        existed = out.is_dir()
    resumed = _check(out, stamp)
    try:
        if not resumed:
            write_json(out / STAMP_FILE, stamp.to_json())
            for name, text in (records or {}).items():
                write_text(out / HYDRA_FOLDER / name, text)
        yield resumed
    except BaseException:
        if not resumed:
            _release(out, existed)
        raise


def flatten(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{above}{key}."))
        else:
            flat[f"{above}{key}"] = value
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _check(out: Path, stamp: Stamp) -> bool:
    with disk_errors(out):
        if not out.exists():
            return False
        if not out.is_dir():
            raise MedsynthError(f"out is a file: {out}; name a folder")
        if (out / STAMP_FILE).exists():
            difference = stamp.difference(Stamp.read(out))
            if difference:
                raise MedsynthError(f"{out} belongs to another configuration: {difference}; choose another out")
            return True
        if any(not path.name.startswith(_PARTIAL) for path in out.iterdir()):
            raise MedsynthError(f"{out} holds other things and was not begun by medsynth; choose another out")
    return False


def _release(out: Path, existed: bool) -> None:
    own = {out / STAMP_FILE, *(out / HYDRA_FOLDER).rglob("*")}
    if any(not path.is_dir() and path not in own for path in out.rglob("*")):
        return
    for path in list(out.iterdir()) if out.is_dir() else []:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if not existed and out.is_dir():
        out.rmdir()
