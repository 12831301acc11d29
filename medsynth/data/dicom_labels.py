"""Label maps that come with a DICOM series: segmentations (SEG) and contours of radiotherapy (RTSTRUCT)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import quiet, read_file
from medsynth.data.dicom_rtstruct import contoured_voxels
from medsynth.data.dicom_seg import segmented_voxels
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import Geometry

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
LABEL_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",  # label map segmentation
    RTSTRUCT_CLASS: "RTSTRUCT",
}
"""SOP classes (PS3.4 B.5) of label maps."""


class LabelHeader(NamedTuple):
    """What a label file says of itself.

    Args:
        series: Series Instance UIDs that it refers to.
        instances: SOP Instance UIDs of the images that its labels were drawn on, where it names them.
        names: of its structures by its own numbers.
    """

    series: frozenset[str]
    instances: frozenset[str]
    names: Mapping[int, str]


def label_header(header: Dataset) -> LabelHeader:
    """What a SEG or RTSTRUCT refers to and what it names; call inside `quiet`."""
    return _of_contours(header) if str(header.get("SOPClassUID")) == RTSTRUCT_CLASS else _of_segments(header)


def _of_segments(header: Dataset) -> LabelHeader:
    series = header.get("ReferencedSeriesSequence") or []
    images = [image for one in series for image in one.get("ReferencedInstanceSequence") or []]
    segments = header.get("SegmentSequence") or []
    return LabelHeader(
        frozenset(str(one.SeriesInstanceUID) for one in series),
        frozenset(str(image.ReferencedSOPInstanceUID) for image in images),
        # A label map segmentation (PS3.3 A.51) has its background as segment 0.
        {int(one.SegmentNumber): _name(one, "SegmentLabel") for one in segments if int(one.SegmentNumber) > 0},
    )


def _of_contours(header: Dataset) -> LabelHeader:
    frames = header.get("ReferencedFrameOfReferenceSequence") or []
    studies = [study for frame in frames for study in frame.get("RTReferencedStudySequence") or []]
    series = [one for study in studies for one in study.get("RTReferencedSeriesSequence") or []]
    contours = [one for roi in header.get("ROIContourSequence") or [] for one in roi.get("ContourSequence") or []]
    images = [image for contour in contours for image in contour.get("ContourImageSequence") or []]
    return LabelHeader(
        frozenset(str(one.SeriesInstanceUID) for one in series),
        frozenset(str(image.ReferencedSOPInstanceUID) for image in images),
        {int(roi.ROINumber): _name(roi, "ROIName") for roi in header.get("StructureSetROISequence") or []},
    )


def _name(part: Dataset, keyword: str) -> str:
    return str(part.get(keyword) or "").strip() or "unnamed"


def agreed_values(files: Sequence[Mapping[int, str]]) -> dict[int, str]:
    """One name for each value over many files: their own numbers where they agree, else numbered by name.

    Capitals and blanks do not make another name.

    >>> agreed_values([{1: "liver"}, {2: "spleen"}])
    {1: 'liver', 2: 'spleen'}
    >>> agreed_values([{1: "spleen"}, {1: "Liver", 2: "Spleen"}])
    {1: 'Liver', 2: 'Spleen'}
    """
    spellings = sorted({name for names in files for name in names.values()}, reverse=True)
    spelt = {_plain(name): name for name in spellings}
    said = {(number, _plain(name)) for names in files for number, name in names.items()}
    numbers = {number for number, _ in said}
    if len(said) == len(numbers) == len(spelt) and all(0 < number <= 65535 for number in numbers):
        return {number: spelt[name] for number, name in sorted(said)}
    return dict(enumerate((spelt[name] for name in sorted(spelt)), start=1))


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def read_labels(path: Path, grid: Geometry, values: Mapping[int, str]) -> NDArray[Any]:
    """A SEG or RTSTRUCT as a label map on the grid of the series that it refers to.

    Where structures overlap the smaller one is seen: a tumour stays visible in its organ, an organ in the body.

    Args:
        path: of the file.
        grid: of the image.
        values: the name of each value that is wanted; other structures of the file are left out.

    Returns:
        `grid.shape`, 0 for background.

    Raises:
        UnreadableError: cut short, not understood, or none of the names is in it.
        GeometryError: segments on another grid, contours that lie between the slices, or labels outside the image.
    """
    try:
        with quiet():
            dataset = read_file(path)
            of_name = {_plain(name): value for value, name in values.items()}
            names = {number: _plain(name) for number, name in label_header(dataset).names.items()}
            wanted = {number: of_name[name] for number, name in names.items() if name in of_name}
            if not wanted:
                raise UnreadableError("none of the structures that are wanted is in the label file; mend labels=")
            find = contoured_voxels if str(dataset.SOPClassUID) == RTSTRUCT_CLASS else segmented_voxels
            return _painted(find(path, dataset, grid, wanted), grid.shape)
    except (UnreadableError, GeometryError, MemoryError):
        raise
    except Exception:  # values are parsed when first asked for, and broken ones fail in any way
        raise UnreadableError("the label file holds values that are not understood; export it again") from None


def _painted(voxels: Mapping[int, NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.zeros(int(np.prod(shape)), dtype=np.uint8 if max(voxels, default=0) <= 255 else np.uint16)
    for value in sorted(voxels, key=lambda value: (-voxels[value].size, value)):
        array[voxels[value]] = value
    return array.reshape(shape)
