"""Open DICOM files in silence and under limits, and read their numbers without trusting them."""

import contextlib
import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsynth.errors import UnreadableError

_LARGEST_INFLATED = 512 * 2**20
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
        UnreadableError: no DICOM, cut short, nested without end, or a deflated one that opens to more than
            512 MB (half a megabyte can open to a gigabyte).
    """
    options: dict[str, Any] = {"stop_before_pixels": stop_before_pixels, "specific_tags": specific_tags}
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            _require_bounded(path, int(meta.FileMetaInformationGroupLength))
        return pydicom.dcmread(path, **options)
    except UnreadableError:
        raise
    except Exception:  # a parser fed with any bytes fails in any way
        raise UnreadableError("the file is cut short or is no DICOM; export it again") from None


def _require_bounded(path: Path, meta_length: int) -> None:
    """Refuse a deflated data set (PS3.5 A.5) that opens to more than the limit."""
    packed = path.read_bytes()[_PREAMBLE + _GROUP_LENGTH + meta_length :]
    opener, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed and not opener.eof:
        size += len(opener.decompress(packed, 2**24))
        packed = opener.unconsumed_tail
        if size > _LARGEST_INFLATED:
            raise UnreadableError("the deflated file opens to more than 512 MB; save it again without deflation")


def several(header: Dataset, keyword: str) -> list[Any]:
    """The values of a tag; empty when it is missing."""
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)


def numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a tag as floats; empty when missing or no numbers."""
    try:
        return tuple(float(value) for value in several(header, keyword))
    except (TypeError, ValueError):
        return ()


def number(header: Dataset, keyword: str) -> float | None:
    """The one number that a tag holds; None when missing, no number or several."""
    found = numbers(header, keyword)
    return found[0] if len(found) == 1 else None
