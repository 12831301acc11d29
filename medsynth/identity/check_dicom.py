"""Whether a DICOM file names anyone: file meta information, every element, and all bytes around and between them."""

import re
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsynth.data.dicom_file import quiet, read_file
from medsynth.errors import UnreadableError
from medsynth.identity.byte_text import inflate, is_wordy, runs, wide_runs
from medsynth.identity.element_rules import TEXT
from medsynth.identity.finding import Findings
from medsynth.identity.header_walk import Walk, said_of
from medsynth.identity.own_objects import own_object
from medsynth.identity.shapes import judge

_PREAMBLE = 128
_LARGEST_INFLATED = 512 * 2**20
_LEAST_RUN = 5
_TIFF = re.compile(rb"(?:II\*\0|MM\0\*)[\0-\xff]{4}\0*\Z", re.DOTALL)


class CheckedDicom(NamedTuple):
    """The data set, None when it cannot be read, and the bytes that a deflated one opens to."""

    dataset: Dataset | None
    opened: bytes


def check_dicom(path: Path, content: bytes, findings: Findings) -> CheckedDicom:
    """Check one DICOM file (PS3.10) without its picture.

    Args:
        path: of the file.
        content: its bytes.
        findings: receives what is found.

    Returns:
        What is to be looked at further; a data set that cannot be read is a finding.
    """
    with quiet():
        try:
            dataset = read_file(path)
        except UnreadableError:
            findings.add("unread", "file")
            _search(content, None, findings)
            return CheckedDicom(None, b"")
        own = own_object(dataset)
        walk = Walk(findings, said_of(dataset), own)
        walk.dataset(dataset.file_meta)
        walk.dataset(dataset)
    if "SOPClassUID" not in dataset and "MediaStorageSOPClassUID" not in dataset.file_meta:
        findings.add("unread", "file")  # PS3.10 7.1: every file says what it holds
    _check_preamble(content, findings)
    body, opened = content, b""
    with quiet():
        meta = read_file_meta_info(path)  # as the file has it: who read the data set has opened it
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        start = _PREAMBLE + 4 + 12 + int(meta.get("FileMetaInformationGroupLength", 0))
        opened, behind = inflate(content[start:], _LARGEST_INFLATED)
        if behind.strip(b"\0"):
            findings.add("hidden", "behind the end")
        body = content[_PREAMBLE:start] + opened + behind
    for pixels in walk.pixels:
        if len(pixels) >= _LEAST_RUN:
            body = body.replace(pixels, bytes(4))
    _search(body, walk, findings)
    return CheckedDicom(dataset, opened)


def dicom_text(dataset: Dataset) -> bytes:
    """The text of all elements at every depth, one value a line; what cannot be parsed is left out."""
    lines: list[str] = []
    levels = [dataset.file_meta, dataset] if hasattr(dataset, "file_meta") else [dataset]
    for level in levels:
        for tag in level.keys():  # noqa: SIM118 - values of a data set are parsed when they are met
            try:
                element = level[tag]
                if element.VR == "SQ":
                    levels += element.value
                elif element.VR in TEXT or element.VR == "PN":
                    lines += map(str, element.value if element.VM > 1 else [element.value])
            except Exception:  # the walk notes it
                continue
    return "\n".join(lines).encode("utf-8", "replace")


def is_dicom(content: bytes) -> bool:
    """Whether the bytes begin as a DICOM file does (PS3.10 7.1)."""
    return content[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def _check_preamble(content: bytes, findings: Findings) -> None:
    preamble = content[:_PREAMBLE]
    # Zeros, or the beginning of a TIFF file of which DICOM is the second reading (PS3.10 7.1).
    if any(preamble) and not _TIFF.match(preamble):
        findings.add("hidden", "preamble", preamble.decode("latin-1"))


def _search(body: bytes, walk: Walk | None, findings: Findings) -> None:
    """Text in the bytes that no judged value holds."""
    for _, text in runs(body, _LEAST_RUN):
        if (walk is None or not _is_seen(text, walk)) and is_wordy(text):
            findings.add_all(judge(text), "bytes")
    for _, text in wide_runs(body):
        findings.add_all(judge(text), "bytes")


def _is_seen(text: str, walk: Walk) -> bool:
    """Whether a run is a judged value, bytes of an element's head apart that happen to be printable."""
    for end in range(len("ggeeVR") + 1):
        if end > 2 and text[len(text) - end :] not in walk.heads:
            continue
        if any(text[start : len(text) - end] in walk.texts for start in range(3)):
            return True
    return False
