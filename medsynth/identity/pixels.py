"""Pixels written anew: uncompressed, no byte too many, nothing in unused bits, boxes blanked (PS3.15 E.3.1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import decompress
from pydicom.uid import UID, ExplicitVRBigEndian

from medsynth.data.dicom_pixels import require_decodable
from medsynth.errors import UnreadableError

_LARGEST = 2**30
_FLOATS: dict[str, np.dtype[Any]] = {"FloatPixelData": np.dtype("<f4"), "DoubleFloatPixelData": np.dtype("<f8")}


class Box(NamedTuple):
    """A rectangle of pixels to blank: columns left to left + width, rows top to top + height.

    `frame` counts from 0; None for all frames.
    """

    left: int
    top: int
    width: int
    height: int
    frame: int | None = None


def clean_pixels(dataset: Dataset, boxes: Sequence[Box] = ()) -> None:
    """Rewrite the pixels of `dataset` in place, whose file meta names the transfer syntax they came in.

    Compressed pixels are decoded, since a codestream has comments, application segments and room behind its end;
    colour comes out as RGB. Native ones are cut to the length that the header asks for. Bits that are not stored are
    cleared (retired overlays lie there); what a reader of Bits Stored sees does not change. Boxes become black.

    Raises:
        UnreadableError: no decoder, pixels cut short, too many or of a kind that cannot be blanked.
    """
    for keyword, kind in _FLOATS.items():
        if keyword in dataset:
            _clean_floats(dataset, keyword, kind, boxes)
    if "PixelData" not in dataset:
        return
    try:
        _require_bounded(dataset)
        syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
        if syntax.is_encapsulated:
            require_decodable(dataset, range(_frames(dataset)))
            decompress(dataset, generate_instance_uid=False)
        _rewrite(dataset, boxes, swap=syntax == ExplicitVRBigEndian)
    except UnreadableError:
        raise
    except Exception:  # decoders and headers fed with any bytes fail in any way
        raise UnreadableError("the pixels are missing, cut short or broken; export the series again") from None


def _require_bounded(dataset: Dataset) -> None:
    count = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * _frames(dataset)
    if not 0 < count <= _LARGEST:
        raise UnreadableError(f"{count} pixels in one file are too many or none; exclude the series")


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _rewrite(dataset: Dataset, boxes: Sequence[Box], *, swap: bool) -> None:
    """Native pixels: right length, little endian, no unused bits, boxes."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    raw = bytes(dataset.PixelData)
    if swap and allocated == 8 and dataset["PixelData"].VR == "OW":  # two pixels a word (PS3.5 8.1.2)
        raw = np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype("<u2").tobytes()
    samples = int(dataset.SamplesPerPixel)
    subsampled = str(dataset.PhotometricInterpretation) in ("YBR_FULL_422", "YBR_PARTIAL_422")
    count = int(dataset.Rows) * int(dataset.Columns) * _frames(dataset) * (2 if subsampled else samples)
    length = (count * allocated + 7) // 8
    if len(raw) < length or not 0 < stored <= allocated:
        raise UnreadableError("the pixels are cut short; export the series again")
    raw = raw[:length]
    if allocated in (8, 16, 32):
        words = np.frombuffer(raw, np.dtype(f"{'>' if swap else '<'}u{allocated // 8}")).astype(f"<u{allocated // 8}")
        words = _used_bits(words, dataset)
        if boxes:
            if subsampled:
                raise UnreadableError("text in subsampled colour cannot be blanked; export it as RGB")
            blank(_as_frames(words, dataset), boxes, _black(words, dataset))
        raw = words.tobytes()
    elif boxes:
        raise UnreadableError(f"text in pixels of {allocated} bits cannot be blanked; exclude the series")
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if allocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False


def _used_bits(words: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Bits above the stored ones: zero, or copies of the sign."""
    size, stored = words.dtype.itemsize * 8, int(dataset.BitsStored)
    if stored == size:
        return words
    top = int(dataset.get("HighBit", stored - 1))
    spare = size - 1 - top
    low = top + 1 - stored
    if spare < 0 or low < 0:
        raise UnreadableError("the stored bits do not fit the allocated ones; export the series again")
    kind = "i" if int(dataset.get("PixelRepresentation", 0)) else "u"
    values = (words << spare).view(f"{kind}{size // 8}") >> spare
    kept: NDArray[Any] = (values >> low << low).view(words.dtype)
    return kept


def _as_frames(words: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """(frame, row, column, sample), a view."""
    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    if samples > 1 and int(dataset.get("PlanarConfiguration", 0)) == 1:
        return words.reshape(-1, samples, rows, columns).transpose(0, 2, 3, 1)
    return words.reshape(-1, rows, columns, samples)


def _black(words: NDArray[Any], dataset: Dataset) -> Sequence[int]:
    """One stored value a sample: the darkest that occurs in a grey image."""
    photometric = str(dataset.PhotometricInterpretation)
    if photometric.startswith("YBR"):
        return (0, 128, 128)
    if int(dataset.SamplesPerPixel) > 1 or photometric == "PALETTE COLOR":
        return (0,) * int(dataset.SamplesPerPixel)
    kind = "i" if int(dataset.get("PixelRepresentation", 0)) else "u"
    values = words.view(f"{kind}{words.dtype.itemsize}")
    dark = values.max() if photometric == "MONOCHROME1" else values.min()
    return (int(dark) & (2 ** (8 * words.dtype.itemsize) - 1),)


def blank(frames: NDArray[Any], boxes: Sequence[Box], black: Sequence[float]) -> None:
    """Set the pixels of boxes in place.

    Args:
        frames: (frame, row, column, sample).
        boxes: may reach over the edges.
        black: a value for each sample.
    """
    for box in boxes:
        chosen = slice(None) if box.frame is None else slice(box.frame, box.frame + 1)
        rows = slice(max(box.top, 0), max(box.top + box.height, 0))
        columns = slice(max(box.left, 0), max(box.left + box.width, 0))
        frames[chosen, rows, columns] = black


def _clean_floats(dataset: Dataset, keyword: str, kind: np.dtype[Any], boxes: Sequence[Box]) -> None:
    count = int(dataset.Rows) * int(dataset.Columns) * _frames(dataset)
    raw = bytes(dataset[keyword].value)[: count * kind.itemsize]
    if not 0 < count <= _LARGEST or len(raw) < count * kind.itemsize:
        raise UnreadableError("the pixels are cut short or too many; export the series again")
    swap = dataset.file_meta.get("TransferSyntaxUID") == ExplicitVRBigEndian
    values = np.frombuffer(raw, kind.newbyteorder(">") if swap else kind).astype(kind)
    if boxes:
        finite = values[np.isfinite(values)]
        dark = float(finite.min()) if finite.size else 0.0
        blank(values.reshape(-1, int(dataset.Rows), int(dataset.Columns), 1), boxes, (dark,))
    dataset[keyword].value = values.tobytes()
