"""Text burned into the pixels of DICOM data sets: their frames as pictures, and which of them stand for themselves."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from medsynth.data.dicom_file import quiet, several
from medsynth.data.dicom_pixels import require_decodable
from medsynth.errors import UnreadableError
from medsynth.identity.picture_text import TextFinder, blank_text
from medsynth.identity.pixels import Box

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_LARGEST = 2**26
_SLICES = {
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
}
_ALONE = ("SECONDARY", "LOCALIZER", "SCREEN", "CAPTURE", "MOSAIC", "PROJECTION")


def has_pixels(dataset: Dataset) -> bool:
    """Whether a data set holds a picture."""
    return any(keyword in dataset for keyword in PIXELS)


def is_slice(dataset: Dataset) -> bool:
    """Whether its frames are slices of a volume, which projections stand for.

    They are grey CT, MR or PET as a scanner makes them. Everything else is looked at frame by frame: ultrasound,
    radiographs, secondary captures and screen shots by their SOP Class or Conversion Type, and what says of itself
    that it is secondary, a localizer or a capture (Image Type), or that text is burned in (Burned In Annotation).
    """
    kinds = [str(kind).upper() for kind in several(dataset, "ImageType")]
    return (
        dataset.get("SOPClassUID") in _SLICES
        and str(dataset.get("Modality")) in ("CT", "MR", "PT")
        and not str(dataset.get("ConversionType") or "")
        and str(dataset.get("BurnedInAnnotation") or "NO").upper() == "NO"
        and str(dataset.get("PhotometricInterpretation")) in ("MONOCHROME1", "MONOCHROME2")
        and not any(word in kind for word in _ALONE for kind in kinds)
    )


def frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """The frames of a data set as pictures: (rows, columns), or (rows, columns, 3) of uint8, in stored values.

    Args:
        dataset: as read, with its file meta information.

    Raises:
        UnreadableError: no decoder here, pixels that are broken, too many, or in no form that is a picture.
    """
    try:
        count = int(dataset.get("NumberOfFrames") or 1)
        size = int(dataset.Rows) * int(dataset.Columns)
        if not (0 < size <= _LARGEST and count > 0):
            raise UnreadableError("frames of so many pixels are too large to look at; exclude the file")
        if "PixelData" in dataset:
            require_decodable(dataset, range(count))
        decoded = iter_pixels(dataset) if count > 1 else map(_whole, [dataset])
        for _ in range(count):
            with quiet():
                picture = _picture(next(decoded), dataset)
            yield picture
    except UnreadableError:
        raise
    except Exception:  # decoders and headers fed with any bytes fail in any way
        raise UnreadableError("the pixels are missing, cut short or broken; export the series again") from None


def _whole(dataset: Dataset) -> NDArray[Any]:
    pixels: NDArray[Any] = dataset.pixel_array
    return pixels


def _picture(frame: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    if str(dataset.get("PhotometricInterpretation")) == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)
    if frame.ndim == 2:
        return frame
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise UnreadableError("the pixels are no picture; exclude the file")
    return frame if frame.dtype == np.uint8 else _eight_bits(frame)


def _eight_bits(frame: NDArray[Any]) -> NDArray[np.uint8]:
    values = frame.astype(np.float64)
    least, most = values.min(), values.max()
    scaled: NDArray[np.uint8] = np.rint((values - least) * (255 / max(most - least, 1e-30))).astype(np.uint8)
    return scaled


def spacing_of(dataset: Dataset) -> tuple[float, float] | None:
    """Millimetres between rows and between columns, None where the header does not say."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            rows, columns = (float(value) for value in several(dataset, keyword))
        except (TypeError, ValueError):
            continue
        if 0 < rows < math.inf and 0 < columns < math.inf:
            return rows, columns
    return None


@functools.cache
def _finder() -> TextFinder:
    return TextFinder()


def text_boxes(dataset: Dataset) -> list[Box]:
    """Boxes to blank so that no frame shows text any more; `find_boxes` of `remove_from_tree`.

    Every frame is looked at, and again with its boxes blanked until nothing is found.

    Args:
        dataset: as read, with its file meta information.

    Raises:
        UnreadableError: see `frames`, or blanking never ends.
        MedsynthError: the detector is not installed.
    """
    spacing, many = spacing_of(dataset), int(dataset.get("NumberOfFrames") or 1) > 1
    found: list[Box] = []
    for number, picture in enumerate(frames(dataset)):
        _, boxes = blank_text(picture, _finder(), spacing)
        found += [box._replace(frame=number if many else None) for box in boxes]
    return found
