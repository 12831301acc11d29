"""Pixels of a DICOM file: decoded frame by frame under a limit, then in units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID

from medsynth.errors import UnreadableError

_LARGEST = 2**30  # pixels that are decoded of one file


def stored_frames(dataset: Dataset, frames: Sequence[int | None]) -> list[NDArray[Any]]:
    """Stored values (rows, columns) of some frames.

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
    _require_decoder(dataset)
    try:
        if wanted == [None]:
            decoded = [dataset.pixel_array]
        else:
            decoded = [frame.copy() for frame in iter_pixels(dataset, indices=[frame or 0 for frame in wanted])]
    except Exception:  # decoders fed with any bytes fail in any way
        raise UnreadableError("the pixels are missing, cut short or broken; export the series again") from None
    if len(decoded) != len(wanted) or any(frame.shape != (rows, columns) for frame in decoded):
        raise UnreadableError("the pixels are not those of one frame; export the series again")
    if not all(np.isfinite(frame).all() for frame in decoded):
        raise UnreadableError("voxels are NaN or infinite; replace them at the source or exclude the case")
    by_number = dict(zip(wanted, decoded, strict=True))
    return [by_number[frame] for frame in frames]


def _require_decoder(dataset: Dataset) -> None:
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if not syntax.is_encapsulated:
        return
    try:
        fit = get_decoder(syntax).is_available
    except NotImplementedError:
        raise UnreadableError("a compression that is not known; export the series uncompressed") from None
    if not fit:
        raise UnreadableError(
            f"no decoder for {syntax.name}; pip install '.[codecs]' in the folder of medsynth's source"
        )


def in_units(stored: NDArray[Any], rescale: tuple[float, float] | None, required_of: str | None = None) -> NDArray[Any]:
    """Stored values in units: float64, or the integers as they are where the rescale is none.

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
    return stored if (slope, intercept) == (1, 0) else stored * slope + intercept


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """The smallest of int16, uint16, int32 that holds every value exactly, else float32."""
    if np.issubdtype(array.dtype, np.floating) and (array != np.rint(array)).any():
        return array.astype(np.float32)
    low, high = array.min(), array.max()
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.ascontiguousarray(array, dtype=kind)
    return array.astype(np.float32)
