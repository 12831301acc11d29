"""Known identifiers, searched for in bytes: encodings, upper and lower case, parts of names, forms of dates."""

import contextlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError

_SHORTEST, _SHORTEST_PART, _FREE = 2, 4, 7  # a shorter one than _FREE has to stand by itself
_SHORTEST_IN_BYTES = 3  # two letters stand by themselves in any picture, by chance
_WORD, _PART, _FEW = 4, 2**22, 200  # bytes that are compared at once, and of the content; patterns
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_BETWEEN = ("^", " ", ",", ", ", "_", "-", ".")
_DAYS = (
    "%Y%m%d",
    "%Y-%m-%d",
    "%Y.%m.%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%m.%d.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
)


class KnownIdentifiers:
    """Finds identifiers in bytes, whatever the encoding (ASCII, UTF-8, Latin-1, UTF-16) and case.

    Args:
        identifiers: names ("Last^First", "Last, First"), numbers, dates (1976-06-16), anything of 2 letters and more.
            One of two letters is searched for in text alone.

    Raises:
        MedsynthError: an identifier is too short to be looked for.
    """

    def __init__(self, identifiers: Iterable[str]) -> None:
        self._patterns: dict[bytes, str] = {}
        self._alone: dict[bytes, str] = {}
        self._in_text: dict[bytes, str] = {}
        self._heads: dict[int, NDArray[np.uint32]] = {}
        for identifier in (unicodedata.normalize("NFC", text.strip()) for text in identifiers):
            if not identifier:
                continue
            if len(identifier) < _SHORTEST:
                raise MedsynthError(f"a known identifier has fewer than {_SHORTEST} letters; take it out of the list")
            for form in _forms(identifier):
                for written in {form, unicodedata.normalize("NFD", form), _bare(form), form.translate(_SPELT_OUT)}:
                    self._note(written, identifier)

    def __len__(self) -> int:
        return len({*self._patterns.values(), *self._alone.values(), *self._in_text.values()})

    def _note(self, form: str, identifier: str) -> None:
        patterns = self._patterns if len(form) >= _FREE else self._alone
        if len(form) < _SHORTEST_IN_BYTES and form.isascii():
            patterns = self._in_text
        for case in (form.lower(), form.upper(), form.title()):
            for encoding in _ENCODINGS:
                try:
                    encoded = case.encode(encoding).lower()  # as the bytes that are searched: ASCII letters alone
                except UnicodeEncodeError:
                    continue
                patterns.setdefault(encoded, identifier)

    def find(self, content: bytes) -> list[tuple[int, str]]:
        """Offset and identifier of the first place of each that `content` holds."""
        lower = content.lower()
        found: dict[str, int] = {}
        for pattern, identifier in self._may_be_in(lower, self._patterns):
            at = lower.find(pattern)
            if at >= 0:
                found[identifier] = min(at, found.get(identifier, at))
        for pattern, identifier in self._may_be_in(lower, self._alone):
            at = _find_alone(lower, pattern)
            if at >= 0:
                found[identifier] = min(at, found.get(identifier, at))
        return [(at, identifier) for identifier, at in found.items()]

    def _may_be_in(self, lower: bytes, patterns: Mapping[bytes, str]) -> list[tuple[bytes, str]]:
        """Those whose first four bytes are somewhere in `lower`: of thousands a look at each would take too long."""
        entries = list(patterns.items())
        if len(entries) < _FEW or len(lower) < _WORD:
            return entries
        if id(patterns) not in self._heads:
            self._heads[id(patterns)] = np.array([_head(pattern) for pattern in patterns], np.uint32)
        heads = self._heads[id(patterns)]
        met = np.array([len(pattern) < _WORD for pattern in patterns])
        for start in range(0, len(lower), _PART):
            part = np.frombuffer(lower[start : start + _PART + _WORD - 1], np.uint8).astype(np.uint32)
            if len(part) >= _WORD:
                words = part[:-3] | part[1:-2] << 8 | part[2:-1] << 16 | part[3:] << 24
                met |= np.isin(heads, words)
        return [entry for entry, is_met in zip(entries, met, strict=True) if is_met]

    def find_in_text(self, text: bytes) -> list[str]:
        """Identifiers of two letters that stand by themselves in bytes that are text, and no pixels."""
        lower = text.lower()
        found = (identifier for pattern, identifier in self._in_text.items() if _find_alone(lower, pattern) >= 0)
        return list(dict.fromkeys(found))


def read_list(path: Path) -> list[str]:
    """Lines of a text file; blank ones and those that begin with # are left out.

    Raises:
        MedsynthError: it cannot be read as UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise MedsynthError(f"{path} cannot be read as UTF-8 text; give a file with one identifier a line") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _forms(identifier: str) -> set[str]:
    forms = {identifier, identifier.replace(" ", "_")}
    day = _ISO.fullmatch(identifier)
    if day:
        with contextlib.suppress(ValueError):
            forms |= {date(*map(int, day.groups())).strftime(form) for form in _DAYS}
    parts = [part for part in re.split(r"[\^=,;\s]+", identifier) if part]
    if len(parts) > 1:
        alone = {part for part in parts if len(part) >= _SHORTEST_PART and not part.isdigit()}
        between = ("",) if alone.intersection(parts[:2]) else ("", *_BETWEEN)
        forms |= alone
        forms |= {f"{one}{sign}{other}" for one, other in (parts[:2], parts[1::-1]) for sign in between}
    return forms


def _head(pattern: bytes) -> int:
    return int.from_bytes(pattern[:_WORD], "little")


def _bare(text: str) -> str:
    """Without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def _find_alone(lower: bytes, pattern: bytes) -> int:
    """Where the pattern stands with no letter or digit beside it, -1 when nowhere."""
    at = -1
    while (at := lower.find(pattern, at + 1)) >= 0:
        before, after = lower[max(0, at - 2) : at], lower[at + len(pattern) : at + len(pattern) + 2]
        if b"\0" in pattern:  # two bytes a letter
            before, after = before.replace(b"\0", b""), after.replace(b"\0", b"")
        if not before[-1:].isalnum() and not after[:1].isalnum():
            return at
    return -1
