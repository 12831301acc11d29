"""The identity gate: what names somebody is refused or taken away before a case is written.

PS3.15 Annex E tells what to remove from DICOM objects. A case keeps no object: voxels, geometry, attributes and names
of labels are all that passes, so these are what the gate looks at, and with identity=check the files they came from.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from medsynth.errors import MedsynthError, UsageError
from medsynth.identity.check import Checker
from medsynth.identity.check_tables import check_json
from medsynth.identity.finding import Finding, Findings, Marker, plain
from medsynth.identity.known_identifiers import KnownIdentifiers
from medsynth.ingest.plan import PlannedCase
from medsynth.records import Attribute

MODES = ("remove", "check", "trust")
Policy = Literal["refuse", "blank", "allow"]
_OLDEST = 90
_LONG_NUMBER = 10**6


class Note(NamedTuple):
    """Something that the gate found in a case.

    Args:
        kind: one of `medsynth.identity.finding.KINDS`.
        place: see `medsynth.identity.finding.Finding`.
        mark: equal for equal values in all cases of one key; tells nothing without it.
        became: "refused", "removed", "blanked" or "allowed".
    """

    kind: str
    place: str
    mark: str
    became: str


class GateError(MedsynthError):
    """A case that the gate refuses, with what it found."""

    def __init__(self, message: str, notes: Iterable[Note]) -> None:
        super().__init__(message)
        self.notes = tuple(notes)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What is done to keep identities out of the cases.

    Args:
        identity: "check": the source must name nobody, in files, pictures and names. "remove": what the source's files
            say of the patient stays behind; what passes is looked at. "trust": nothing is looked at.
        text: burned into pictures: "refuse" the case, "blank" it, or "allow": do not look.
        faces: in heads: "refuse" the case, "blank" them, or "allow" them.
        known: identifiers that must not occur.
        allow: texts that are fine.
        marks: secret behind the marks.

    Raises:
        UsageError: a value that is none of these, or that identity=trust would pass over.
        MedsynthError: a known identifier is too short.
    """

    identity: str
    text: Policy = "refuse"
    faces: Policy = "refuse"
    known: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    marks: bytes = field(default=bytes(32), repr=False)

    def __post_init__(self) -> None:
        if self.identity not in MODES:
            raise UsageError(
                "say what keeps identities out: identity=check refuses scans that name somebody, identity=remove takes "
                "voxels and geometry alone, identity=trust is your word that they name nobody, and is recorded"
            )
        for name in ("text", "faces"):
            if getattr(self, name) not in get_args(Policy):
                raise UsageError(f"{name} is one of {', '.join(get_args(Policy))}")
        if not self.looks and (self.known or "blank" in (self.text, self.faces)):
            raise UsageError(
                "identity=trust looks at nothing; known=, text=blank and faces=blank need identity=check or remove"
            )
        KnownIdentifiers(self.known)

    @property
    def looks(self) -> bool:
        """Whether anything is looked at."""
        return self.identity != "trust"

    def clearance(self, notes: Iterable[Note]) -> str:
        """The `identity` of a case's record."""
        allowed = self.text == "allow" or any(note.became == "allowed" for note in notes)
        return "trusted" if allowed or not self.looks else "cleared"

    def require_clean_licence(self, licence: str | None) -> None:
        """Refuse to write into every case a licence that may name somebody.

        Raises:
            MedsynthError: so.
        """
        if licence and self.looks and (found := self._judge("licence", licence)):
            counts = _counted(dict.fromkeys(found))
            raise MedsynthError(f"licence may name somebody: {counts}; write another, or name it in allow=FILE")

    def require_clean_files(self, plan: PlannedCase, source: Path) -> None:
        """With identity=check, refuse a case whose files or their names may name somebody.

        Args:
            plan: the case.
            source: folder below which paths are judged.

        Raises:
            GateError: so.
        """
        if self.identity != "check":
            return
        notes: dict[Note, None] = {}
        for channel in plan.channels:
            for path in channel.paths:
                notes |= dict.fromkeys(self._notes(_found_in(self, path, source, _state_of(path))))
        if notes:
            raise GateError(
                f"its files may name somebody: {_counted(notes)}; identity.json says where, identity=remove takes "
                "voxels and geometry alone, allow=FILE names texts that are fine",
                notes,
            )

    def passed(self, plan: PlannedCase) -> tuple[PlannedCase, list[Note]]:
        """The case with the attributes and label names that name nobody, and what was found.

        Raises:
            GateError: identity=check, and one of them may name somebody; or the name of a channel does.
        """
        if not self.looks:
            return plan, []
        notes = [note for channel in plan.channels for note in self._judge("channel", channel.name)]
        kept: dict[str, Attribute] = {}
        removed: list[Note] = []
        for name, value in plan.attributes.items():
            found = self._judge(name, value)
            if found and all(note.kind == "age" for note in found):  # PS3.15 E.3.6: ages above 89 become one
                kept[name] = type(value)(_OLDEST) if isinstance(value, int | float) else str(_OLDEST)
            elif not found:
                kept[name] = value
            removed += found
        labels = dict(plan.labels) if plan.labels else None
        for number, label in (labels or {}).items():
            if found := self._judge("label", label):
                labels = {**(labels or {}), number: f"label {number}"}
                removed += found
        if notes or (removed and self.identity == "check"):
            all_notes = [*notes, *removed]
            way_out = "rename the channel" if notes else "leave the column out, take identity=remove, which drops them"
            raise GateError(
                f"its attributes, labels or channels may name somebody: {_counted(all_notes)}; {way_out}, or name fine "
                "texts with allow=FILE",
                all_notes,
            )
        return replace(plan, attributes=kept, labels=labels), [note._replace(became="removed") for note in removed]

    def require_clean(self, folder: Path, paths: Iterable[Path]) -> None:
        """Refuse a case whose written files may name somebody: a second look at what really leaves.

        Args:
            folder: the output, below which names of files are judged.
            paths: of the files.

        Raises:
            GateError: so.
        """
        if not self.looks:
            return
        notes = [
            note for path in paths for note in self._notes(_checker(self).file(path, _below(path, folder)).findings)
        ]
        if notes:
            raise GateError(f"what would be written may name somebody: {_counted(notes)}; exclude the case", notes)

    def mark(self, piece: str) -> str:
        """See `Note`."""
        return Marker(self.marks).mark(piece)

    def _judge(self, name: str, value: Attribute) -> list[Note]:
        findings = Findings(Marker(self.marks), 0, frozenset(plain(text) for text in self.allow))
        check_json(json.dumps({name: value}).encode(), findings)
        if isinstance(value, float) and abs(value) >= _LONG_NUMBER:  # tables write whole numbers so, 1234567.0
            findings.add("number", "value", f"{value:.17g}")
        found = _known(self).find(f"{name} {value}".encode())
        return [*self._notes(findings), *(Note("known", "value", self.mark(one), "refused") for _, one in found)]

    @staticmethod
    def _notes(findings: Iterable[Finding]) -> list[Note]:
        return [Note(finding.kind, finding.place, finding.mark, "refused") for finding in findings]


@cache
def _checker(gate: Gate) -> Checker:
    return Checker(_known(gate), frozenset(gate.allow), Marker(gate.marks), faces=False)  # `looks` sees to pixels


@lru_cache(maxsize=4)
def _found_in(gate: Gate, path: Path, source: Path, _state: tuple[int, ...]) -> Sequence[Finding]:
    """Findings of a file; those of the last few stay, since each volume of a multi-frame file is a case."""
    return tuple(_checker(gate).file(path, _below(path, source)).findings)


def _state_of(path: Path) -> tuple[int, ...]:
    """Changes when the file does; one that is not there is for the check to say."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_size, state.st_mtime_ns, state.st_ino


@cache
def _known(gate: Gate) -> KnownIdentifiers:
    return KnownIdentifiers(gate.known)


def _below(path: Path, folder: Path) -> PurePosixPath:
    try:
        return PurePosixPath(path.relative_to(folder).as_posix())
    except ValueError:  # a CSV names files anywhere
        return PurePosixPath(path.name)


def _counted(notes: Iterable[Note] | Mapping[Note, None]) -> str:
    counts = Counter(note.kind for note in notes)
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
