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
_COSINE_TOLERANCE = 1e-3
"""Largest difference of direction cosines that rounding in a header explains: 0.06 degrees."""


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

    @property
    def nearest_direction(self) -> NDArray[np.float64]:
        """`direction` with each axis turned to the anatomical axis that `axcodes` names."""
        matrix = np.zeros((3, 3))
        for array_axis, (axis, sign) in enumerate(nib.orientations.io_orientation(self.affine)):
            matrix[int(axis), array_axis] = sign
        return matrix

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
    def centred(
        cls, shape: Sequence[int], spacing: Sequence[float], direction: Any = None, centre: Any = None
    ) -> "Geometry":
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
    """Place of one DICOM slice: PS3.3 C.7.6.2 Image Plane Module, in LPS mm. Valid once constructed.

    Args:
        orientation: Image Orientation (Patient), 6 direction cosines: of a row, then of a column.
        position: Image Position (Patient), the centre of the first pixel.
        pixel_spacing: Pixel Spacing: between rows, then between columns.
        rows: pixels along a column.
        columns: pixels along a row.

    Raises:
        GeometryError: numbers are missing or not finite, sizes are not positive, or the
            cosines are not those of two perpendicular unit vectors (within 1e-3).
    """

    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        for values, count in ((self.orientation, 6), (self.position, 3), (self.pixel_spacing, 2)):
            if len(values) != count or not np.isfinite(np.array(values, dtype=np.float64)).all():
                raise GeometryError(
                    "a slice's orientation, position or pixel spacing is incomplete; re-export the series"
                )
        if min(self.pixel_spacing) <= 0 or min(self.rows, self.columns) < 1:
            raise GeometryError("a slice's pixel spacing or size is not positive; re-export the series")
        row, column = self.row_direction, self.column_direction
        lengths = (np.linalg.norm(row), np.linalg.norm(column))
        if abs(row @ column) > _COSINE_TOLERANCE or max(abs(length - 1) for length in lengths) > _COSINE_TOLERANCE:
            raise GeometryError("a slice's direction cosines are not perpendicular unit vectors; re-export the series")

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


def stack_slices(planes: Sequence[DicomPlane], *, tolerance_mm: float = 0.05, single_slice_mm: float = 1.0) -> Stack:
    """Order DICOM slices by position and give the volume's geometry, or refuse with numbers.

    The array is indexed (column, row, slice). Slices are ordered along the plane's
    normal (row direction x column direction), never by file order or Instance Number,
    so array axes are right-handed in LPS. The spacing between slices is the mean
    distance of their positions. Axes come out perpendicular: what rounding in the
    header bends (at most `tolerance_mm` a slice) is straightened about the middle.

    Args:
        planes: one a slice; at least one.
        tolerance_mm: how far, plus 0.1 % of the gap, a gap may differ from the others and a slice
            may lie off the straight stack.
        single_slice_mm: slice spacing of a volume of one slice, whose position cannot tell it.

    Raises:
        GeometryError: mixed orientation, size or pixel spacing; duplicate, missing or
            uneven slices; slices shifted sideways; gantry tilt.
    """
    if not planes:
        raise GeometryError("a series without slices; exclude the case")
    _require_one_grid(planes)
    first = planes[0]
    row, column, normal = _axes(planes)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    step = single_slice_mm
    if len(planes) > 1:
        step = _slice_gap(positions @ normal, tolerance_mm)
        _require_straight_stack(positions, normal, tolerance_mm + 1e-3 * step)
    affine = np.eye(4)
    affine[:3, 0] = row * first.pixel_spacing[1]  # PS3.3 10.7.1.3: Pixel Spacing is between rows, then between columns
    affine[:3, 1] = column * first.pixel_spacing[0]
    affine[:3, 2] = normal * step
    affine[:3, 3] = positions.mean(axis=0) - affine[:3, 2] * (len(planes) - 1) / 2
    shape = (first.columns, first.rows, len(planes))
    return Stack(tuple(int(i) for i in order), Geometry(shape, LPS_TO_RAS @ affine))


def _require_one_grid(planes: Sequence[DicomPlane]) -> None:
    """Refuse slices that do not share size, pixel spacing and orientation."""
    first = planes[0]
    for plane in planes:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise GeometryError(
                f"slices of {first.rows}x{first.columns} and {plane.rows}x{plane.columns} pixels in one series; "
                "split the series by matrix size"
            )
        if np.abs(np.subtract(plane.orientation, first.orientation)).max() > _COSINE_TOLERANCE:
            turned = _degrees(first.row_direction @ plane.row_direction)
            turned = max(turned, _degrees(first.column_direction @ plane.column_direction))
            raise GeometryError(
                f"mixed orientation: slices differ by {turned:.1f} degrees in one series; "
                "split the series by orientation"
            )
        if not np.allclose(plane.pixel_spacing, first.pixel_spacing, rtol=1e-4, atol=0):
            raise GeometryError(
                f"mixed pixel spacing: {first.pixel_spacing[0]:.4f}x{first.pixel_spacing[1]:.4f} and "
                f"{plane.pixel_spacing[0]:.4f}x{plane.pixel_spacing[1]:.4f} mm in one series; "
                "split the series by pixel spacing"
            )


def _axes(planes: Sequence[DicomPlane]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean row and column direction made exactly perpendicular, and their normal, in LPS."""
    mean = np.mean([plane.orientation for plane in planes], axis=0)
    # Polar decomposition: the nearest perpendicular pair, no axis favoured.
    left, _, right = np.linalg.svd(np.stack([mean[:3], mean[3:]], axis=1), full_matrices=False)
    row, column = (left @ right).T
    return row, column, np.cross(row, column)


def _slice_gap(along: NDArray[np.float64], tolerance: float) -> float:
    """Mean distance between neighbours in mm; `along` ascending, at least two of them."""
    gaps = np.diff(along)
    if gaps.min() < 1e-3:
        raise GeometryError(
            f"duplicate slices: {len(along)} slices at {1 + int((gaps >= 1e-3).sum())} positions; "
            "split the series (echo, time, phase), remove copies, or exclude the case"
        )
    typical = float(np.median(gaps))
    if (np.abs(gaps - typical) <= tolerance + 1e-3 * typical).all():
        return float(along[-1] - along[0]) / len(gaps)
    multiples = gaps / gaps.min()
    if (np.abs(multiples - multiples.round()) < 0.05).all():
        where = int(np.argmax(multiples > 1.5))
        raise GeometryError(
            f"missing slices: {int(multiples.round().sum()) - len(gaps)}, the first after slice {where}: "
            f"slice gap {gaps[where]:.2f} mm, expected {gaps.min():.2f}; re-export the series or exclude the case"
        )
    where = int(np.argmax(np.abs(gaps - typical)))
    raise GeometryError(
        f"uneven slices: slice gap {gaps[where]:.2f} mm after slice {where}, expected {typical:.2f} "
        f"(gaps from {gaps.min():.2f} to {gaps.max():.2f}); re-export the series or exclude the case"
    )


def _require_straight_stack(positions: NDArray[np.float64], normal: NDArray[np.float64], tolerance: float) -> None:
    """Refuse slices that do not lie one behind the other along the normal; `positions` in order."""
    along = (positions - positions.mean(axis=0)) @ normal
    sideways = positions - positions.mean(axis=0) - np.outer(along, normal)
    drift = (along @ sideways) / (along @ along)
    bent = np.linalg.norm(sideways - np.outer(along, drift), axis=1)
    if bent.max() > tolerance:
        raise GeometryError(
            f"shifted slices: slice {int(bent.argmax())} lies {bent.max():.2f} mm sideways of the stack; "
            "re-export the series or exclude the case"
        )
    if np.linalg.norm(sideways, axis=1).max() > tolerance:
        tilt = np.degrees(np.arctan(np.linalg.norm(drift)))
        raise GeometryError(
            f"gantry tilt: the slices are sheared by {tilt:.2f} degrees against their normal; "
            "resample the series to a straight grid or exclude the case"
        )
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > 2 * tolerance:
        where = int(np.abs(along - even).argmax())
        raise GeometryError(
            f"uneven slices: slice {where} lies {abs(along - even)[where]:.2f} mm from where even slices would "
            "put it; re-export the series or exclude the case"
        )


def _degrees(cosine: Any) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def require_straight(geometry: Geometry) -> None:
    """Refuse a grid whose axes are not perpendicular (within 1e-3), which neither DICOM nor ITK can say.

    Raises:
        GeometryError: with the angle by which the axes are sheared.
    """
    axes = geometry.direction
    shear = np.abs(axes.T @ axes - np.eye(3)).max()
    if shear > _COSINE_TOLERANCE:
        raise GeometryError(
            f"the volume's axes are sheared by {np.degrees(np.arcsin(min(shear, 1))):.2f} degrees; "
            "resample it to a straight grid or exclude the case"
        )


def dicom_planes(geometry: Geometry) -> list[DicomPlane]:
    """The DICOM slices of a volume indexed (column, row, slice), in array order.

    An array whose axes are left-handed in LPS gives slices that run against their
    normal: `stack_slices` puts them back in the opposite order, at the same place.

    Raises:
        GeometryError: the array axes are not perpendicular.
    """
    require_straight(geometry)
    affine = LPS_TO_RAS @ geometry.affine
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / steps
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
