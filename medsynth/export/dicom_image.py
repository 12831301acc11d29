"""One image channel of a sample as a series of single-frame objects."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsynth.export.dicom_modules import SOP_CLASSES, modality_of, module
from medsynth.export.dicom_settings import VOLUMES, DicomSettings, Kind
from medsynth.export.dicom_values import Stored, Window, decimal_string, stored, windows
from medsynth.geometry import DicomPlane, Facing, dicom_planes


class ImageChannel(NamedTuple):
    """An image channel: values in units, indexed as the sample's geometry."""

    name: str
    values: NDArray[Any]
    units: str
    kind: Kind


def image_objects(
    channel: ImageChannel, turn: Facing, common: Dataset, number: int, settings: DicomSettings
) -> Iterator[Dataset]:
    """The objects of a series, slice by slice along the normal, without their UIDs.

    Args:
        channel: what is stored.
        turn: how the sample is turned for viewers.
        common: patient, study, equipment, marks, and the frame of reference of volumes.
        number: of the series in its study.
        settings: of the export.
    """
    values = stored(channel.values, channel.kind)
    shared = Dataset()
    shared.update(common)
    shared.update(module(channel.kind, values, channel.units, turn.geometry.shape[2], settings))
    shared.SOPClassUID = SOP_CLASSES[channel.kind]
    shared.Modality = modality_of(channel.kind)
    shared.SeriesNumber = number
    shared.SeriesDescription = f"synthetic {channel.name}"[:64]
    shared.ContentDate, shared.ContentTime = settings.date, "000000"
    shared.update(_pixels(values))
    shared.update(_shown(windows(channel.values, channel.kind)))
    planes, stack = dicom_planes(turn.geometry), turn.turned(values.array)
    for index, plane in enumerate(planes):
        dataset = Dataset()
        dataset.update(shared)
        dataset.InstanceNumber = index + 1
        dataset.Rows, dataset.Columns = plane.rows, plane.columns
        dataset.update(_place(channel.kind, plane, turn.geometry.spacing[2]))
        if channel.kind == "PT":
            dataset.ImageIndex = index + 1
        frame = np.ascontiguousarray(stack[:, :, index].T).tobytes()
        dataset.PixelData = frame + b"\0" * (len(frame) % 2)  # PS3.5 8.1: of even length
        dataset["PixelData"].VR = "OB" if values.array.itemsize == 1 else "OW"
        yield dataset


def _pixels(values: Stored) -> Dataset:
    """PS3.3 C.7.6.3 Image Pixel Module."""
    dataset = Dataset()
    bits = 8 * values.array.itemsize
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.array.dtype.kind == "i")
    return dataset


def _shown(found: list[Window]) -> Dataset:
    """PS3.3 C.11.2 VOI LUT Module.

    Of fractions too the windows are LINEAR, which is never narrower than a whole step: viewers are seen to read every
    window so, whatever VOI LUT Function says, and a narrow one would come out black or white.
    """
    dataset = Dataset()
    pairs = [_linear(window) for window in found]
    dataset.WindowCenter = [decimal_string(centre) for centre, _ in pairs]
    dataset.WindowWidth = [decimal_string(width) for _, width in pairs]
    dataset.WindowCenterWidthExplanation = [window.name for window in found]
    return dataset


def _linear(window: Window) -> tuple[float, float]:
    if window.name != "AUTOMATIC":
        return window.centre, window.width
    return window.centre + 0.5, window.width + 1  # PS3.3 C.11.2.1.2.1


def _place(kind: Kind, plane: DicomPlane, gap: float) -> Dataset:
    """PS3.3 C.7.6.2 Image Plane Module of a volume's slice; a picture has the size of its pixels alone."""
    dataset = Dataset()
    spacing = [_rounded(v) for v in plane.pixel_spacing]
    if kind not in VOLUMES:
        # Whoever reads a picture looks for its pixels' size elsewhere in a capture than in a radiograph.
        setattr(dataset, "NominalScannedPixelSpacing" if kind == "SC" else "ImagerPixelSpacing", spacing)
        return dataset
    dataset.PixelSpacing = spacing
    dataset.ImageOrientationPatient = [_rounded(v) for v in plane.orientation]
    dataset.ImagePositionPatient = [_rounded(v) for v in plane.position]
    dataset.SliceThickness = _rounded(gap)
    if kind == "MR":
        dataset.SpacingBetweenSlices = _rounded(gap)
    return dataset


def _rounded(value: float) -> Any:
    return decimal_string(round(value, 12))
