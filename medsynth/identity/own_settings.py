"""The settings that medsynth writes beside its results: its own names and values are known, all else is judged."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Any

import yaml

from medsynth.identity.check_tables import check_value, judge_line, load_json
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge
from medsynth.records import GAN

STAMP_FILE = "medsynth.json"
SETTINGS_FOLDER = ".hydra"
"""In which the resolved settings of a folder lie."""
_SETTINGS_FILES = ("config.yaml", "overrides.yaml")
_VERBS = ("ingest", "train", "generate", "evaluate", "audit", "utility", "report", "export", "check")
_ACCEPTED = ("presumed", "pretrained", "unaudited", "uncleared")
"""Gates that are passed by name."""
_CHOICES: Mapping[str, frozenset[str]] = {  # of keys whose defaults are others, or none
    "identity": frozenset({"check", "remove", "trust"}),
    "text": frozenset({"refuse", "blank", "allow"}),
    "faces": frozenset({"refuse", "blank", "allow"}),
    "tilt": frozenset({"refuse", "resample"}),
    "layout": frozenset({"auto", "dicom", "nifti", "decathlon", "nnunet", "bids", "pictures", "csv"}),
    "format": frozenset({"dicom", "nnunet", "decathlon", "bids", "monai"}),
    "device": frozenset({"auto", "cpu", "cuda", "mps"}),
}
_STAMP = {"schema", "medsynth", "verb", "sweep", "config", "inputs"}
_HASH = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"\d+\.\d+\.\d+([a-z]+\d+)?(\+[0-9a-z.]{1,16})?")
_LINE = re.compile(r"\s*(?:- )?\+{0,2}~?([A-Za-z_][\w.]*)\s*[:=]\s*(.*)")
_SEED = re.compile(r"\d{1,20}")


def check_stamp(content: bytes, findings: Findings) -> bool:
    """Check medsynth.json, which says what made a folder; False, and nothing noted, when it is none."""
    try:
        stamp = load_json(content.decode("utf-8"))
        fine = (
            set(stamp) == _STAMP
            and stamp["schema"] == "medsynth.out/1"
            and stamp["verb"] in _VERBS
            and isinstance(stamp["sweep"], bool)
            and VERSION.fullmatch(stamp["medsynth"]) is not None
            and all(value is None or _HASH.fullmatch(value) for value in stamp["inputs"].values())
            and isinstance(stamp["config"], dict)
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if not fine:
        return False
    for name in stamp["inputs"]:
        check_setting(name, None, "inputs", findings)
    for key, value in stamp["config"].items():
        check_setting(key, value, "config", findings)
    return True


def is_settings(name: PurePosixPath) -> bool:
    """Whether a file is one of the resolved settings that lie in every folder."""
    return name.parent.name == SETTINGS_FOLDER and name.name in _SETTINGS_FILES


def check_settings(content: bytes, findings: Findings) -> bool:
    """Check config.yaml or overrides.yaml line by line; False, and nothing noted, when it is no text."""
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return False
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        leaf = match[1].rpartition(".")[2] if match else ""
        if match is None or not _is_own_key(match[1]):
            findings.add_all(judge_line(line), f"line {number}")
        elif not _is_own_value(leaf, match[2].strip().strip("'")):
            findings.add_all(judge_line(match[2]), f"line {number}")
    return True


def check_setting(key: str, value: Any, place: str, findings: Findings) -> None:
    """Check one setting: its name and its value, each unless it is medsynth's own.

    Args:
        key: with dots between its parts.
        value: plain JSON types.
        place: where it stands.
        findings: receives what is found.
    """
    leaf = key.rpartition(".")[2]
    own = _is_own_key(key)
    if not own:
        findings.add_all(judge(key.replace("_", " ").replace(".", " ")), f"{place}, a key")
    if isinstance(value, str) and own and _is_own_value(leaf, value):
        return
    if isinstance(value, dict):
        for name, entry in value.items():
            check_setting(f"{key}.{name}", entry, place, findings)
        return
    if leaf == "seed" and own and isinstance(value, int) and _SEED.fullmatch(str(value)):
        return
    check_value(value, leaf, (place, leaf if own else "a setting"), findings)


def check_override(override: str, place: str, findings: Findings) -> None:
    """Check a gate that was passed by name, `KEY=VALUE`.

    Args:
        override: as records have it.
        place: where it stands.
        findings: receives what is found.
    """
    key, _, value = override.partition("=")
    if "." in key:  # a date, perhaps, whose dots part a setting's names
        findings.add_all(judge(key), place)
    check_made(key, None if value == "null" else value, place, findings)


def check_made(name: str, value: Any, place: str, findings: Findings) -> None:
    """As `check_setting`, but for seeds: that of a sample stands elsewhere, and no other is there."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            check_made(f"{name}.{key}", entry, place, findings)
    elif name.rpartition(".")[2] == "seed":
        check_value(value, name, (place,), findings)
        findings.add_all(judge(str(value)), place)
    else:
        check_setting(name, value, place, findings)


@cache
def settings() -> Mapping[str, frozenset[str]]:
    """Names of medsynth's own settings, and the texts that its own configuration gives them."""
    found: dict[str, set[str]] = {"ema": set(), "weights": {"best", "last", "untrained"}, "options": set()}
    found["name"] = {GAN}
    found.update({split: {"keep", "leave_out"} for split in ("validation", "test")})  # of an exported data set
    found.update({key: {"i_accept"} for key in _ACCEPTED})
    found.update({key: set(values) for key, values in _CHOICES.items()})
    for group, file in _yaml_files(files("medsynth.conf"), ""):
        found.setdefault(group, set()).add(file.name.removesuffix(".yaml"))  # sampler=heun
        for key, value in _pairs(yaml.safe_load(file.read_text(encoding="utf-8"))):
            found.setdefault(key, set()).update({value} if isinstance(value, str) else ())
    return {key: frozenset(values) for key, values in found.items()}


def _yaml_files(folder: Traversable, group: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _yaml_files(entry, entry.name)
        elif entry.name.endswith(".yaml"):
            yield group, entry


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key != "defaults":
                yield str(key), value
            yield from _pairs(value)
    elif isinstance(content, list):
        for entry in content:
            yield from _pairs(entry)


def _is_own_key(key: str) -> bool:
    return all(part in settings() for part in key.split("."))


def _is_own_value(leaf: str, text: str) -> bool:
    return text in settings().get(leaf, ()) or (leaf == "seed" and _SEED.fullmatch(text) is not None)
