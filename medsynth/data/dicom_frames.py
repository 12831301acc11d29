"""Frames of grey values decoded without pydicom's way about them: native, run-length and JPEG-LS ones.

What is not of the plain kind is left to pydicom, which decodes the rest.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

try:
    from jpeg_ls import decode_pixel_data
except ImportError:  # of the extra `codecs`
    decode_pixel_data = None

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_RUN_LENGTH_HEADER = 64  # bytes: the number of segments and where each begins (PS3.5 G.5)
_MARK = b"\xa5\x5a\xc3"
_MARKED = b"\x00\xa5\x00\x5a\x00\xc3"  # three runs of a byte each: a run cut short before them spoils them


class Stored(NamedTuple):
    """How a grey value is stored (PS3.3 C.7.6.3): bits allocated and stored, and whether with a sign."""

    rows: int
    columns: int
    allocated: int
    bits: int
    signed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a decoded frame."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.allocated // 8}")


def plainly_stored(dataset: Dataset) -> Stored | None:
    """How the frames of a file are stored; None where that is not one whole grey value of 8, 16 or 32 bits."""
    if "PixelData" not in dataset or "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        return None
    sign = dataset.get("PixelRepresentation")
    sizes = [dataset.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored")]
    if not all(isinstance(size, int) for size in (sign, *sizes)) or dataset.get("SamplesPerPixel") != 1:
        return None
    rows, columns, allocated, bits = map(int, sizes)
    found = Stored(rows, columns, allocated, bits, signed=sign == 1)
    fit = 0 < found.rows < 2**16 and 0 < found.columns < 2**16 and 0 < found.bits <= found.allocated
    plain = fit and found.allocated in (8, 16, 32) and sign in (0, 1) and sys.byteorder == "little"
    grey = str(dataset.get("PhotometricInterpretation")) in ("MONOCHROME1", "MONOCHROME2")
    return found if plain and grey else None


def native_frame(dataset: Dataset, stored: Stored, number: int) -> NDArray[Any] | None:
    """One frame of uncompressed pixels; None where they are not all there, or in a syntax that is not plain."""
    if dataset.file_meta.get("TransferSyntaxUID") not in _NATIVE:
        return None
    raw, frames = dataset.PixelData, dataset.get("NumberOfFrames") or 1
    count = stored.rows * stored.columns
    length = count * stored.allocated // 8
    expected = length * int(frames)
    if number >= int(frames) or (len(raw) != expected and len(raw) < expected + expected % 2):
        return None
    return _without_spare_bits(np.frombuffer(raw, stored.dtype, count, number * length), stored)


def frame_decoder(syntax: UID) -> Callable[[bytes, Stored], NDArray[Any]] | None:
    """What decodes a compressed frame of this transfer syntax; None leaves it to pydicom."""
    if syntax == RLELossless:
        return run_length_frame
    if syntax in (JPEGLSLossless, JPEGLSNearLossless) and decode_pixel_data is not None:
        return jpeg_ls_frame
    return None


def run_length_frame(frame: bytes, stored: Stored) -> NDArray[Any]:
    """Decode a run-length frame (PS3.5 G): a segment for each byte of a pixel, the highest first.

    Pillow decodes a segment, as TIFF's PackBits, which is the same code. The whole frame is one row to it, since
    runs may go on from one row to the next here.

    Raises:
        ValueError: segments that are missing, too many or cut short, or that open to more than the pixels.
    """
    size, count = stored.allocated // 8, stored.rows * stored.columns
    head = np.frombuffer(frame, "<u4", _RUN_LENGTH_HEADER // 4)
    if head[0] != size:
        raise ValueError("another number of segments than a pixel has bytes")
    starts = [*map(int, head[1 : size + 1]), len(frame)]
    planes = np.empty((count, size), np.uint8)
    for index in range(size):
        planes[:, size - 1 - index] = _segment(frame[starts[index] : starts[index + 1]], count)
    return _without_spare_bits(planes.reshape(-1).view(stored.dtype), stored)


def _segment(packed: bytes, count: int) -> NDArray[np.uint8]:
    """What a segment opens to. A mark is packed behind it, which shows whether it ends with its last pixel.

    A worn segment may open to enough bytes and have some left: the picture in it is not the one that was stored.
    """
    ends = [len(packed)]
    if packed[-1:] == b"\0":  # to an even length (PS3.5 G.3.1), or the value of the last run
        ends.insert(int(packed[-2:-1] > b"\x80"), len(packed) - 1)
    for end in ends:
        opened = _opened(packed[:end] + _MARKED, count + len(_MARK))
        if opened is not None and opened[count:].tobytes() == _MARK:
            return opened[:count]
    last = _end_of_segment(packed, count)  # more padding than one zero
    opened = None if last is None or any(packed[last:]) else _opened(packed[:last], count)
    if opened is None:
        raise ValueError("a segment that is cut short, or opens to more than its pixels")
    return opened


def _end_of_segment(packed: bytes, count: int) -> int | None:
    """Where the run that ends with pixel `count` ends; None where none does."""
    at = there = 0
    while at < len(packed) and there < count:
        code = packed[at]
        if code != 128:
            there += code + 1 if code < 128 else 257 - code
        at += 2 if code > 128 else 1 if code == 128 else code + 2
    return at if there == count and at <= len(packed) else None


def _opened(packed: bytes, count: int) -> NDArray[np.uint8] | None:
    try:
        found: NDArray[np.uint8] = np.asarray(Image.frombytes("L", (count, 1), packed, "packbits", "L"))[0]
    except ValueError:
        return None
    return found


def jpeg_ls_frame(frame: bytes, stored: Stored) -> NDArray[Any]:
    """Decode a JPEG-LS frame (ISO 14495-1), whose values have no sign of their own.

    Raises:
        ValueError, RuntimeError: a frame of another size, or broken.
    """
    raw, said = decode_pixel_data(frame)
    precision = int(said["bits_per_sample"])
    coded = np.dtype(f"<{'i' if stored.signed else 'u'}{1 if precision <= 8 else 2}")
    values = np.frombuffer(raw, coded).astype(stored.dtype, copy=False)
    if (said["height"], said["width"], said["components"]) != (stored.rows, stored.columns, 1):
        raise ValueError("a frame of another size")
    values = _cut(values, stored.allocated - precision) if stored.signed else values
    return values.reshape(stored.rows, stored.columns)


def _without_spare_bits(values: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """(rows, columns): the bits above the stored ones may hold anything (PS3.5 8.1.1)."""
    return _cut(values, stored.allocated - stored.bits).reshape(stored.rows, stored.columns)


def _cut(values: NDArray[Any], bits: int) -> NDArray[Any]:
    return values if bits <= 0 else np.right_shift(np.left_shift(values, bits), bits)
