"""Read PNG and JPEG pictures as grey images, upright, in their stored depth."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from medsynth.data.nifti import Volume
from medsynth.errors import UnreadableError
from medsynth.geometry import Geometry

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_TURNING_TAG = 0x0112  # EXIF 2.3: Orientation


def read_picture(path: Path, *, label: bool = False) -> Volume:
    """Read one PNG or JPEG file as an array indexed (column, row).

    The EXIF orientation is obeyed. A colour picture whose three colours are equal is
    grey. One bit a pixel becomes 0 and 255.

    Args:
        path: of the file.
        label: the picture is a label map: palette and one-bit values stay as they are.

    Returns:
        uint8 (0 to 255) or uint16 (0 to 65535), on `Geometry.image_plane` with 1 mm pixels.

    Raises:
        UnreadableError: cut short, no PNG or JPEG, coloured, partly transparent, several
            frames, or so large that it may be a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if getattr(image, "n_frames", 1) != 1:
                    raise UnreadableError("the picture has several frames; save each as a picture of its own")
                image.load()
                if image.getexif().get(_TURNING_TAG, 1) != 1:
                    ImageOps.exif_transpose(image, in_place=True)
                array = _grey(image, label)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError("the picture is too large to be read safely; save it smaller") from None
    except (UnidentifiedImageError, OSError, EOFError, ValueError, SyntaxError, MemoryError):
        raise UnreadableError("the picture is cut short or is no PNG or JPEG; copy it again from its source") from None
    array = np.ascontiguousarray(array.T)
    return Volume(array, Geometry.image_plane(array.shape))


def _grey(image: Image.Image, label: bool) -> NDArray[Any]:
    """(row, column), uint8 or uint16."""
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "L" or (image.mode == "P" and label):
        return np.array(image, dtype=np.uint8)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(1 if label else 255)
    if image.mode not in ("P", "PA", "RGB", "RGBA", "LA"):
        raise UnreadableError("the picture's colours are not grey, RGB or a palette; save it as grey")
    colours = np.asarray(image.convert("RGBA"))
    if (colours[..., 3] != 255).any():
        raise UnreadableError("the picture is partly transparent; save it as grey without transparency")
    if (colours[..., 0] != colours[..., 1]).any() or (colours[..., 0] != colours[..., 2]).any():
        raise UnreadableError("the picture is coloured; one grey value a pixel is needed, save it as grey")
    return colours[..., 0].copy()
