"""identity.json of a folder of cases: what the gate was told to do, what it found, what became of it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.files import write_json
from medsynth.identity.finding import KINDS
from medsynth.identity.picture_text import MarkerPolicy
from medsynth.ingest.convert import Outcome
from medsynth.ingest.gate import Gate, Note
from medsynth.records import IDENTITY, CaseRecord

CLEARANCE_FILE = "identity.json"
_SCHEMA = "medsynth.clearance/1"


def write_clearance(out: Path, gate: Gate, records: Sequence[CaseRecord], outcomes: Mapping[str, Outcome]) -> None:
    """Write out/identity.json.

    Args:
        out: folder of cases.
        gate: that they passed.
        records: of the cases that were taken; the hashes of those that were cleared bind the file to them.
        outcomes: of all cases, by id.
    """
    notes = notes_of(outcomes)
    counts = Counter(note.kind for found in notes.values() for note in found)
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "medsynth": __version__,
        "identity": gate.identity,
        "text": gate.text,
        "faces": gate.faces,
        "markers": MarkerPolicy().to_json(),
        "known": len(gate.known),
        "allow": len(gate.allow),
        "cases": {state: sum(record.identity == state for record in records) for state in IDENTITY},
        "refused": sum(any(note.became == "refused" for note in found) for found in notes.values()),
        "content": sorted(record.sha256 for record in records if record.identity == "cleared"),
        "counts": {kind: counts[kind] for kind in KINDS if kind in counts},
        "findings": [{"case": case, **note._asdict()} for case, found in sorted(notes.items()) for note in found],
    }
    write_json(out / CLEARANCE_FILE, content)


def identities(folder: Path, records: Sequence[CaseRecord]) -> list[str]:
    """How each record was cleared: as it says, and "unknown" where it says cleared and identity.json does not list it.

    Args:
        folder: of the cases.
        records: of its cases.jsonl, or some of them.
    """
    try:
        content = json.loads((folder / CLEARANCE_FILE).read_text(encoding="utf-8"))
        listed = set(content["content"]) if content["schema"] == _SCHEMA else set()
    except (OSError, ValueError, KeyError, TypeError):
        listed = set()
    return [
        "unknown" if record.identity == "cleared" and record.sha256 not in listed else record.identity
        for record in records
    ]


def notes_of(outcomes: Mapping[str, Outcome]) -> dict[str, list[Note]]:
    """What the gate found, by case."""
    return {case: [Note(*note) for note in outcome.notes] for case, outcome in outcomes.items() if outcome.notes}
