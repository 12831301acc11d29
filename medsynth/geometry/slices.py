"""A volume's DICOM slices: put in order, or refused with the reason; and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import GeometryError
from medsynth.geometry.place import COSINE_TOLERANCE, LPS_TO_RAS, Geometry, require_straight


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
        if abs(row @ column) > COSINE_TOLERANCE or max(abs(length - 1) for length in lengths) > COSINE_TOLERANCE:
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
    """Slices in their order along the normal, and the volume's geometry.

    `drift` is how far a tilted stack leans: mm along the rows and along the columns for each mm along the normal.
    Its slices then lie off `geometry` by that, and `medsynth.data.tilt.straightened` brings them onto it.
    """

    order: tuple[int, ...]
    geometry: Geometry
    drift: tuple[float, float] = (0.0, 0.0)


def stack_slices(
    planes: Sequence[DicomPlane],
    *,
    tolerance_mm: float = 0.05,
    single_slice_mm: float = 1.0,
    tilted: bool = False,
) -> Stack:
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
        tilted: whether a stack that leans evenly (gantry tilt) is taken, with its drift.

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
    step, lean = single_slice_mm, np.zeros(3)
    if len(planes) > 1:
        try:
            step = _slice_gap(positions @ normal, tolerance_mm)
        except GeometryError as error:  # a reader who mends the one would only meet the other then
            sheared, tilt = _sheared(positions, normal, tolerance_mm)
            if not tilt or _bent(positions, normal, sheared).max() > tolerance_mm:
                raise
            raise GeometryError(f"{error}; gantry tilt of {tilt:.2f} degrees besides") from None
        lean = _lean(positions, normal, tolerance_mm + 1e-3 * step, tilted=tilted)
    affine = np.eye(4)
    affine[:3, 0] = row * first.pixel_spacing[1]  # PS3.3 10.7.1.3: Pixel Spacing is between rows, then between columns
    affine[:3, 1] = column * first.pixel_spacing[0]
    affine[:3, 2] = normal * step
    affine[:3, 3] = positions.mean(axis=0) - affine[:3, 2] * (len(planes) - 1) / 2
    shape = (first.columns, first.rows, len(planes))
    drift = (float(lean @ row), float(lean @ column))
    return Stack(tuple(int(i) for i in order), Geometry(shape, LPS_TO_RAS @ affine), drift)


def _require_one_grid(planes: Sequence[DicomPlane]) -> None:
    """Refuse slices that do not share size, pixel spacing and orientation."""
    first = planes[0]
    for plane in planes:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise GeometryError(
                f"slices of {first.rows}x{first.columns} and {plane.rows}x{plane.columns} pixels in one series; "
                "split the series by matrix size"
            )
        if np.abs(np.subtract(plane.orientation, first.orientation)).max() > COSINE_TOLERANCE:
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
            f"missing slices: {int(multiples.round().sum()) - len(gaps)}, the first after {_spoken(where)}: "
            f"slice gap {gaps[where]:.2f} mm, expected {gaps.min():.2f}; re-export the series or exclude the case"
        )
    where = int(np.argmax(np.abs(gaps - typical)))
    raise GeometryError(
        f"uneven slices: slice gap {gaps[where]:.2f} mm after {_spoken(where)}, expected {typical:.2f} "
        f"(gaps from {gaps.min():.2f} to {gaps.max():.2f}); re-export the series or exclude the case"
    )


def _lean(
    positions: NDArray[np.float64], normal: NDArray[np.float64], tolerance: float, *, tilted: bool
) -> NDArray[np.float64]:
    """Mm sideways for each mm along the normal, 0 for a stack that is straight; `positions` in order.

    Slices that do not lie one behind the other along the normal are refused, unless all lean alike and may.
    """
    along, _ = _apart(positions, normal)
    drift, tilt = _sheared(positions, normal, tolerance)
    bent = _bent(positions, normal, drift)
    if bent.max() > tolerance:
        raise GeometryError(
            f"shifted slices: {_spoken(int(bent.argmax()))} lies {bent.max():.2f} mm sideways of the stack; "
            "re-export the series or exclude the case"
        )
    if tilt and not tilted:
        raise GeometryError(
            f"gantry tilt: the slices are sheared by {tilt:.2f} degrees against their normal; "
            "set tilt=resample to bring the series onto a straight grid, or exclude the case"
        )
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > 2 * tolerance:
        where = int(np.abs(along - even).argmax())
        raise GeometryError(
            f"uneven slices: {_spoken(where)} lies {abs(along - even)[where]:.2f} mm from where even slices would "
            "put it; re-export the series or exclude the case"
        )
    return drift


def _apart(
    positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From the middle of the slices, along the normal (N,) and across it (N, 3)."""
    away = positions - positions.mean(axis=0)
    along = away @ normal
    return along, away - np.outer(along, normal)


def _bent(
    positions: NDArray[np.float64], normal: NDArray[np.float64], drift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mm that each slice lies off a stack that leans by `drift`."""
    along, sideways = _apart(positions, normal)
    off: NDArray[np.float64] = np.linalg.norm(sideways - np.outer(along, drift), axis=1)
    return off


def _sheared(
    positions: NDArray[np.float64], normal: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.float64], float]:
    """Mm across for each mm along the normal, and the angle in degrees, 0 where no slice is off by `tolerance`."""
    along, sideways = _apart(positions, normal)
    if not along.any() or np.linalg.norm(sideways, axis=1).max() <= tolerance:
        return np.zeros(3), 0.0
    drift = (along @ sideways) / (along @ along)
    return drift, float(np.degrees(np.arctan(np.linalg.norm(drift))))


def _spoken(index: int) -> str:
    """A slice as viewers number them."""
    return f"slice {index + 1} (counted from 1)"


def _degrees(cosine: Any) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


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
