"""What an interrupted ingest has done already: one line a case, on the disk before the next is counted."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsynth.errors import MedsynthError
from medsynth.files import disk_errors, write_text
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.ingest.convert import VOLUMES_FOLDER, Outcome, Task
from medsynth.records import CaseRecord

JOURNAL_FILE = "progress.jsonl"
_SCHEMA = "medsynth.ingest/2"
_CASE_FOLDER = re.compile(r"c[0-9a-f]{16}\Z")


def fingerprint(task: Task, pseudonymiser: Pseudonymiser) -> str:
    """Changes when the plan of a case, or size or time of one of its files, does; tells nothing without the key."""
    stats = []
    for channel in task.plan.channels:
        for path in channel.paths:
            try:
                state = path.stat()
                stats.append(f"{state.st_size} {state.st_mtime_ns}")
            except OSError:
                stats.append("missing")
    return pseudonymiser.digest("fingerprint", repr(task.plan), *stats)


class Journal:
    """Outcomes that stand in `out`/progress.jsonl.

    Args:
        out: folder of cases.
        stamps: keyed digests of what the folder belongs to: "key", "source", and "settings", which is of
            all of it; a folder that was begun with others is refused.

    Attributes:
        resumed: the folder was begun earlier, with the same stamps.

    Raises:
        MedsynthError: `out` was begun with another source, key or settings, or holds another verb's work.
    """

    def __init__(self, out: Path, stamps: Mapping[str, str]) -> None:
        self._out = out
        self._path = out / JOURNAL_FILE
        self._done: dict[str, tuple[str, Outcome]] = {}
        lines = self._read_lines()
        head = {"schema": _SCHEMA, **stamps}
        self.resumed = bool(lines)
        then = lines[0] if lines and isinstance(lines[0], dict) else {}
        if lines and any(then.get(name) != head[name] for name in ("schema", "settings")):
            raise MedsynthError(f"{out} was begun with {_difference(head, then)}; choose another out")
        if not lines and any((out / name).exists() for name in ("cases.jsonl", "samples.jsonl", VOLUMES_FOLDER)):
            raise MedsynthError(f"{out} holds the work of another command; choose another out")
        for line in lines[1:]:
            self._done[line["case"]] = (line["fingerprint"], Outcome(*line["outcome"]))
        # Written anew: a line that a kill cut short must not run into the next one.
        kept = [head, *(self._line(case, *done) for case, done in self._done.items())]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))

    def done(self, case: str, fingerprint: str) -> Outcome | None:
        """The outcome of a case that was taken, has not changed and whose files are there.

        A refused case is tried again: what it lacked (a decoder, memory, leave to read it) may lie outside its files.
        """
        known = self._done.get(case)
        if known is None or known[0] != fingerprint:
            return None
        record = known[1].record
        if record is None or not all((self._out / part["path"]).is_file() for part in record["channels"].values()):
            return None
        return known[1]

    def add(self, case: str, fingerprint: str, outcome: Outcome) -> None:
        """Append one outcome and wait until the disk has it."""
        with disk_errors(self._path), self._path.open("a") as file:
            file.write(json.dumps(self._line(case, fingerprint, outcome)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read_lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        lines: list[dict[str, Any]] = []
        for text in self._path.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break  # cut short by a kill: what follows is done again
            lines.append(line)
        return lines

    @staticmethod
    def _line(case: str, fingerprint: str, outcome: Outcome) -> dict[str, Any]:
        return {"case": case, "fingerprint": fingerprint, "outcome": list(outcome)}


def _difference(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    if then.get("schema") != now["schema"] or not {"key", "source"} <= then.keys():
        return "another source, key or settings"
    if then["key"] != now["key"]:  # every digest is another then: nothing can be said of source and settings
        return "another key (key=, or what MEDSYNTH_KEY names)"
    return "another source" if then["source"] != now["source"] else "other settings"


def sweep(out: Path, records: Sequence[CaseRecord]) -> None:
    """Remove volumes of cases that are no longer among `records`: a withdrawn scan leaves."""
    kept: Mapping[str, set[str]] = {
        record.id: {Path(channel.path).name for channel in record.channels.values()} for record in records
    }
    volumes = out / VOLUMES_FOLDER
    for folder in sorted(volumes.iterdir()) if volumes.is_dir() else []:
        if not _CASE_FOLDER.match(folder.name) or folder.is_symlink():
            continue
        if folder.name not in kept:
            shutil.rmtree(folder)
            continue
        for file in folder.iterdir():
            if file.name not in kept[folder.name]:
                file.unlink()
