"""Faces in MR and CT of the head: whether one can be seen, where, and how to blank it.

A face can be drawn from a head's skin (Schwarz et al., N. Engl. J. Med. 381:1684, 2019). It lies in front of
and below the brain, so planes that touch the brain from there, a little way off, part the two: the idea of
Quickshear (Schimke and Hale, HealthSec 2011), which asks for a brain mask, as Bischoff-Grethe et al. (Hum. Brain
Mapp. 28:892, 2007) ask for an atlas. Blanked, not blurred as by Milchenko and Marcus (Neuroinformatics 11:65, 2013).

It fails closed: a head whose face cannot be placed is a finding.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.identity.heads import STEP_MM, Grid, Head, brains_of, has_skull, head_of, regrid, tissues, turned

REASONS = {
    "seen": "tissue lies where the face is",
    "unplaced": "a head in which brain and face cannot be told apart",
    "cut": "a head without its top: where the face is cannot be told",
    "turned": "a head that does not lie as the header says",
    "size": "lengths that no scan has",
}
"""Why a volume is said to show a face."""

LEAST_MM, _LARGEST_MM = 40.0, 3000.0
_ANGLES = (30.0, 42.0, 55.0)
"""Degrees below the brain's long axis in which the blanking planes look."""
_TEST_ANGLE = 45.0
_AWAY_MM = 8.0
_SLACK_MM = 8.0
_LEAST_ML = 8.0
_BARE_ML = 2400.0
"""More than any brain without its head."""
_SYMMETRY = 0.88
_MODALITIES = (None, "MR", "CT")
_VOXEL_ML = STEP_MM**3 / 1000


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face that can, or may, be seen.

    Args:
        why: one of REASONS.
        millilitres: of tissue in front of the test plane, for "seen".
        planes: (normal x, y, z in RAS, offset in mm): a point p is of the face where normal . p > offset for one of
            them. Empty where the face could not be placed.
    """

    why: str
    millilitres: float = 0.0
    planes: tuple[tuple[float, float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.why not in REASONS:
            raise ValueError(f"there is no reason {self.why}")


def find_face(array: NDArray[Any], geometry: Geometry, modality: str | None = None) -> Face | None:
    """Find the face of a head.

    Args:
        array: (X, Y, Z) of real numbers, in any orientation and spacing; HU or arbitrary.
        geometry: its place; lengths and directions are believed as far as the picture agrees.
        modality: "MR", "CT" or None (not known). In others no face is looked for.

    Returns:
        None where no face is to be seen: no head, one without its skin, one whose face is blanked or outside of the
        picture, less than 40 mm of something.

    Raises:
        ValueError: the array is not of the geometry's shape, or not of real numbers.
    """
    _require(array, geometry)
    if modality not in _MODALITIES or array.ndim != 3:
        return None
    extent = np.array(geometry.shape) * np.array(geometry.spacing)
    if extent.max() > _LARGEST_MM:
        return Face(why="size")
    if extent.min() < LEAST_MM:
        return None
    grid = regrid(array, geometry, modality)
    masks = tissues(grid)
    bare = False
    for tissue in masks:
        head = head_of(grid, tissue)
        if head is not None and has_skull(grid, head):
            return _face_of(grid, head)
        bare |= head is not None and head.closed and _filled_ml(tissue) > _BARE_ML
    if bare:
        return Face(why="unplaced")
    return Face(why="turned") if any(_lies_otherwise(grid, tissue) for tissue in masks) else None


def blank_face(array: NDArray[Any], geometry: Geometry, face: Face) -> NDArray[Any]:
    """Give everything in front of and below the brain the volume's lowest value.

    Args:
        array: (X, Y, Z), as it was given to `find_face`.
        geometry: its place.
        face: what `find_face` said.

    Returns:
        A new array of the same type; outside of the face's planes it is the same to the bit.

    Raises:
        MedsynthError: the face was not placed, or is found again afterwards.
        ValueError: as `find_face`.
    """
    _require(array, geometry)
    if not face.planes:
        raise MedsynthError(f"the face cannot be blanked: {REASONS[face.why]}; exclude the scan")
    blanked = np.array(array)
    blanked[face_region(geometry, face)] = array.min()
    if find_face(blanked, geometry) is not None:
        raise MedsynthError("the face is still found after it was blanked; exclude the scan")
    return blanked


def _require(array: NDArray[Any], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        raise ValueError(f"an array of shape {array.shape} is not on a grid of shape {geometry.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"voxels of type {array.dtype} are no real numbers")


def _filled_ml(tissue: NDArray[np.bool_]) -> float:
    """Volume of a thing, with what it encloses in each axial slice."""
    return float(sum(ndimage.binary_fill_holes(tissue[:, :, k]).sum() for k in range(tissue.shape[2])) * _VOXEL_ML)


def _lies_otherwise(grid: Grid, tissue: NDArray[np.bool_]) -> bool:
    """Whether a whole head shows when another side is taken for up."""
    for axis, sign in ((2, -1), (1, 1), (1, -1), (0, 1), (0, -1)):
        other, mask = turned(grid, tissue, axis, sign)
        head = head_of(other, mask)
        if head is not None and head.closed and head.whole and has_skull(other, head):
            return True
    return False


def _face_of(grid: Grid, head: Head) -> Face | None:
    """The face of what is a head, by its brain; unless it is seen to be away."""
    if not head.closed:
        return Face(why="cut")
    why = "unplaced"
    for brain in brains_of(grid, head):
        points: NDArray[np.float64] = np.argwhere(brain) * np.float64(STEP_MM)
        axes = _axes(points - points.mean(0))
        if axes is not None and _mirrored(brain, points, axes[0]) > _SYMMETRY:
            return _before(grid, head, points, axes)
        why = "turned"
    return Face(why=why)


def _before(
    grid: Grid,
    head: Head,
    points: NDArray[np.float64],
    axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> Face | None:
    """The face in front of the brain that these points (N, 3), in mm of the grid, are."""
    _, along, up = axes
    planes = []
    for degrees in (*_ANGLES, _TEST_ANGLE):
        normal = np.cos(np.radians(degrees)) * along - np.sin(np.radians(degrees)) * up
        planes.append((normal, float((points @ normal).max()) + _AWAY_MM))
    normal, offset = planes.pop()
    in_front = (np.argwhere(head.tissue) * STEP_MM) @ normal > offset + _SLACK_MM
    millilitres = float(in_front.sum() * _VOXEL_ML)
    if millilitres < _LEAST_ML * head.scale**3:
        return None
    placed = tuple(
        (float(normal[0]), float(normal[1]), float(normal[2]), float(offset + normal @ grid.origin))
        for normal, offset in planes
    )
    return Face(why="seen", millilitres=millilitres, planes=placed)


def _axes(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """The brain's own right, front (its longest axis) and up; None where front is not within 60 degrees of +y."""
    along = np.linalg.eigh(np.cov(points.T))[1][:, 2]
    along = along * np.sign(along[1] or 1)
    if along[1] < 0.5:
        return None
    right = np.array([1.0, 0.0, 0.0]) - along * along[0]
    right /= np.linalg.norm(right)
    return right, along, np.cross(right, along)


def _mirrored(brain: NDArray[np.bool_], points: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Share of the brain that is brain again on the other side of its middle plane."""
    across = (points - points.mean(0)) @ right
    mirror = np.rint((points - 2 * np.outer(across, right)) / STEP_MM).astype(int)
    inside = ((mirror >= 0) & (mirror < brain.shape)).all(1)
    return float(brain[tuple(mirror[inside].T)].sum() / len(points))


def face_region(geometry: Geometry, face: Face) -> NDArray[np.bool_]:
    """The voxels that `blank_face` blanks, (X, Y, Z)."""
    found = np.zeros(geometry.shape, dtype=bool)
    for *normal, offset in face.planes:
        steps = np.array(normal) @ geometry.affine[:3, :3]
        sides = [
            (steps[k] * np.arange(geometry.shape[k])).reshape([-1 if k == j else 1 for j in range(3)]) for k in range(3)
        ]
        found |= sides[0] + sides[1] + sides[2] > offset - np.array(normal) @ geometry.affine[:3, 3]
    return found
