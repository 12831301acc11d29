"""`--help`, made from the comments of the configuration files: one place says what a key means."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import dropwhile
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import yaml

from medsynth import __version__
from medsynth.cli.verbs import Verb

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?: +(?P<value>.*))?\Z")
_PACKAGE = re.compile(r"\A# @package (\S+)\n")
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


class Choice(NamedTuple):
    """Of a config group: the options that are chosen where nothing is said, and whether there may be several."""

    chosen: tuple[str, ...]
    several: bool


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
    for group, (chosen, several) in groups(text).items():
        head = f"{group}= a list, '[a,b]', of:" if several else f"{group}= one of:"
        parts += ["", head, *_options(group, chosen, config_dir)]
        parts += [line for option in chosen for line in _table(option_entries(group, option, config_dir))]
    return "\n".join([*parts, "", "Flags:", FLAGS, "", PATHS])


def known_keys(verb: Verb, config_dir: str | None = None) -> list[str]:
    """Every key of a verb and of the default options of its groups, dotted."""
    text = read_config(verb.name, config_dir)
    found = [entry.key for entry in entries(text)]
    for group, (chosen, _) in groups(text).items():
        found.append(group)
        found += [entry.key for option in chosen for entry in option_entries(group, option, config_dir)]
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
    """Keys of a configuration file with their meaning.

    That is the comment right above a key; without one, the comment that the key just
    above it has, or the one of the key that it lies in.
    """
    found: list[Entry] = []
    outer: list[tuple[int, str, str]] = []
    comment: list[str] = []
    apart = True
    inside: int | None = None  # indent of the list whose items are being passed
    for line in _body(text):
        match = _KEY.match(line)
        depth = len(line) - len(line.lstrip())
        item = line.lstrip().startswith(("- ", "#"))
        if inside is not None and line.strip() and (depth > inside or (item and depth == inside)):
            continue
        inside = None
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip(" #").strip())
            continue
        if match:
            indent = len(match["indent"])
            beside = "" if apart else next((meaning for depth, _, meaning in outer if depth == indent), "")
            outer = [level for level in outer if level[0] < indent]
            meaning = " ".join(comment) or beside or (outer[-1][2] if outer else "")
            outer.append((indent, match["key"], meaning))
            if match["value"]:
                found.append(Entry(above + _dotted(outer), match["value"], meaning))
        elif line.lstrip().startswith("- ") and outer:
            inside = depth
            found.append(Entry(above + _dotted(outer), _listed(text, [name for _, name, _ in outer]), outer[-1][2]))
        apart = match is None
        comment = []
    return found


def _dotted(outer: list[tuple[int, str, str]]) -> str:
    return ".".join(name for _, name, _ in outer)


def _listed(text: str, names: list[str]) -> str:
    content = yaml.safe_load(text)
    for name in names:
        content = content[name]
    return str(yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=10**6)).strip()


def option_entries(group: str, chosen: str, config_dir: str | None = None) -> list[Entry]:
    """Keys of an option and of the options that it is built on; the last default counts."""
    text = read_config(f"{group}/{chosen}", config_dir)
    package = _PACKAGE.match(text)
    place = package[1] if package else group.replace("/", ".")
    found: dict[str, Entry] = {}
    for base in (yaml.safe_load(text) or {}).get("defaults", []):
        if isinstance(base, str) and base != "_self_":
            found |= {entry.key: entry for entry in option_entries(group, base, config_dir)}
    for entry in entries(text, above="" if place == "_global_" else f"{place}."):
        earlier = found.get(entry.key) or found.get(entry.key.rpartition(".")[0])
        found[entry.key] = entry._replace(meaning=entry.meaning or (earlier.meaning if earlier else ""))
    filled = {key.rpartition(".")[0] for key in found}  # images: ??? of a base, filled by the option
    return [entry for key, entry in found.items() if key not in filled and not key.rpartition(".")[2].startswith("_")]


def groups(text: str) -> dict[str, Choice]:
    """Config groups in the file's defaults list, with the options that are chosen."""
    listed: list[Any] = (yaml.safe_load(text) or {}).get("defaults", [])
    pairs = (next(iter(item.items())) for item in listed if isinstance(item, dict))
    found = {}
    for name, option in pairs:
        if not name.startswith("override "):
            options = option if isinstance(option, list) else [] if option is None else [option]
            found[name.removeprefix("optional ")] = Choice(tuple(options), isinstance(option, list))
    return found


def read_config(name: str, config_dir: str | None = None) -> str:
    """Text of NAME.yaml, from the user's folder or from medsynth.conf; empty when neither has it."""
    for root in _roots(config_dir):
        file = root.joinpath(*f"{name}.yaml".split("/"))
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""


def _body(text: str) -> Iterator[str]:
    """Lines from the first key on, without the comment that begins the file and without defaults."""
    rest = dropwhile(lambda line: line.startswith("#"), text.splitlines())
    skipping = False
    for line in rest:
        if line and not line[0].isspace() and line[0] != "-":
            skipping = line.startswith(("defaults:", "hydra:"))
        if not skipping:
            yield line


def _options(group: str, chosen: tuple[str, ...], config_dir: str | None) -> list[str]:
    names: dict[str, str] = {}
    for root in _roots(config_dir):
        folder = root.joinpath(group)
        for file in sorted(folder.iterdir(), key=lambda f: f.name) if folder.is_dir() else []:
            if file.name.endswith(".yaml"):
                first = (heading(file.read_text(encoding="utf-8")) or "").partition("\n")[0]
                names.setdefault(file.name.removesuffix(".yaml"), first)
    return [f"  {name + ('*' if name in chosen else ''):<20} {meaning}".rstrip() for name, meaning in names.items()]


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
