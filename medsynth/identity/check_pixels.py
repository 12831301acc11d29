"""Whether the pixels of the files of one check show text; what cannot be looked at is a finding."""

import io
from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from pydicom.dataset import Dataset

from medsynth.errors import UnreadableError
from medsynth.identity.dicom_text import frames, has_pixels, is_slice, spacing_of
from medsynth.identity.finding import Finding
from medsynth.identity.picture_text import TextFinder
from medsynth.identity.text_planes import SliceStack, Text
from medsynth.identity.volume_text import Side, find_boxes, sides

_LARGEST = 2**26


class PixelCheck:
    """Looks at the pixels of files, one after the other.

    Slices of CT, MR and PET are looked at in groups, so that what is found in them may come with a later file, or with
    `finish`.

    Args:
        finder: looks; None looks at nothing, and `unlooked` counts the files.
    """

    def __init__(self, finder: TextFinder | None) -> None:
        self._finder = finder
        self._stack = SliceStack(finder) if finder else None
        self.unlooked = 0

    def dicom(self, dataset: Dataset, number: int) -> list[Finding]:
        """Frames of a DICOM data set.

        Args:
            dataset: as read, with its file meta information.
            number: of the file, for its findings.
        """
        icons = "IconImageSequence" in dataset
        if not (has_pixels(dataset) or icons):
            return []
        if self._finder is None or self._stack is None:
            self.unlooked += 1
            return []
        found = [_unseen("icon", number)] if icons else []
        if not has_pixels(dataset):
            return found
        spacing, sliced = spacing_of(dataset), is_slice(dataset)
        series = str(dataset.get("SeriesInstanceUID"))
        try:
            for index, picture in enumerate(frames(dataset)):
                if sliced:
                    found += _slices(self._stack.add(series, (number, index), picture, spacing))
                elif self._finder.find(picture, spacing):
                    found.append(_text(f"frame {index}", number))
        except UnreadableError:
            found.append(_unseen("pixels", number))
        return found

    def nifti(self, opened: bytes, number: int) -> list[Finding]:
        """Projections of a NIfTI volume along each of its axes.

        Args:
            opened: the file's bytes, unpacked.
            number: of the file.
        """
        if self._finder is None:
            self.unlooked += 1
            return []
        found = []
        try:
            for side in _nifti_sides(opened):
                found += [_text(side.said(numbers), number) for numbers, _ in find_boxes(side, self._finder)]
        except Exception:  # a parser fed with any bytes fails in any way
            found.append(_unseen("voxels", number))
        return list(dict.fromkeys(found))

    def picture(self, content: bytes, number: int) -> list[Finding]:
        """Frames of a PNG or JPEG, transparency as a picture of its own.

        Args:
            content: the file's bytes.
            number: of the file.
        """
        if self._finder is None:
            self.unlooked += 1
            return []
        try:
            return [
                _text(f"frame {index}", number)
                for index, layers in enumerate(_layers(content))
                if any(self._finder.find(layer) for layer in layers)
            ]
        except Exception:  # decoders fed with any bytes fail in any way
            return [_unseen("pixels", number)]

    def finish(self) -> list[Finding]:
        """What is found in the groups of slices that are not full; to be called after the last file."""
        return _slices(self._stack.finish()) if self._stack else []


def _text(place: str, number: int) -> Finding:
    return Finding(kind="text", place=place, mark="", file=number)


def _unseen(place: str, number: int) -> Finding:
    return Finding(kind="unseen", place=place, mark="", file=number)


def _slices(texts: list[Text]) -> list[Finding]:
    named = [text.name for text in texts]
    return [_text(f"frame {name[1]}", name[0]) for name in named if isinstance(name, tuple)]


def _nifti_sides(opened: bytes) -> Iterator[Side]:
    """The volume from its sides; of a series in time, its maximum and minimum."""
    if not any(opened[at : at + 3] in (b"n+1", b"n+2") for at in (344, 4)):
        raise UnreadableError("the voxels are in another file; make one file of both")
    wide = opened[:4] in ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
    image = (nib.Nifti2Image if wide else nib.Nifti1Image).from_bytes(opened)
    array = _scalars(np.asanyarray(image.dataobj))
    if array.ndim < 2:
        raise UnreadableError("no picture; exclude the file")
    array = array.reshape(*array.shape[:2], *(array.shape[2:3] or (1,)), -1)
    for across_time in (np.fmax.reduce(array, 3), np.fmin.reduce(array, 3))[: min(array.shape[3], 2)]:
        yield from sides(across_time, image.affine)


def _scalars(array: NDArray[Any]) -> NDArray[Any]:
    """Colours and complex numbers as one value each."""
    if array.dtype.fields:
        array = np.max([array[name] for name in array.dtype.fields if name != "A"], axis=0)
    magnitude: NDArray[Any] = np.abs(array) if array.dtype.kind == "c" else array
    return magnitude


def _layers(content: bytes) -> Iterator[list[NDArray[Any]]]:
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "MPO")) as file:
        if file.width * file.height > _LARGEST:
            raise UnreadableError("the picture is too large; exclude the file")
        for frame in ImageSequence.Iterator(file):
            layers = [np.asarray(frame.convert("RGB"))]
            if frame.mode.startswith(("I", "F")):
                layers = [np.asarray(frame)]
            elif frame.has_transparency_data:
                layers.append(np.asarray(frame.convert("RGBA").getchannel("A")))
            yield layers
