"""What a check finds: its kind, its place and a mark by which equal values can be told, never the value."""

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

KINDS: Mapping[str, str] = {
    "known": "one of the identifiers that were given",
    "name": "a person's name, by its element or its shape",
    "date": "a date",
    "time": "a time of day",
    "birth": "a date of birth or death",
    "age": "an age above 89 years",
    "phone": "a telephone number",
    "address": "a postal address",
    "email": "an e-mail address",
    "url": "an address on the web",
    "number": "a number like those of patients, studies and cards",
    "uid": "a unique identifier of somebody's own root",
    "element": "an element that tells who or where by its meaning",
    "device": "an element that tells which device, without the option that retains it",
    "words": "words that are not known",
    "private": "a private element that is not known to be safe",
    "binary": "bytes that are not understood",
    "graphics": "an overlay or curve, in which text may be drawn",
    "hidden": "content outside of what the format holds",
    "text": "text that is drawn in the picture, marks of side apart",
    "unseen": "pixels that could not be looked at",
    "face": "a head in MR or CT whose face can, or may, be seen",
    "declared": "the file itself says that it shows who it is",
    "unread": "something that could not be read",
}
"""Kinds of findings and their meaning; identity.json names them."""


class Found(NamedTuple):
    """A piece that was found: one of KINDS, and the text itself, which goes no further than a `Marker`."""

    kind: str
    piece: str


def without_words(found: Iterable[Found], known: Collection[str]) -> list[Found]:
    """What was found, less words that are known where they stand; whatever has a shape stays.

    Args:
        found: unknown words of one value are one piece, with blanks between.
        known: lower case.

    >>> without_words([Found("words", "Rho Voss"), Found("words", "rho"), Found("date", "1961")], {"rho"})
    [Found(kind='words', piece='Voss'), Found(kind='date', piece='1961')]
    """
    left = []
    for kind, piece in found:
        if kind == "words":
            piece = " ".join(word for word in piece.split() if word.casefold() not in known)
        if piece or kind != "words":
            left.append(Found(kind, piece))
    return left


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A finding in one file.

    Args:
        kind: one of KINDS.
        place: element path, header field, column, "bytes", "file name" ...; tags and positions, never text of the file.
        mark: 12 hexadecimal digits, equal for equal values within one check; empty where there is no value.
        file: number of the file in the order of its check.
    """

    kind: str
    place: str
    mark: str
    file: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind {self.kind}")


class Marker:
    """Marks values with a key of its own that is thrown away with it: a guess cannot be tested against a mark.

    Args:
        key: 32 bytes; drawn when None.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key

    def mark(self, piece: str) -> str:
        """12 hexadecimal digits of the piece, whatever its case and blanks.

        >>> Marker().mark("") == ""
        True
        """
        plain = " ".join(unicodedata.normalize("NFKC", piece).casefold().split())
        if not plain:
            return ""
        return hmac.new(self._key, plain.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:12]


class Findings:
    """Collects the findings of one file; equal ones count once.

    Args:
        marker: of the whole check.
        file: number of the file.
        allowed: pieces (see `plain`) that were said to be fine.
    """

    def __init__(self, marker: Marker, file: int = 0, allowed: frozenset[str] = frozenset()) -> None:
        self._marker, self._file, self._allowed = marker, file, allowed
        self._found: dict[Finding, None] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, kind: str, place: str, piece: str = "") -> None:
        """Note a finding, unless its piece is allowed."""
        if piece and plain(piece) in self._allowed and kind != "known":
            return
        finding = Finding(kind=kind, place=place, mark=self._marker.mark(piece), file=self._file)
        self._found[finding] = None

    def add_all(self, found: list[Found], place: str) -> None:
        """Note several findings at one place."""
        for kind, piece in found:
            self.add(kind, place, piece)


def plain(text: str) -> str:
    """Text in which case and blanks do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def grouped(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings with one kind, place and mark as one entry, with their number and the numbers of their files."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.place, finding.mark), []).append(finding.file)
    return [
        {"kind": kind, "place": place, "mark": mark, "count": len(files), "files": ranges(files)}
        for (kind, place, mark), files in groups.items()
    ]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short.

    >>> ranges([3, 1, 2, 7])
    '1-3, 7'
    """
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
