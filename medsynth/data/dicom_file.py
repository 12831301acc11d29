"""Open DICOM files in silence and under limits, and read their numbers without trusting them."""

import contextlib
import logging
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

from medsynth.errors import UnreadableError

_LARGEST_INFLATED = 512 * 2**20
_LARGEST_HEADER = 128 * 2**20
_MOST_READS = 4_000_000  # 12,000 frames of an enhanced MR with 300 reads each
_BUFFER = 2**16
_FIRST = (b"\2\0\0\0", b"\x08\0\0\0", b"\x08\0\1\0", b"\x08\0\5\0", b"\x08\0\x08\0", b"\x08\0\x16\0")
_PREAMBLE, _GROUP_LENGTH = 132, 12  # bytes before the file meta information, and of its first element (PS3.10 7.1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from printing: its warnings quote values of the file. Not for threads."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def read_header(path: Path, tags: Sequence[str] | None = None) -> Dataset:
    """The header of a DICOM file, without its pixels; call inside `quiet`.

    Raises:
        UnreadableError: see `read_file`.
    """
    return read_file(path, stop_before_pixels=True, specific_tags=list(tags) if tags else None)


def read_file(path: Path, *, stop_before_pixels: bool = False, specific_tags: list[str] | None = None) -> Dataset:
    """A DICOM file; call inside `quiet`.

    Raises:
        UnreadableError: no DICOM, cut short, sequences nested without end, a header read by itself of more than
            128 MB, millions of elements (which take a hundred times their bytes), or a deflated file that opens to
            more than 512 MB (half a megabyte can open to a gigabyte).
    """
    options: dict[str, Any] = {"stop_before_pixels": stop_before_pixels, "specific_tags": specific_tags}
    limited: _Limited | None = None
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            limited = _Limited(file, path, header=stop_before_pixels)
            try:
                return pydicom.dcmread(cast(BinaryIO, limited), **options)
            except _DeflatedError:
                meta = pydicom.filereader.read_file_meta_info(path)
        limited = _Limited(_inflated(path, meta), path, header=stop_before_pixels)
        return pydicom.dcmread(cast(BinaryIO, limited), **options)
    except UnreadableError:
        raise
    except Exception:  # a parser fed with any bytes fails in any way
        if limited is not None and limited.over:
            raise UnreadableError("the header is larger than that of any image; exclude the file") from None
        if lacks_head(path):
            raise UnreadableError(
                "a DICOM data set without preamble and file meta information (PS3.10 7.1); save it as a DICOM file"
            ) from None
        raise UnreadableError("the file is cut short or is no DICOM; export it again") from None


def says_dicom(path: Path) -> bool:
    """Whether the file has the mark of a DICOM file (PS3.10 7.1)."""
    return _begins(path)[_PREAMBLE - 4 : _PREAMBLE] == b"DICM"


def lacks_head(path: Path) -> bool:
    """Whether the file begins as a data set does: two elements of group 0008, or of 0002, in little endian."""
    begins = _begins(path)
    if begins[:4] not in _FIRST:
        return False
    explicit = begins[4:6].isalpha() and begins[4:6].isupper()
    length = int.from_bytes(begins[6:8] if explicit else begins[4:8], "little")
    following = 8 + length + (4 if begins[4:6] == b"OB" else 0)
    return begins[following : following + 2] == begins[:2]


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError:
        return b""


class _DeflatedError(Exception):
    """pydicom is about to open a deflated data set, which it does without a limit."""


class _Limited:
    """A file that a parser may read only so often: for each element or item it reads at least once."""

    def __init__(self, file: BinaryIO, path: Path, *, header: bool) -> None:
        self._read = file.read
        self._left = _LARGEST_HEADER if header else math.inf
        self._reads = _MOST_READS
        self.name = str(path)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # pydicom reads a deflated data set so, and nothing else
            raise _DeflatedError
        found = self._read(size)
        self._reads -= 1
        self._left -= len(found)
        if self._reads < 0 or self._left < 0:
            raise ValueError  # pydicom makes another error of it in some places
        return found

    @property
    def over(self) -> bool:
        return self._reads < 0 or self._left < 0


def _inflated(path: Path, meta: FileMetaDataset) -> BinaryIO:
    """A deflated data set (PS3.5 A.5) opened, as a plain file; refused when it opens to more than the limit."""
    packed = path.read_bytes()[_PREAMBLE + _GROUP_LENGTH + int(meta.FileMetaInformationGroupLength) :]
    opener, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    while packed and not opener.eof:
        parts.append(opener.decompress(packed, 2**24))
        packed = opener.unconsumed_tail
        size += len(parts[-1])
        if size > _LARGEST_INFLATED:
            raise UnreadableError("the deflated file opens to more than 512 MB; save it again without deflation")
    plain = DicomBytesIO(b"\0" * 128 + b"DICM")
    plain.seek(0, os.SEEK_END)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    write_file_meta_info(plain, meta, enforce_standard=False)
    return BytesIO(b"".join([plain.getvalue(), *parts]))


def several(header: Dataset, keyword: str) -> list[Any]:
    """The values of a tag; empty when it is missing."""
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)


def numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a tag as floats; empty when missing or no numbers."""
    plain = _decimals(header, keyword)
    if plain:
        return plain
    try:
        return tuple(float(value) for value in several(header, keyword))
    except (TypeError, ValueError):
        return ()


def _decimals(header: Dataset, keyword: str) -> tuple[float, ...]:
    """Decimal strings (PS3.5 6.2) as they stand in the file, which pydicom takes its time for; empty where unsure."""
    raw = header.get_item(keyword) if keyword in header else None
    if not isinstance(raw, RawDataElement) or raw.VR != "DS" or not isinstance(raw.value, bytes):
        return ()
    try:
        return tuple(map(float, raw.value.split(b"\\")))
    except ValueError:
        return ()


def number(header: Dataset, keyword: str) -> float | None:
    """The one number that a tag holds; None when missing, no number or several."""
    found = numbers(header, keyword)
    return found[0] if len(found) == 1 else None
