"""The words behind a verb, made fit for Hydra: flags apart, paths quoted.

Hydra reads `key=value` with a grammar in which blanks, brackets, commas, `=`, `#`
and `${` mean something. In the path of a folder they mean themselves.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsynth.errors import UsageError

_SWITCHES = {"--help": "help", "-h": "help", "--multirun": "multirun", "-m": "multirun"}
_WITH_VALUE = {
    "--cfg": "cfg",
    "-c": "cfg",
    "--package": "package",
    "-p": "package",
    "--config-dir": "config_dir",
    "-cd": "config_dir",
}
_OVERRIDE = re.compile(r"(?P<sign>\+{0,2})(?P<key>[^=~+][^=]*)=(?P<value>.*)\Z", re.DOTALL)
_DELETION = re.compile(r"~(?P<key>[^=]+)(=.*)?\Z", re.DOTALL)
_OPEN_TO_USERS = re.compile(r"hydra(/|\.)(sweeper|launcher)\b|hydra\.searchpath\Z")


@dataclass(frozen=True)
class Arguments:
    """What was asked for behind the verb.

    Args:
        overrides: `key=value` as Hydra reads them, path values quoted.
        help, multirun: switches.
        cfg: "job", "hydra" or "all": print the configuration instead of running.
        package: the part of the configuration to print.
        config_dir: a folder with the user's own configuration files.
    """

    overrides: tuple[str, ...]
    help: bool = False
    multirun: bool = False
    cfg: str | None = None
    package: str | None = None
    config_dir: str | None = None

    def for_hydra(self, fixed: Sequence[str]) -> list[str]:
        """Words for Hydra's own parser; `fixed` overrides come last and so win."""
        flags = ["--multirun"] if self.multirun else []
        if self.cfg is not None:
            flags += ["--cfg", self.cfg] + (["--resolve"] if self.cfg == "job" else [])
        if self.package is not None:
            flags += [f"--package={self.package}"]
        if self.config_dir is not None:
            flags += [f"--config-dir={self.config_dir}"]
        return [*flags, *self.overrides, *fixed]


def parse(words: Sequence[str], paths: Collection[str], texts: Collection[str] = ()) -> Arguments:
    """Sort the words behind a verb.

    Args:
        words: as the shell gave them.
        paths: keys whose values are paths. They are taken letter by letter, so they
            never sweep; only `null` (nothing) and a leading `~/` (home) mean something.
        texts: keys whose values are taken letter by letter too, `null` excepted.

    Raises:
        UsageError: an unknown flag, a word that is no key=value, a key given twice, a
            Hydra setting that medsynth keeps to itself.
    """
    found: dict[str, str | bool] = {}
    overrides: list[str] = []
    keys: set[str] = set()
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            _flag(word, rest, found)
            continue
        override = _override(word, paths, texts)
        key = _key(word)
        if key in keys:
            raise UsageError(f"{key} is given twice")
        keys.add(key)
        overrides.append(override)
    if found.get("cfg", "job") not in ("job", "hydra", "all"):
        raise UsageError("--cfg prints one of job, hydra, all")
    if found.get("multirun") and "cfg" in found:
        raise UsageError("--cfg shows one job, -m runs many: choose one of them")
    return Arguments(tuple(overrides), **found)  # type: ignore[arg-type]


def quote(path: str) -> str:
    """A Hydra value that means exactly the text `path`, for its grammar and for OmegaConf."""
    path = re.sub(r"(\\*)\$\{", r"\1\1\\${", path)  # OmegaConf: no interpolation
    # Hydra: the quote itself, and backslashes before a quote, are escaped.
    return "'" + re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), path) + "'"


def without_paths(override: str, paths: Collection[str]) -> str:
    """The override with a path's value replaced by <path>, fit to be shown to others."""
    match = _OVERRIDE.match(override)
    if match is None or match["key"] not in paths or match["value"] == "null":
        return override
    return f"{match['sign']}{match['key']}=<path>"


def _flag(word: str, rest: Iterable[str], found: dict[str, str | bool]) -> None:
    name, equals, value = word.partition("=")
    if name in _SWITCHES and not equals:
        found[_SWITCHES[name]] = True
    elif name in _WITH_VALUE:
        given = value if equals else next(iter(rest), None)
        if not given:
            raise UsageError(f"{name} needs a value")
        found[_WITH_VALUE[name]] = given
    else:
        raise UsageError(f"unknown flag {name}{did_you_mean(name, [*_SWITCHES, *_WITH_VALUE])}")


def _key(word: str) -> str:
    match = _OVERRIDE.match(word) or _DELETION.match(word)
    if match is None:
        raise UsageError(f"'{word}' is not key=value")
    return match["key"]


def _override(word: str, paths: Collection[str], texts: Collection[str]) -> str:
    key = _key(word)
    if re.match(r"hydra\b", key) and not _OPEN_TO_USERS.match(key):
        raise UsageError(f"{key}: medsynth sets this itself; Hydra's sweeper, launcher and searchpath are open")
    match = _OVERRIDE.match(word)
    if match is None or match["value"] == "null" or not (key in paths or key in texts):
        return word
    value = match["value"]
    if not value:
        raise UsageError(f"{key} is empty; leave it out or give {key}=null for none")
    if key in paths and (value == "~" or value.startswith("~/")):
        value = str(Path(value).expanduser())
    return f"{match['sign']}{key}={quote(value)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where something known is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
