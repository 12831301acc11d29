"""Shape and place of an image, and its place as ITK says it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medsynth.errors import GeometryError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: also takes RAS to LPS."""
COSINE_TOLERANCE = 1e-3
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

    @property
    def as_volume(self) -> "Geometry":
        """The same place with a third side of one voxel where this is a plane: how viewers read a slice."""
        return Geometry((*self.shape, 1), self.affine) if self.rank == 2 else self

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


def require_straight(geometry: Geometry) -> None:
    """Refuse a grid whose axes are not perpendicular (within 1e-3), which neither DICOM nor ITK can say.

    Raises:
        GeometryError: with the angle by which the axes are sheared.
    """
    axes = geometry.direction
    shear = np.abs(axes.T @ axes - np.eye(3)).max()
    if shear > COSINE_TOLERANCE:
        raise GeometryError(
            f"the volume's axes are sheared by {np.degrees(np.arcsin(min(shear, 1))):.2f} degrees; "
            "resample it to a straight grid or exclude the case"
        )
