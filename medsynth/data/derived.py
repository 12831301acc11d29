"""Attributes that a case's geometry tells: its voxel size, and where in the volume a slice lies."""

from medsynth.data.resampling import Resampling
from medsynth.records import Attribute, CaseRecord

SPACING = ("spacing_x", "spacing_y", "spacing_z")
"""Native voxel size in mm along the axes nearest to right-left, back-front and feet-head."""
SLICE_POSITION = "slice_position"
"""0 to 1, along the normal of the plane, of the slices that are cut from a volume."""
DERIVED = (*SPACING, SLICE_POSITION)
_AXIS_OF = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


def attributes_of(record: CaseRecord, resampling: Resampling, part: int = 0, parts: int = 1) -> dict[str, Attribute]:
    """A case's attributes, and those that its geometry tells; an attribute of the same name goes first.

    Args:
        record: the case.
        resampling: whether, and which, slices are cut.
        part: number of the slice.
        parts: number of slices in the case.
    """
    geometry = record.geometry
    told: dict[str, Attribute] = {}
    for code, size in zip(geometry.axcodes, geometry.spacing, strict=False):
        told[SPACING[_AXIS_OF[code]]] = float(size)
    slices = resampling.slices
    if slices is not None:
        told[SLICE_POSITION] = slices.low + (slices.high - slices.low) * (part + 0.5) / parts
    said = {name: value for name, value in record.attributes.items() if value is not None or name not in told}
    return {**told, **said}
