"""identity.json: what a check of a folder found, and whose files they are."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medsynth import __version__
from medsynth.files import sha256_json
from medsynth.identity.finding import KINDS, Finding, grouped
from medsynth.identity.picture_text import MarkerPolicy

REPORT_FILE = "identity.json"
SCHEMA = "medsynth.identity/1"


class Checked(NamedTuple):
    """What a check of one file gave: its format, its findings and the SHA-256 of its bytes."""

    format: str
    findings: list[Finding]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check of a folder gave.

    Args:
        content: of identity.json.
        summary: one line.
    """

    content: Mapping[str, Any]
    summary: str

    @property
    def exit_code(self) -> int:
        """0 where nothing was found, else 1; pixels that nobody was to look at do not count."""
        return 1 if self.content["counts"] else 0


def owners_of(folder: Path, paths: list[Path]) -> dict[int, str]:
    """Id of the case or sample that a file belongs to, where the folder's records name it."""
    owners: dict[str, str] = {}
    for name in ("cases.jsonl", "samples.jsonl"):
        try:
            for line in (folder / name).read_text().splitlines():
                record = json.loads(line)
                owners |= {channel["path"]: record["id"] for channel in record["channels"].values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    relative = [path.relative_to(folder).as_posix() for path in paths]
    return {number: owners[path] for number, path in enumerate(relative) if path in owners}


def report_of(checked: list[Checked], records: Mapping[int, str], *, known: int, text: str, unlooked: int) -> Report:
    """The report of a folder.

    Args:
        checked: files, in order.
        records: see `owners_of`.
        known: how many identifiers were searched for.
        text: "look" or "skip".
        unlooked: files with pixels that nobody looked at.
    """
    findings = [finding for one in checked for finding in one.findings]
    counts = Counter(finding.kind for finding in findings)
    affected = len({finding.file for finding in findings})
    content = {
        "schema": SCHEMA,
        "medsynth": __version__,
        "clean": False if findings else None if unlooked else True,
        "files": len(checked),
        "formats": dict(sorted(Counter(one.format for one in checked).items())),
        "content": sha256_json([one.sha256 for one in checked]),
        "known": known,
        "text": {"asked": text, "files_not_looked_at": unlooked, "marks_that_pass": MarkerPolicy().to_json()},
        "counts": {kind: counts[kind] for kind in KINDS if kind in counts},
        "findings": grouped(findings),
        "records": {str(number): record for number, record in records.items() if any(checked[number].findings)},
    }
    number = f"{len(checked)} file" + ("s" if len(checked) != 1 else "")
    without = f"; pixels of {unlooked} not looked at" if unlooked else ""
    if not findings:
        return Report(content=content, summary=f"{number}: nothing found that names anyone{without}")
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
    return Report(
        content=content, summary=f"{number}: {len(findings)} findings in {affected} of them: {kinds}{without}"
    )
