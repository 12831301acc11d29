"""`--help`, made from the comments of the configuration files: one place says what a key means."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import yaml

from medsynth import __version__
from medsynth.cli.verbs import Verb

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?: +(?P<value>.*))?\Z")
_GIVEN = "???"

FLAGS = """\
  --help              this text
  --cfg job           print the resolved configuration and do nothing
  -m, --multirun      one job for each combination of key=a,b,c; each has a subfolder of out
  --config-dir DIR    your own configuration files; DIR/experiment/NAME.yaml is experiment=NAME"""

PATHS = """\
Paths are taken letter by letter: blanks, brackets, commas, '=' and '$' in a folder's name need no
quotes beyond the shell's, and never sweep. key=null gives none; a folder named null is ./null.
An out that exists goes on where it stopped when the command and its inputs are the same.
Exit status: 0 done, 1 refused or failed with one line, 2 wrong usage."""


class Entry(NamedTuple):
    """A key of a configuration file: dotted name, text of its default, meaning."""

    key: str
    default: str
    meaning: str


def overview(verbs: Mapping[str, Verb]) -> str:
    """Text of `medsynth --help`."""
    lines = [f"  {verb.name:<10} {verb.summary}" for verb in verbs.values()]
    return "\n".join(
        [
            f"medsynth {__version__}: from a folder of scans to a folder of synthetic volumes",
            "",
            "medsynth VERB key=value ...",
            *lines,
            "",
            "medsynth VERB --help says what the verb reads and writes, and its keys.",
            "medsynth --version, medsynth --help",
        ]
    )


def verb_help(verb: Verb, config_dir: str | None = None) -> str:
    """Text of `medsynth VERB --help`; options of the user's own folder are named too."""
    text = read_config(verb.name, config_dir)
    parts = [f"medsynth {verb.name} key=value ...", "", heading(text), "", "Keys:", *_table(entries(text))]
    for group, chosen in groups(text).items():
        parts += ["", f"{group}= one of:", *_options(group, chosen, config_dir)]
        if chosen is not None:
            parts += _table(entries(read_config(f"{group}/{chosen}", config_dir), above=f"{group}."))
    return "\n".join([*parts, "", "Flags:", FLAGS, "", PATHS])


def known_keys(verb: Verb, config_dir: str | None = None) -> list[str]:
    """Every key of a verb and of the default options of its groups, dotted."""
    text = read_config(verb.name, config_dir)
    found = [entry.key for entry in entries(text)]
    for group, chosen in groups(text).items():
        found.append(group)
        if chosen is not None:
            found += [entry.key for entry in entries(read_config(f"{group}/{chosen}", config_dir), above=f"{group}.")]
    return found


def heading(text: str) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line[1:].removeprefix(" "))
    return "\n".join(lines).strip()


def entries(text: str, above: str = "") -> list[Entry]:
    """Keys of a configuration file; the comment right above a key is its meaning."""
    found: list[Entry] = []
    outer: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in _body(text):
        match = _KEY.match(line)
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip(" #").strip())
            continue
        if match:
            indent = len(match["indent"])
            outer = [(depth, name) for depth, name in outer if depth < indent]
            name = ".".join([*(name for _, name in outer), match["key"]])
            if match["value"]:
                found.append(Entry(above + name, match["value"], " ".join(comment)))
            outer.append((indent, match["key"]))
        comment = []
    return found


def groups(text: str) -> dict[str, str | None]:
    """Config groups in the file's defaults list, with the option that is chosen."""
    listed: list[Any] = (yaml.safe_load(text) or {}).get("defaults", [])
    pairs = (next(iter(item.items())) for item in listed if isinstance(item, dict))
    return {name.removeprefix("optional "): option for name, option in pairs if not name.startswith("override ")}


def read_config(name: str, config_dir: str | None = None) -> str:
    """Text of NAME.yaml, from the user's folder or from medsynth.conf; empty when neither has it."""
    for root in _roots(config_dir):
        file = root.joinpath(*f"{name}.yaml".split("/"))
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""


def _body(text: str) -> Iterator[str]:
    """Lines from the first key on, without the defaults list."""
    skipping = False
    for line in text.removeprefix("# @package _global_\n").splitlines():
        if line and not line[0].isspace() and line[0] not in "-#":
            skipping = line.startswith(("defaults:", "hydra:"))
        if not skipping:
            yield line


def _options(group: str, chosen: str | None, config_dir: str | None) -> list[str]:
    names: dict[str, str] = {}
    for root in _roots(config_dir):
        folder = root.joinpath(group)
        for file in sorted(folder.iterdir(), key=lambda f: f.name) if folder.is_dir() else []:
            if file.name.endswith(".yaml"):
                first = (heading(file.read_text(encoding="utf-8")) or "").partition("\n")[0]
                names.setdefault(file.name.removesuffix(".yaml"), first)
    return [f"  {name + ('*' if name == chosen else ''):<20} {meaning}".rstrip() for name, meaning in names.items()]


def _table(found: list[Entry]) -> list[str]:
    lines = []
    for entry in found:
        default = "has to be given" if entry.default == _GIVEN else f"default {entry.default}"
        lines.append(f"  {entry.key} ({default})")
        lines.append(fill(entry.meaning, 100, initial_indent="      ", subsequent_indent="      "))
    return [line for line in lines if line]


def _roots(config_dir: str | None) -> list[Traversable]:
    own: list[Traversable] = [Path(config_dir)] if config_dir is not None else []
    return [*own, files("medsynth.conf")]
