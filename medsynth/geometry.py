"""Where voxels lie in space: the only module that knows LPS and DICOM orientation.

Inside medsynth an array is indexed (i, j) or (i, j, k) and a 4x4 affine takes the
index to millimetres in RAS+ (+x to the patient's right, +y to the front, +z to the
head), as nibabel does. DICOM and ITK use LPS: the first two axes change sign.
A 2D image has two indices and the same 4x4 affine, with k = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medsynth.errors import GeometryError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: also takes RAS to LPS."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape and place of an image: valid once constructed.

    Args:
        shape: number of voxels along each array axis, 2 or 3 of them.
        affine: (4, 4), index to RAS mm; finite and invertible.

    Raises:
        GeometryError: a side below 1, an affine that is not finite or is singular.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(side) for side in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise GeometryError(f"shape {shape} is not that of an image or a volume (2 or 3 sides of at least 1)")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("the affine is not a 4x4 matrix of finite numbers; write the header anew")
        if not np.allclose(affine[3], (0, 0, 0, 1)):
            raise GeometryError("the affine's last row is not 0 0 0 1; write the header anew")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise GeometryError("the affine is singular: two voxels would share one place; write the header anew")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def rank(self) -> int:
        """2 for an image, 3 for a volume."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm along each array axis."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0)[: self.rank])

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3): column a is the unit vector of array axis a in RAS."""
        matrix: NDArray[np.float64] = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return matrix

    @property
    def centre(self) -> NDArray[np.float64]:
        """The middle of the image in RAS mm."""
        middle = np.zeros(4)
        middle[: self.rank] = (np.array(self.shape) - 1) / 2
        middle[3] = 1
        point: NDArray[np.float64] = (self.affine @ middle)[:3]
        return point

    @property
    def axcodes(self) -> str:
        """Nearest anatomical direction of each array axis, "RAS" or "LPS" for instance."""
        return "".join(nib.orientations.aff2axcodes(self.affine))[: self.rank]

    def is_close(self, other: "Geometry", tolerance_mm: float = 1e-4) -> bool:
        """Whether both have one shape and every corner within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self._corners() - other._corners()).max() <= tolerance_mm)

    def _corners(self) -> NDArray[np.float64]:
        sides = [(0, side - 1) for side in self.shape] + [(0,)] * (3 - self.rank)
        corners = np.stack([axis.ravel() for axis in np.meshgrid(*sides, indexing="ij")])
        places: NDArray[np.float64] = self.affine[:3, :3] @ corners + self.affine[:3, 3:]
        return places

    @classmethod
    def centred(cls, shape: Sequence[int], spacing: Sequence[float], direction: Any = None, centre: Any = None) -> "Geometry":
        """A grid of `shape` and `spacing` (mm) whose middle lies at `centre` (RAS mm, default 0).

        `direction` is (3, 3) with unit columns; by default the array axes are those of RAS.
        """
        rank = len(shape)
        steps = np.ones(3)
        steps[:rank] = spacing
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if direction is None else np.asarray(direction)) * steps
        middle = np.zeros(3)
        middle[:rank] = (np.array(shape) - 1) / 2
        affine[:3, 3] = (np.zeros(3) if centre is None else np.asarray(centre)) - affine[:3, :3] @ middle
        return cls(tuple(shape), affine)

    @classmethod
    def image_plane(cls, shape: Sequence[int], spacing: Sequence[float] = (1.0, 1.0)) -> "Geometry":
        """A plain picture: columns run to LPS +x, rows to LPS +y, as ITK places a PNG."""
        return cls.from_lps(shape, (0.0, 0.0, 0.0), (*spacing, 1.0), np.eye(3))

    @classmethod
    def from_lps(cls, shape: Sequence[int], origin: Any, spacing: Any, direction: Any) -> "Geometry":
        """From ITK's description: origin and spacing in mm, direction (3, 3), all in LPS."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(direction, dtype=np.float64).reshape(3, 3) * np.asarray(spacing, dtype=np.float64)
        affine[:3, 3] = origin
        return cls(tuple(shape), LPS_TO_RAS @ affine)

    def to_lps(self) -> "LpsPlace":
        """ITK's description of this place."""
        affine = LPS_TO_RAS @ self.affine
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        return LpsPlace(affine[:3, 3], steps, affine[:3, :3] / steps)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON types; exact in float64."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Geometry":
        """Read back `to_record`; unknown fields are refused."""
        if set(record) != {"shape", "affine"}:
            raise GeometryError("a geometry record has exactly the fields shape and affine")
        return cls(tuple(record["shape"]), np.array(record["affine"], dtype=np.float64))


@dataclass(frozen=True)
class LpsPlace:
    """Origin and spacing in mm, direction (3, 3) with unit columns, in LPS."""

    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]
    direction: NDArray[np.float64]


@dataclass(frozen=True)
class DicomPlane:
    """Place of one DICOM slice: PS3.3 C.7.6.2 Image Plane Module, in LPS mm."""

    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int

    @property
    def row_direction(self) -> NDArray[np.float64]:
        """Unit vector along which the column index grows."""
        return np.array(self.orientation[:3], dtype=np.float64)

    @property
    def column_direction(self) -> NDArray[np.float64]:
        """Unit vector along which the row index grows."""
        return np.array(self.orientation[3:], dtype=np.float64)


@dataclass(frozen=True)
class Stack:
    """Slices in their order along the normal, and the volume's geometry."""

    order: tuple[int, ...]
    geometry: Geometry


def stack_slices(planes: Sequence[DicomPlane], *, gap_tolerance_mm: float = 0.05, angle_tolerance: float = 1e-3) -> Stack:
    """Order DICOM slices by position and give the volume's geometry, or refuse with numbers.

    The array is indexed (column, row, slice). Slices are ordered along the plane's
    normal (row direction x column direction), never by file order or Instance Number.
    The spacing between slices is the mean distance of their positions.

    Args:
        planes: one a slice; at least one. A single slice is a volume one voxel thick
            whose slice spacing is taken as 1 mm.
        gap_tolerance_mm: largest difference between two gaps that still counts as even.
        angle_tolerance: largest difference of direction cosines inside one series.

    Raises:
        GeometryError: mixed orientation or size, directions that are not perpendicular,
            duplicate positions, missing or uneven slices, gantry tilt.
    """
    first = planes[0]
    row, column = first.row_direction, first.column_direction
    if abs(row @ column) > angle_tolerance or abs(np.linalg.norm(row) - 1) > angle_tolerance:
        raise GeometryError("the direction cosines of the slices are not perpendicular unit vectors; re-export the series")
    for plane in planes:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise GeometryError(
                f"slices of {first.rows}x{first.columns} and {plane.rows}x{plane.columns} pixels in one series; "
                "split the series by matrix size"
            )
        if not np.allclose(plane.orientation, first.orientation, atol=angle_tolerance):
            off = np.degrees(np.arccos(np.clip(row @ plane.row_direction, -1, 1)))
            off = max(off, np.degrees(np.arccos(np.clip(column @ plane.column_direction, -1, 1))))
            raise GeometryError(
                f"mixed orientation: slices differ by {off:.1f} degrees in one series; split the series by orientation"
            )
        if not np.allclose(plane.pixel_spacing, first.pixel_spacing, rtol=1e-3):
            raise GeometryError("slices of different pixel spacing in one series; split the series")
    normal = np.cross(row, column)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    step = _slice_step(positions[order], along[order], normal, gap_tolerance_mm)
    affine = np.eye(4)
    affine[:3, 0] = row * first.pixel_spacing[1]  # PS3.3 C.7.6.3.1.1: Pixel Spacing is row spacing, column spacing
    affine[:3, 1] = column * first.pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    shape = (first.columns, first.rows, len(planes))
    return Stack(tuple(int(i) for i in order), Geometry(shape, LPS_TO_RAS @ affine))


def _slice_step(positions: Any, along: Any, normal: Any, tolerance: float) -> NDArray[np.float64]:
    """The vector from one slice to the next, in LPS mm; `positions` in order."""
    if len(positions) == 1:
        one: NDArray[np.float64] = normal
        return one
    gaps = np.diff(along)
    typical = float(np.median(gaps))
    if gaps.min() < 1e-3:
        where = int(np.argmin(gaps))
        raise GeometryError(
            f"duplicate slices: slices {where} and {where + 1} lie {gaps.min():.3f} mm apart; "
            "split the series (echo, time, phase) or exclude the case"
        )
    uneven = np.abs(gaps - typical) > tolerance + 1e-3 * typical
    if uneven.any():
        where = int(np.argmax(np.abs(gaps - typical)))
        ratio = gaps[where] / typical
        whole = round(ratio) >= 2 and abs(ratio - round(ratio)) < 0.05
        kind = f"missing slices: {round(ratio) - 1} after slice {where}" if whole else "uneven slices"
        raise GeometryError(
            f"{kind}: slice gap {gaps[where]:.2f} mm after slice {where}, expected {typical:.2f}; "
            "re-export the series or exclude the case"
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    tilt = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1)))
    if tilt > 0.1:
        raise GeometryError(
            f"gantry tilt: the slices are sheared by {tilt:.1f} degrees against their normal; "
            "resample the series to a straight grid or exclude the case"
        )
    return step


def dicom_planes(geometry: Geometry) -> list[DicomPlane]:
    """The DICOM slices of a volume indexed (column, row, slice), in array order.

    Raises:
        GeometryError: the array axes are not perpendicular, which no DICOM plane can say.
    """
    affine = LPS_TO_RAS @ geometry.affine
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / steps
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise GeometryError("the volume's axes are not perpendicular; resample it to a straight grid")
    columns, rows = geometry.shape[:2]
    count = geometry.shape[2] if geometry.rank == 3 else 1
    return [
        DicomPlane(
            orientation=tuple(float(v) for v in (*axes[:, 0], *axes[:, 1])),
            position=tuple(float(v) for v in affine[:3, 3] + k * affine[:3, 2]),
            pixel_spacing=(float(steps[1]), float(steps[0])),
            rows=rows,
            columns=columns,
        )
        for k in range(count)
    ]
