"""Files that medsynth itself writes: what their schema says they hold is known, what anybody may write there is judged.

A file is one of these only when all of it is valid: one field too many, one hash that does not fit, and it is judged
like any other. Within a valid one hashes, seeds, made-up ids and medsynth's own settings pass. Attributes, conditions,
names of labels and channels, licences, reasons, and settings that are not medsynth's own are judged like any text.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Any

import yaml

from medsynth.errors import MedsynthError
from medsynth.identity.check_names import check_names
from medsynth.identity.check_tables import check_value, judge_line, load_json
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge
from medsynth.records import CaseRecord, SampleRecord

STAMP_FILE = "medsynth.json"
SETTINGS_FOLDER = ".hydra"
"""In which the resolved settings of a folder lie."""
_SETTINGS_FILES = ("config.yaml", "overrides.yaml")
_VERBS = ("ingest", "train", "generate", "evaluate", "audit", "export", "check")
_STAMP = {"schema", "medsynth", "verb", "sweep", "config", "inputs"}
_HASH = re.compile(r"[0-9a-f]{64}")
_CASE = re.compile(r"c[0-9a-f]{16}")
_PATIENT = re.compile(r"p[0-9a-f]{16}|synthetic-[0-9a-f]{16,64}")
_VERSION = re.compile(r"\d+\.\d+\.\d+([a-z]+\d+)?(\+[0-9a-z.]{1,16})?")
_LINE = re.compile(r"\s*(?:- )?\+{0,2}~?([A-Za-z_][\w.]*)\s*[:=]\s*(.*)")
_SEED = re.compile(r"\d{1,20}")


def check_own_lines(content: bytes, findings: Findings) -> bool:
    """Check records (cases.jsonl, samples.jsonl) or ingest's journal; False, and nothing noted, when it is neither."""
    try:
        rows = [load_json(line) for line in content.decode("utf-8").splitlines() if line.strip()]
        journal = bool(rows) and _is_journal_head(rows[0])
        parts = [*_journal(rows[1:])] if journal else [_record(row) for row in rows]
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MedsynthError):
        return False
    for check in parts:
        check(findings)
    return journal or bool(parts)


def check_stamp(content: bytes, findings: Findings) -> bool:
    """Check medsynth.json, which says what made a folder; False, and nothing noted, when it is none."""
    try:
        stamp = load_json(content.decode("utf-8"))
        fine = (
            set(stamp) == _STAMP
            and stamp["schema"] == "medsynth.out/1"
            and stamp["verb"] in _VERBS
            and isinstance(stamp["sweep"], bool)
            and _VERSION.fullmatch(stamp["medsynth"]) is not None
            and all(value is None or _HASH.fullmatch(value) for value in stamp["inputs"].values())
            and isinstance(stamp["config"], dict)
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if not fine:
        return False
    for name in stamp["inputs"]:
        _check_setting(name, None, "inputs", findings)
    for key, value in stamp["config"].items():
        _check_setting(key, value, "config", findings)
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
        elif not _is_own_value(leaf, match[2].strip()):
            findings.add_all(judge_line(match[2]), f"line {number}")
    return True


@cache
def settings() -> Mapping[str, frozenset[str]]:
    """Names of medsynth's own settings, and the texts that its own configuration gives them."""
    found: dict[str, set[str]] = {"ema": set(), "weights": {"best", "last", "untrained"}, "options": set()}
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


def _check_setting(key: str, value: Any, place: str, findings: Findings) -> None:
    """One setting: its name and its value, each unless it is medsynth's own."""
    leaf = key.rpartition(".")[2]
    own = _is_own_key(key)
    if not own:
        findings.add_all(judge(key.replace("_", " ").replace(".", " ")), f"{place}, a key")
    if isinstance(value, str) and own and _is_own_value(leaf, value):
        return
    if isinstance(value, dict):
        for name, entry in value.items():
            _check_setting(f"{key}.{name}", entry, place, findings)
        return
    if leaf == "seed" and own and isinstance(value, int) and _SEED.fullmatch(str(value)):
        return
    check_value(value, leaf, (place, leaf if own else "a setting"), findings)


def _record(row: Mapping[str, Any]) -> Callable[[Findings], None]:
    """What checks a record.

    Raises:
        MedsynthError, KeyError, TypeError, ValueError, AttributeError: the row is no valid record.
    """
    kind = SampleRecord if row["schema"].startswith("medsynth.sample/") else CaseRecord
    record: Any = kind.from_json(row)
    if not all(isinstance(row.get(name, 0), int) for name in ("seed", "index")):
        raise ValueError
    return lambda findings: _check_record(record, findings)


def _check_record(record: Any, findings: Findings) -> None:
    if not _CASE.fullmatch(record.id) and record.id != f"s{getattr(record, 'index', -1):06d}":
        findings.add_all(judge(record.id.replace("_", " ")), "id")
    if record.patient and not _PATIENT.fullmatch(record.patient):
        check_value(record.patient, "PatientID", ("patient",), findings)
    for number, (name, channel) in enumerate(record.channels.items(), 1):
        findings.add_all(judge(name.replace("_", " ")), "channels, a key")
        check_names(PurePosixPath(channel.path), findings)
        for text in (channel.units, channel.modality or ""):
            findings.add_all(judge(text), f"channel {number}")
    for field in ("attributes", "condition", "licence"):
        if hasattr(record, field):
            check_value(_plain(getattr(record, field)), field, (field,), findings)
    check_value(list(record.labels.values()), "labels", ("labels",), findings)
    check_value(list(record.geometry.shape), "shape", ("geometry",), findings)
    if isinstance(record, SampleRecord):
        check_value(list(record.licences), "licence", ("licences",), findings)
        for name, value in record.sampler.items():
            _check_setting(name, value, "sampler", findings)
        for override in record.overrides:
            key, _, value = override.partition("=")
            _check_setting(key, value, "overrides", findings)
        for parent in record.parents:
            if not _HASH.fullmatch(parent):
                findings.add_all(judge(parent), "parents")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _is_journal_head(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and re.fullmatch(r"medsynth\.ingest/\d{1,3}", str(row.get("schema"))) is not None
        and set(row) == {"schema", "key", "source", "settings"}
        and all(_HASH.fullmatch(row[name]) for name in ("key", "source", "settings"))
    )


def _journal(rows: list[Any]) -> Iterator[Callable[[Findings], None]]:
    """What checks the cases of ingest's progress.jsonl, after its first line.

    Raises:
        ValueError, and others as `_record`: a line is not valid.
    """
    for row in rows:
        record, *hashes, reason, way_out = row["outcome"]
        known = set(row) == {"case", "fingerprint", "outcome"} and _CASE.fullmatch(row["case"])
        if not known or not all(_HASH.fullmatch(one) or one == "" for one in (row["fingerprint"], *hashes)):
            raise ValueError
        if record is not None:
            yield _record(record)
        yield lambda findings, texts=[reason, way_out]: check_value(texts, "reason", ("reason",), findings)  # type: ignore[misc]
