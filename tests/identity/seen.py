"""Which planted tokens the checker sees: in the text of a finding, or in the bytes of the element that one names."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from medsynth.data.dicom_file import quiet
from medsynth.identity.check import Checker
from medsynth.identity.finding import Finding, Findings, Marker
from medsynth.identity.header_walk import Walk, said_of
from tests.identity.keep_list import KEEP_LIST
from tests.identity.planting import found_in


class Recorder(Marker):
    """Remembers what it marks."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def mark(self, piece: str) -> str:
        self.pieces.append(piece)
        return super().mark(piece)


def unseen(path: Path, tokens: Iterable[bytes]) -> list[bytes]:
    """The tokens of a DICOM file that no finding is about."""
    recorder = Recorder()
    places = {finding.place for finding in Checker(marker=recorder).file(path, PurePosixPath("IM-0001.dcm")).findings}
    with quiet():
        dataset = pydicom.dcmread(path)
        named = [raw for level in (dataset.file_meta, dataset) for place, raw in raw_values(level) if place in places]
    text = "\n".join([*recorder.pieces, *(raw.decode("latin-1") for raw in named)]).encode("utf-8", "replace")
    return sorted(set(tokens) - set(found_in(text, tokens)))


def raw_values(dataset: Dataset, above: str = "") -> Iterator[tuple[str, bytes]]:
    """Place and bytes of every element that is no sequence, at every depth."""
    for tag in sorted(dataset.keys()):
        place = f"{above}({tag.group:04X},{tag.element:04X})"
        raw = getattr(dataset.get_item(tag), "value", None)
        if isinstance(raw, bytes):
            yield place, raw
        try:
            element = dataset[tag]
            items = list(element.value) if element.VR == "SQ" else []
        except Exception:  # a value that its VR cannot hold: its bytes were given
            continue
        if element.VR != "SQ" and not isinstance(raw, bytes):
            yield place, str(element.value).encode("utf-8", "replace")
        for item in items:
            yield from raw_values(item, place + ">")


def kept_values(dataset: Dataset, above: str = "") -> Iterator[tuple[str, str]]:
    """Public elements of the keep-list that hold something: a path with the numbers of items, and the value."""
    for level, tag, path in _kept(dataset, above):
        value = level[tag].value
        if value not in (None, "", b"") and value != []:
            yield path, str(value)


def judged_values(dataset: Dataset, name: str = "") -> Iterator[tuple[str, list[Finding]]]:
    """Every element of the keep-list, empty ones too, by its keyword, with what the checker finds in it alone.

    Args:
        dataset: to look at; changed where a name is given.
        name: comes into every text first, and texts alone are given back then.
    """
    for level, tag, path in _kept(dataset, ""):
        if name and level[tag].VR not in ("CS", "LO", "SH", "LT", "ST", "UT"):
            continue
        if name:
            level[tag].value = name
        findings = Findings(Marker())
        Walk(findings, said_of(dataset))._element(level, tag, path)
        yield path.rpartition("/")[2], list(findings)


def _kept(dataset: Dataset, above: str) -> Iterator[tuple[Dataset, BaseTag, str]]:
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
            items = list(element.value) if element.VR == "SQ" and not tag.is_private else []
        except Exception:  # a value that its VR cannot hold is no number of a scanner
            continue
        if element.keyword in KEEP_LIST:
            yield dataset, tag, f"{above}{element.keyword}"
        for number, item in enumerate(items):
            yield from _kept(item, f"{above}{tag}/{number}/")


def findings_of(path: Path, name: str = "IM-0001.dcm") -> list[Finding]:
    """What the checker says of one file."""
    return Checker().file(path, PurePosixPath(name)).findings
