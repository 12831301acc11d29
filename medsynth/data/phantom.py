"""A procedural torso: CT in HU, a paired MR and a label map, a pure function of (seed, patient, scan).

It stands in for real scans where none may be had: in the demo, in tests, in a first
look at a new machine. No download, and nobody's anatomy.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.data.phantom_anatomy import Anatomy, Field, Points, deform, draw_anatomy, shapes
from medsynth.geometry import Geometry

PHANTOM_LABELS: Mapping[int, str] = MappingProxyType(
    {1: "body", 2: "lungs", 3: "liver", 4: "spine", 5: "heart", 6: "lesion"}
)
"""Values of the label map; 0 is background. "body" is all soft tissue without a label of its own."""

_VALUE = {name: value for value, name in PHANTOM_LABELS.items()}
_AIR_HU = -1000.0
_VERTEBRA_MM = 27.0


class PhantomScan(NamedTuple):
    """One scan of one patient.

    `ct` (I, J, K) float32 HU; `mr` float32 in arbitrary units, at least 0; `label` uint8
    as PHANTOM_LABELS; all on `geometry`. `attributes`: patient, scan, lesion ("none",
    "liver", "lung") and build ("slim", "medium", "broad").
    """

    ct: NDArray[np.float32]
    mr: NDArray[np.float32]
    label: NDArray[np.uint8]
    geometry: Geometry
    attributes: dict[str, str | int]


class Pose(NamedTuple):
    """How a patient lay in one scan: `rotation` (3, 3), `shift` in mm, `breath` -1 to 1."""

    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    breath: float


def make_scan(
    patient: int,
    scan: int,
    *,
    seed: int = 0,
    shape: tuple[int, int, int] = (64, 64, 48),
    spacing: tuple[float, float, float] = (6.0, 6.0, 8.0),
    direction: Any = None,
) -> PhantomScan:
    """Scan `scan` of patient `patient`: anatomy by patient; pose, breath, noise by scan.

    The torso is placed about the middle of the grid, so the anatomy is the same at any
    resolution. A field of 384 mm holds it whole in the axial plane; 32 x 32 x 24 voxels
    of 12 x 12 x 16 mm still show every organ.

    Args:
        patient: 0 or more.
        scan: 0 or more.
        seed: of the whole population.
        shape: voxels along each array axis.
        spacing: mm along each array axis.
        direction: (3, 3), column a the unit vector of array axis a in RAS; identity by default.
    """
    anatomy = draw_anatomy(np.random.default_rng((seed, 0, patient)))
    rng = np.random.default_rng((seed, 1, patient, scan))
    pose = draw_pose(rng)
    geometry = Geometry.centred(shape, spacing, direction)
    points = deform(_patient_points(geometry, pose), anatomy.waves)
    ct, mr, label = _paint(points, anatomy, pose.breath, geometry)
    ct += _noise(rng, geometry.shape) * np.float32(rng.uniform(9, 16))
    mr = _receive(mr, points, rng)
    attributes: dict[str, str | int] = {
        "patient": patient,
        "scan": scan,
        "lesion": anatomy.lesion,
        "build": anatomy.build,
    }
    return PhantomScan(ct, mr, label, geometry, attributes)


def draw_pose(rng: np.random.Generator) -> Pose:
    """A few degrees and mm about the straight position."""
    about_x, about_y, about_z = np.radians(rng.uniform((-2, -2, -4), (2, 2, 4)))
    return Pose(rotation(about_x, about_y, about_z), rng.uniform(-6, 6, 3), float(rng.uniform(-1, 1)))


def rotation(about_x: float, about_y: float, about_z: float = 0.0) -> NDArray[np.float64]:
    """(3, 3) rotation about x, then y, then z; radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([about_x, about_y, about_z]), np.sin([about_x, about_y, about_z])
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turn: NDArray[np.float64] = turn_z @ turn_y @ turn_x
    return turn


def _patient_points(geometry: Geometry, pose: Pose) -> Points:
    """Every voxel's place in the patient's own frame, mm."""
    matrix = (pose.rotation.T @ geometry.affine[:3, :3]).astype(np.float32)
    offset = (pose.rotation.T @ (geometry.affine[:3, 3] - pose.shift)).astype(np.float32)
    i, j, k = (np.arange(side, dtype=np.float32) for side in geometry.shape)
    axes = [
        row[0] * i[:, None, None] + row[1] * j[None, :, None] + row[2] * k[None, None, :] + start
        for row, start in zip(matrix, offset, strict=True)
    ]
    return Points(*axes)


def _paint(
    points: Points, anatomy: Anatomy, breath: float, geometry: Geometry
) -> tuple[Field, Field, NDArray[np.uint8]]:
    """Lay the shapes over each other; a voxel that a surface cuts takes part of each side."""
    ct = np.full(geometry.shape, _AIR_HU, dtype=np.float32)
    mr = np.zeros(geometry.shape, dtype=np.float32)
    label = np.zeros(geometry.shape, dtype=np.uint8)
    width = np.float32(np.mean(geometry.spacing))
    for name, distance in shapes(points, anatomy, breath).items():
        occupancy = np.clip(np.float32(0.5) - distance / width, 0, 1)
        tissue = {"body": "fat", "muscle": "body"}.get(name, name)
        texture = _texture(name, points, geometry)
        ct += occupancy * (np.float32(anatomy.hu[tissue]) + texture - ct)
        mr += occupancy * (np.float32(anatomy.mr[tissue]) - mr)
        label[occupancy > 0.5] = _VALUE.get(name, _VALUE["body"])
    return ct, mr, label


def _texture(name: str, points: Points, geometry: Geometry) -> Any:
    """HU inside an organ about its mean: dependent lung is denser, vertebrae and discs alternate."""
    if name == "lungs":
        return np.float32(-0.3) * points.y
    if name == "spine":
        thickness = float(np.abs(geometry.affine[2, :3]).max())
        return np.float32(70 * np.sinc(thickness / _VERTEBRA_MM)) * np.sin(
            points.z * np.float32(2 * np.pi / _VERTEBRA_MM)
        )
    return np.float32(0)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    """Gaussian noise of standard deviation 1, correlated over about a voxel as after reconstruction."""
    rough = rng.standard_normal(shape, dtype=np.float32)
    smooth: Field = ndimage.gaussian_filter(rough, 0.5, mode="wrap")
    return smooth / np.float32(max(float(smooth.std()), 1e-6))


def _receive(mr: Field, points: Points, rng: np.random.Generator) -> Field:
    """What a coil makes of it: a smooth bias field, Rician noise (Gudbjartsson & Patz 1995), a gain by scan."""
    slope = rng.uniform(-1, 1, 3).astype(np.float32) / np.float32(700)
    bowl = np.float32(rng.uniform(-0.25, 0.1) / 150**2)
    x, y, z = points
    bias = np.exp(slope[0] * x + slope[1] * y + slope[2] * z + bowl * (x * x + y * y))
    sigma, gain = np.float32(rng.uniform(10, 18)), np.float32(np.exp(rng.uniform(np.log(0.6), np.log(1.7))))
    real = mr * bias + sigma * rng.standard_normal(mr.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(mr.shape, dtype=np.float32)
    received: Field = gain * np.hypot(real, imaginary)
    return received
