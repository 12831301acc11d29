"""Pixels of a DICOM file: decoded frame by frame under a limit, then in units."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID, RLELossless

from medsynth.data.codestreams import require_run_length, require_size
from medsynth.data.dicom_file import number
from medsynth.data.dicom_frames import frame_decoder, native_frame, plainly_stored
from medsynth.errors import UnreadableError

_LARGEST = 2**30  # pixels that are decoded of one file
_BROKEN = "the pixels are missing, cut short or broken; export the series again"
_CODECS = {"pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pyjpegls"}


def stored_frames(dataset: Dataset, frames: Sequence[int | None]) -> list[NDArray[Any]]:
    """Stored values (rows, columns) of some frames; native ones may be views that cannot be written to.

    Args:
        dataset: of a file of one grey value a pixel.
        frames: their numbers from 0; [None, ...] for a file of one frame, which is decoded once.

    Raises:
        UnreadableError: no decoder, pixels that are missing, broken, not finite or too many.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    wanted = list(dict.fromkeys(frames))
    if rows * columns * len(wanted) > _LARGEST:
        raise UnreadableError(f"{len(wanted)} frames of {rows}x{columns} pixels are too many; exclude the series")
    coded = require_decodable(dataset, [frame or 0 for frame in wanted])
    if not coded:
        _require_length(dataset)
    decoded = _plainly_decoded(dataset, wanted, coded)
    if decoded is None:
        decoded = _decoded_by_pydicom(dataset, wanted)
    if len(decoded) != len(wanted) or any(frame.shape != (rows, columns) for frame in decoded):
        raise UnreadableError("the pixels are not those of one frame; export the series again")
    if not all(frame.dtype.kind in "iub" or np.isfinite(frame).all() for frame in decoded):
        raise UnreadableError("voxels are NaN or infinite; replace them at the source or exclude the case")
    by_number = dict(zip(wanted, decoded, strict=True))
    return [by_number[frame] for frame in frames]


def _plainly_decoded(
    dataset: Dataset, wanted: Sequence[int | None], coded: Mapping[int, bytes]
) -> list[NDArray[Any]] | None:
    """The frames where they are of a plain kind, which takes a fraction of pydicom's time; None leaves them to it."""
    stored = plainly_stored(dataset)
    if stored is None or (wanted == [None] and int(number(dataset, "NumberOfFrames") or 1) > 1):
        return None
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    try:
        if not coded:
            native = [native_frame(dataset, stored, frame or 0) for frame in wanted]
            return None if any(frame is None for frame in native) else [frame for frame in native if frame is not None]
        decode = frame_decoder(syntax)
        return None if decode is None else [decode(coded[frame or 0], stored) for frame in wanted]
    except Exception:  # decoders fed with any bytes fail in any way; pydicom says whether there is a picture in it
        if syntax == RLELossless:  # and it takes a segment that opens to too much
            raise UnreadableError(_BROKEN) from None
        return None


def _decoded_by_pydicom(dataset: Dataset, wanted: Sequence[int | None]) -> list[NDArray[Any]]:
    try:
        if wanted == [None]:
            return [dataset.pixel_array]
        return [frame.copy() for frame in iter_pixels(dataset, indices=[frame or 0 for frame in wanted])]
    except Exception:  # decoders fed with any bytes fail in any way
        raise UnreadableError(_BROKEN) from None


def require_decodable(dataset: Dataset, frames: Sequence[int]) -> dict[int, bytes]:
    """Refuse pixels without a decoder here, and compressed frames that open to more than the header says.

    Args:
        dataset: with its file meta information.
        frames: numbers from 0 of those that are to be decoded.

    Returns:
        The compressed frames by number; empty where the pixels are not compressed.

    Raises:
        UnreadableError: so.
    """
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if not syntax.is_encapsulated:
        return {}
    _require_decoder(syntax)
    return _honest_frames(dataset, syntax, frames)


def _require_length(dataset: Dataset) -> None:
    """Refuse native pixels of which the header names half or less; some bytes of padding at the end are usual."""
    try:
        sides = (dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel", 1), dataset.get("NumberOfFrames") or 1)
        stated = math.prod(map(int, sides)) * int(dataset.BitsAllocated) // 8
        there = len(dataset.PixelData)
    except Exception:  # what is missing or no number is said where the pixels are read
        return
    if there >= 2 * max(stated, 1) + 2:
        raise UnreadableError(
            "the file holds more pixels than its rows, columns and frames say; export the series again"
        )


def _require_decoder(syntax: UID) -> None:
    try:
        fit = get_decoder(syntax).is_available
    except NotImplementedError:
        raise UnreadableError("a compression that is not known; export the series uncompressed") from None
    if not fit:
        missing = {
            name for line in get_decoder(syntax).missing_dependencies for name in re.findall(r"([\w-]+)>=", line)
        }
        raise UnreadableError(
            f"no decoder for {syntax.name} ({', '.join(sorted(missing & _CODECS))} not installed); "
            "pip install '.[codecs]' in the folder of medsynth's source"
        )


def _honest_frames(dataset: Dataset, syntax: UID, frames: Sequence[int]) -> dict[int, bytes]:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples = int(dataset.get("SamplesPerPixel", 1))
    wanted, last = set(frames), max(frames)
    honest: dict[int, bytes] = {}
    try:
        offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        found = generate_frames(
            dataset.PixelData,
            number_of_frames=int(number(dataset, "NumberOfFrames") or 1),
            extended_offsets=offsets if all(offsets) else None,
        )
        for index, frame in enumerate(found):
            if index in wanted and syntax == RLELossless:
                require_run_length(frame, rows * columns * samples * -(-int(dataset.BitsAllocated) // 8))
            elif index in wanted:
                require_size(frame, rows, columns, samples)
            if index in wanted:
                honest[index] = frame
            if index == last:
                break
    except UnreadableError:
        raise
    except Exception:  # parsers fed with any bytes fail in any way
        raise UnreadableError(_BROKEN) from None
    return honest


def padded(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Where a frame holds no image but Pixel Padding (PS3.3 C.7.5.1.1.2), None where nowhere.

    Args:
        stored: (rows, columns), before any rescale.
        dataset: of its file.
    """
    value = number(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(end, dataset) for end in (value, value if limit is None else limit))
    if stored.dtype.kind in "iu":  # a comparison with a float would turn every pixel into one
        low, high = math.ceil(low), math.floor(high)
    mask: NDArray[np.bool_] = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _as_stored(value: float, dataset: Dataset) -> float:
    """Some write -2000 as 63536, or the other way round: the VR has no sign of its own."""
    bits = int(dataset.BitsAllocated)
    if int(dataset.PixelRepresentation) == 1:
        return value - 2**bits if value >= 2 ** (bits - 1) else value
    return value + 2**bits if value < 0 else value


def fill_padding(slices: NDArray[Any], padding: Sequence[NDArray[np.bool_] | None]) -> None:
    """Give padding the lowest value that the image has, in place; an image of nothing else stays as it is.

    Args:
        slices: (slice, row, column).
        padding: (row, column) of each slice, None where it has none.
    """
    kind = slices.dtype
    top = kind.type(np.inf if kind.kind == "f" else np.iinfo(kind).max)
    parts = list(zip(slices, padding, strict=True))
    lowest = min(part.min() if mask is None else np.where(mask, top, part).min() for part, mask in parts)
    if all(mask is not None and mask.all() for mask in padding):
        return
    for part, mask in parts:
        if mask is not None:
            np.putmask(part, mask, lowest)


def in_units(stored: NDArray[Any], rescale: tuple[float, float] | None, required_of: str | None = None) -> NDArray[Any]:
    """Stored values in units: integers where the rescale keeps them whole, else float64.

    Args:
        stored: (rows, columns).
        rescale: slope and intercept.
        required_of: the modality, where values without a rescale have no meaning (CT, PET).

    Raises:
        UnreadableError: so, or a rescale that is none.
    """
    if rescale is None:
        if required_of:
            raise UnreadableError(f"{required_of} without a rescale: its values have no unit; re-export the series")
        return stored
    slope, intercept = rescale
    if not np.isfinite(rescale).all() or slope == 0:
        raise UnreadableError("the rescale is zero or not finite; re-export the series")
    if (slope, intercept) == (1, 0):
        return stored
    whole = float(slope).is_integer() and float(intercept).is_integer()
    if whole and stored.dtype.kind in "iu" and stored.itemsize <= 2 and abs(slope) * 2**16 + abs(intercept) < 2**31:
        return _rescaled(stored, int(slope), int(intercept))
    return stored * slope + intercept


def _rescaled(stored: NDArray[Any], slope: int, intercept: int) -> NDArray[Any]:
    """Whole numbers in the smaller of int16 and int32 that holds them all."""
    ends = [int(end) * slope + intercept for end in (stored.min(), stored.max())]
    small = min(*ends, intercept, slope) >= -(2**15) and max(*ends, intercept, slope) < 2**15
    # In int16 what overflows on the way comes back: the arithmetic is modulo 2^16 and the end is in range.
    kind = np.dtype(np.int16 if small else np.int32)
    values = stored.view(kind) if stored.itemsize == kind.itemsize else stored.astype(kind)
    if slope != 1:
        values = values * kind.type(slope)
    return values + kind.type(intercept)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """The smallest of int16, uint16, int32 that holds every value exactly, else float32."""
    if np.issubdtype(array.dtype, np.floating) and (array != np.rint(array)).any():
        return array.astype(np.float32)
    low, high = array.min(), array.max()
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind, copy=False)
    return array.astype(np.float32)
