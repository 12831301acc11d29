"""What a DICOM file holds, slice by slice: place, values, and what a scanner tells volumes apart by.

A classic file is one slice; an enhanced multi-frame file (PS3.3 A.36, A.38) has a functional group for each
frame; a mosaic of Siemens or United Imaging has all slices of a volume tiled in one frame.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medsynth.data.dicom_file import number, numbers
from medsynth.data.dicom_mosaic import is_mosaic, mosaic_tiles
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import DicomPlane


class Slice(NamedTuple):
    """One slice of a volume.

    Args:
        path: of its file.
        frame: its number in a multi-frame file, from 0; None for a file of one frame.
        tile: (first row, first column) in a mosaic, else None.
        plane: its place.
        rescale: slope and intercept, None where the file says none.
        stated: distance to the next slice by the header, in mm.
        number: place in the order of acquisition: Instance Number, or the frame's.
        marks: what the scanner says of it that may tell volumes apart, by name.
        unit: what the file calls the unit of its values, in capitals; "" where it says nothing.
    """

    path: Path
    frame: int | None
    tile: tuple[int, int] | None
    plane: DicomPlane
    rescale: tuple[float, float] | None
    stated: float | None
    number: int
    marks: Mapping[str, float | str]
    unit: str = ""


def slices_of(path: Path, header: Dataset) -> list[Slice]:
    """The slices of one file, from its header alone.

    Raises:
        GeometryError: a slice without its place.
        UnreadableError: functional groups that do not fit the frames, a mosaic of unknown layout.
    """
    if "PerFrameFunctionalGroupsSequence" in header:
        return _enhanced(path, header)
    if int(number(header, "NumberOfFrames") or 1) > 1:
        raise UnreadableError(
            "several frames without functional groups, so their places are unknown; convert them to single-frame files"
        )
    order = int(number(header, "InstanceNumber") or 0)
    if is_mosaic(header):
        return [
            Slice(
                path, None, tile.start, tile.plane, _rescale(header), tile.gap, order, _marks([header]), _unit([header])
            )
            for tile in mosaic_tiles(header)
        ]
    parts = [header]
    place, rescale, stated = _plane(parts, header), _rescale(header), _stated(parts)
    return [Slice(path, None, None, place, rescale, stated, order, _marks(parts), _unit(parts))]


def _enhanced(path: Path, header: Dataset) -> list[Slice]:
    frames = header.PerFrameFunctionalGroupsSequence
    if len(frames) != int(number(header, "NumberOfFrames") or 0):
        raise UnreadableError("functional groups do not fit the number of frames; export the series again")
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    common = _macros(shared[0])
    found = []
    for index, frame in enumerate(frames):
        parts = [*_macros(frame), *common, header]
        transform = next((part for part in parts if "RescaleSlope" in part), Dataset())
        place, rescale, stated = _plane(parts, header), _rescale(transform), _stated(parts)
        found.append(Slice(path, index, None, place, rescale, stated, index, _marks(parts), _unit(parts, rescale)))
    return found


def _macros(group: Dataset) -> list[Dataset]:
    """The items of a functional group's standard macros (PS3.3 C.7.6.16.2), private ones left out."""
    return [
        element.value[0] for element in group if element.VR == "SQ" and not element.tag.is_private and element.value
    ]


def _plane(parts: Sequence[Dataset], header: Dataset) -> DicomPlane:
    found = {}
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        found[keyword] = next((numbers(part, keyword) for part in parts if keyword in part), ())
        if not found[keyword]:
            raise GeometryError(f"a slice has no {keyword}, so its place is unknown; re-export the series")
    return DicomPlane(
        orientation=found["ImageOrientationPatient"],
        position=found["ImagePositionPatient"],
        pixel_spacing=found["PixelSpacing"],  # type: ignore[arg-type]  # DicomPlane checks the length
        rows=int(header.Rows),
        columns=int(header.Columns),
    )


def _rescale(part: Dataset) -> tuple[float, float] | None:
    slope, intercept = number(part, "RescaleSlope"), number(part, "RescaleIntercept")
    return None if slope is None or intercept is None else (slope, intercept)


def _unit(parts: Sequence[Dataset], rescale: tuple[float, float] | None = None) -> str:
    """Units of PET (PS3.3 C.8.9.1), the code of a real world mapping that is the rescale itself, or Rescale Type."""
    units = next((str(part.Units) for part in parts if part.get("Units")), "")
    for part in parts:  # PS3.3 C.7.6.16.2.11
        mapping = number(part, "RealWorldValueSlope"), number(part, "RealWorldValueIntercept")
        if not units and rescale is not None and mapping == rescale and part.get("MeasurementUnitsCodeSequence"):
            units = str(part.MeasurementUnitsCodeSequence[0].get("CodeValue", ""))
    return (units or next((str(part.RescaleType) for part in parts if part.get("RescaleType")), "")).upper()


def _stated(parts: Sequence[Dataset]) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        for part in parts:
            stated = abs(number(part, keyword) or 0.0)
            if np.isfinite(stated) and stated > 0:
                return stated
    return None


_MARKS = {
    "stack": ("StackID",),
    "echo": ("EchoNumbers", "EffectiveEchoTime", "EchoTime"),
    "image type": ("FrameType", "ImageType"),
    "component": ("ComplexImageComponent",),
    "b": ("DiffusionBValue",),
    "direction": ("DiffusionGradientOrientation",),
    "inversion": ("InversionTime",),
    "time": ("TemporalPositionIndex", "TemporalPositionIdentifier"),
    "cardiac phase": ("NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    "acquisition": ("AcquisitionNumber",),
}
_MARK_TAGS = {name: tuple(Tag(keyword) for keyword in keywords) for name, keywords in _MARKS.items()}
MARKS = tuple(_MARKS)
"""Names of marks, in the order in which they are tried."""
_GE_B, _GE_DIRECTIONS = (0x0043, 0x1039), ((0x0019, 0x10BB), (0x0019, 0x10BC), (0x0019, 0x10BD))
_PLAIN_PRIVATE = {  # b-value and direction by maker
    "SIEMENS": ((0x0019, 0x100C), (0x0019, 0x100E)),
    "UIH": ((0x0065, 0x1009), (0x0065, 0x1037)),
}


def _marks(parts: Sequence[Dataset]) -> dict[str, float | str]:
    marks: dict[str, float | str] = {}
    for name, tags in _MARK_TAGS.items():
        for tag in tags:
            value = next((part[tag].value for part in parts if tag in part), None)
            if value is not None and value != "":
                marks[name] = _plain(value)
                break
    marks |= {name: value for name, value in _private_marks(parts[-1]).items() if name not in marks}
    return marks


def _plain(value: Any) -> float | str:
    try:
        return round(float(value), 3)
    except (TypeError, ValueError):
        pass
    try:
        return " ".join(f"{float(part):.3f}" for part in value)
    except (TypeError, ValueError):
        return str(value)


def _private_marks(header: Dataset) -> dict[str, float | str]:
    """Diffusion as GE, Siemens and United Imaging write it beside the standard."""
    maker = str(header.get("Manufacturer", "")).upper()
    marks: dict[str, float | str] = {}
    try:
        if maker.startswith("GE") and _GE_B in header:
            marks["b"] = float(_values_of(header[_GE_B].value)[0]) % 1_000_000_000
            if all(tag in header for tag in _GE_DIRECTIONS):
                marks["direction"] = _plain([header[tag].value for tag in _GE_DIRECTIONS])
        for name, tags in _PLAIN_PRIVATE.items():
            there = [(mark, tag) for mark, tag in zip(("b", "direction"), tags, strict=True) if tag in header]
            if maker.startswith(name):
                marks |= {mark: _plain(header[tag].value) for mark, tag in there}
    except (TypeError, ValueError, IndexError):
        return {}
    return marks


def _values_of(value: Any) -> list[Any]:
    """A private element's values: numbers, or text with backslashes where its VR is not known."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.split("\\") if isinstance(value, str) else list(value) if hasattr(value, "__iter__") else [value]
