"""Whether a NIfTI file names anyone: gzip header, text fields, extensions, and bytes where no voxel is."""

import io
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from medsynth.identity.byte_text import as_text, is_wordy, runs, wide_runs
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge

_FIELDS = ("descrip", "aux_file", "db_name", "intent_name", "data_type", "unused_str", "magic")
_NUMBERS = ("extents", "session_error", "glmax", "glmin")  # that readers do not use
_LONG_NUMBER = 10**6
_SYLLABLES = re.compile(r"[a-z]{3}|[A-Z]{5}")  # numbers of an affine spell some letters, but not these
_MAGIC = (b"n+1", b"ni1", b"n+2", b"ni2")
_LARGEST_OPENED = 8 * 2**30
_FIRST, _FURTHER = 1024, 2**26
_FEXTRA, _FNAME, _FCOMMENT = 4, 8, 16  # RFC 1952 2.3.1
_CHUNK = 2**24


def check_nifti(path: Path, content: bytes, findings: Findings) -> bytes:
    """Check one NIfTI-1 or NIfTI-2 file, packed or not, without its picture.

    Args:
        path: of the file; it names the format alone.
        content: its bytes.
        findings: receives what is found.

    Returns:
        The bytes that the file opens to; what cannot be read is a finding.
    """
    packed = path.name.lower().endswith(".gz") or content[:2] == b"\x1f\x8b"
    opened = _open(content, findings) if packed else content
    header = _header(opened)
    if header is None:
        findings.add("unread", "header")
        _search(opened[:4096], "bytes", findings)
        return opened
    for field in _FIELDS:
        if field in header:
            raw = bytes(header.structarr[field].tobytes())
            if field == "magic" and raw[:3] in _MAGIC:
                continue
            _text_field(raw, field, findings)
    for field in _NUMBERS:
        if field in header and abs(int(header[field])) >= _LONG_NUMBER:
            findings.add("number", field, str(int(header[field])))
    _search_numbers(opened, header, findings)
    _check_extents(opened, header, findings)
    return opened


def nifti_text(opened: bytes) -> bytes:
    """The text fields of a header and the extensions behind it, one a line; nothing where the header is broken."""
    header = _header(opened)
    if header is None:
        return b""
    fields = [bytes(header.structarr[field].tobytes()) for field in _FIELDS if field in header]
    start, end = int(header["sizeof_hdr"]) + 4, int(header["vox_offset"])
    return b"\n".join([*fields, opened[start:end]])


def gzip_texts(content: bytes) -> list[tuple[str, bytes]]:
    """Name, comment and extra field of a gzip header (RFC 1952), those that are there.

    Raises:
        ValueError: it is cut short.
    """
    flags, at, texts = content[3], 10, []
    if flags & _FEXTRA:
        length = int.from_bytes(content[at : at + 2], "little")
        texts.append(("gzip extra field", content[at + 2 : at + 2 + length]))
        at += 2 + length
    for flag, name in ((_FNAME, "gzip name"), (_FCOMMENT, "gzip comment")):
        if flags & flag:
            end = content.index(b"\0", at)
            texts.append((name, content[at:end]))
            at = end + 1
    return texts


def check_gzip(content: bytes, findings: Findings) -> None:
    """Judge the texts of a gzip header; each of them is content outside of the format's."""
    try:
        texts = gzip_texts(content)
    except (ValueError, IndexError):
        findings.add("unread", "gzip header")
        return
    for place, raw in texts:
        text = as_text(raw) or raw.decode("latin-1")
        found = judge(text.replace("_", " "))
        findings.add_all(found, place)
        if place == "gzip extra field" and any(raw) and not found:
            findings.add("hidden", place, text)


def open_gzip(content: bytes, findings: Findings, most: int = _LARGEST_OPENED) -> bytes:
    """All that a gzip file opens to, at most `most` bytes; bytes behind the last member are a finding."""
    parts, size, rest = [], 0, content
    try:
        while rest[:2] == b"\x1f\x8b":
            check_gzip(rest, findings)
            opener = zlib.decompressobj(16 + zlib.MAX_WBITS)
            while not opener.eof:
                part = opener.decompress(rest, _CHUNK)
                if not part and not opener.unconsumed_tail:
                    break
                parts.append(part)
                size += len(part)
                rest = opener.unconsumed_tail
                if size > most:
                    findings.add("unread", "file")
                    return b"".join(parts)
            if not opener.eof:
                findings.add("unread", "file")
            rest = opener.unused_data
    except zlib.error:
        findings.add("unread", "file")
        rest = b""
    if _holds(rest):
        findings.add("hidden", "behind the end", rest.decode("latin-1"))
        _search(rest, "behind the end", findings)
    return b"".join(parts)


def _open(content: bytes, findings: Findings) -> bytes:
    if content[:2] != b"\x1f\x8b":
        findings.add("unread", "file")
        return content
    return open_gzip(content, findings, _most_opened(content))


def _most_opened(content: bytes) -> int:
    """How many bytes a packed file may open to: what its header asks for, and some more that are looked at."""
    try:
        header = _header(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(content, _FIRST))
        bits = math.prod(max(int(side), 1) for side in header["dim"][1:8]) * int(header["bitpix"])
        return min(int(header["vox_offset"]) + bits // 8 + _FURTHER, _LARGEST_OPENED)
    except (zlib.error, TypeError, ValueError, OverflowError):
        return _FURTHER


def _header(opened: bytes) -> Any:
    for kind, size in ((Nifti1Header, 348), (Nifti2Header, 540)):
        if int.from_bytes(opened[:4], "little") == size or int.from_bytes(opened[:4], "big") == size:
            try:
                return kind.from_fileobj(io.BytesIO(opened), check=False)
            except Exception:  # a parser fed with any bytes fails in any way
                return None
    return None


def _text_field(raw: bytes, place: str, findings: Findings) -> None:
    text = raw.decode("latin-1")
    findings.add_all(judge(text.replace("\0", " ").replace("_", " ")), place)


def _search_numbers(opened: bytes, header: Any, findings: Findings) -> None:
    """Text where the header has numbers."""
    rest = bytearray(opened[: int(header.sizeof_hdr)])
    kinds = header.structarr.dtype.fields
    for field in _FIELDS:
        if field in kinds:
            kind, start = kinds[field][:2]
            rest[start : start + kind.itemsize] = bytes(kind.itemsize)
    for _, text in runs(bytes(rest), 8):
        if is_wordy(text) and _SYLLABLES.search(text):
            findings.add("hidden", "header", text)


def _check_extents(opened: bytes, header: Any, findings: Findings) -> None:
    """Extensions before the voxels (NIfTI-1 "extended header"), and bytes behind the last voxel."""
    start = int(header.sizeof_hdr)
    try:
        single = bytes(header["magic"]).startswith(b"n+")
        first = int(header["vox_offset"]) if single else len(opened)
        voxels = int(np.prod([max(1, int(side)) for side in header.get_data_shape()], dtype=object))
        last = first + voxels * int(header.get_data_dtype().itemsize) if single else len(opened)
    except Exception:  # a header fed with any bytes fails in any way
        findings.add("unread", "header")
        first, last = len(opened), len(opened)
    between = opened[start:first]
    if _holds(between[1:4]):  # NIfTI-1: of the four bytes the first says whether there are extensions
        findings.add("hidden", "extension", between[1:4].decode("latin-1"))
    if _holds(between[4:]):
        _extensions(between, findings)
    if _holds(opened[last:]):
        findings.add("hidden", "behind the end", opened[last:].decode("latin-1"))
        _search(opened[last:], "behind the end", findings)


def _extensions(between: bytes, findings: Findings) -> None:
    # Whatever its code says, an extension is judged as text, and one that is no text is not understood.
    at, order = 4, "little"
    while at + 8 <= len(between):
        size = int.from_bytes(between[at : at + 4], order)  # type: ignore[arg-type]
        if not (8 <= size <= len(between) - at) or size % 16:
            size = int.from_bytes(between[at : at + 4], "big")
        if not (8 <= size <= len(between) - at):
            break
        body = between[at + 8 : at + size]
        text = as_text(body)
        if text is None:
            findings.add("binary", "extension", body.decode("latin-1"))
            _search(body, "extension", findings)
        else:
            findings.add_all(judge(text.replace("_", " ")), "extension")
        at += size
    if _holds(between[at:]):
        findings.add("hidden", "before the voxels", between[at:].decode("latin-1"))
        _search(between[at:], "before the voxels", findings)


def _holds(content: bytes) -> bool:
    """Whether any byte is not zero; `any` takes seconds for what a bomb opens to."""
    return content.count(0) < len(content)


def _search(content: bytes, place: str, findings: Findings) -> None:
    for _, text in [*runs(content), *wide_runs(content)]:
        if is_wordy(text):
            findings.add_all(judge(text), place)
