"""Shapes of the procedural torso: what varies between patients, and the implicit surfaces drawn from it.

Points are millimetres in RAS+ from the torso's centre (+x right, +y front, +z head).
A shape is a signed distance in mm, negative inside and first-order right near the
surface: intersection is the larger of two, subtraction the larger of one and the
other's negative.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

LesionSite = Literal["none", "liver", "lung"]


class Points(NamedTuple):
    """Coordinates in mm, three arrays of one shape."""

    x: Field
    y: Field
    z: Field


class Anatomy(NamedTuple):
    """What makes a patient: lengths in mm, `hu` and `mr` the tissues' mean values.

    `waves` is (3, 3, 5): for each axis three plane waves of amplitude, phase and wave
    vector (radians a mm), the low-frequency deformation of the whole torso.
    """

    width: float
    depth: float
    fat: float
    waist: float
    diaphragm: float
    lung_height: float
    lung_left: float
    heart: tuple[float, float, float]
    heart_shift: float
    liver: tuple[float, float, float]
    liver_slope: float
    spine_radius: float
    spine_curve: float
    spleen: float
    lesion: LesionSite
    lesion_radius: float
    lesion_place: tuple[float, float, float]
    waves: NDArray[np.float64]
    hu: Mapping[str, float]
    mr: Mapping[str, float]

    @property
    def build(self) -> str:
        """By the width of the chest: "slim", "medium" or "broad"."""
        return "slim" if self.width < 142 else "medium" if self.width < 155 else "broad"


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One patient; ranges are those of adults, cut so that the torso fits a 384 mm field."""

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    size = between(0.93, 1.06)
    waves = np.empty((3, 3, 5))
    waves[..., 0] = rng.uniform(0.5, 2.2, (3, 3))
    waves[..., 1] = rng.uniform(0, 2 * np.pi, (3, 3))
    waves[..., 2:] = rng.normal(0, 2 * np.pi / 260, (3, 3, 3))
    site: LesionSite = ("none", "none", "none", "liver", "lung")[int(rng.integers(5))]
    return Anatomy(
        width=148 * size + between(-8, 10),
        depth=104 * size + between(-7, 8),
        fat=between(8, 26),
        waist=between(0.86, 1.02),
        diaphragm=between(-32, -8),
        lung_height=between(140, 165) * size,
        lung_left=between(0.82, 0.98),
        heart=(between(39, 46) * size, between(38, 45) * size, between(49, 59) * size),
        heart_shift=between(14, 30),
        liver=(between(100, 116) * size, between(70, 84) * size, between(86, 106) * size),
        liver_slope=between(0.55, 0.85),
        spine_radius=between(22, 26) * size,
        spine_curve=between(4, 14),
        spleen=between(26, 38),
        lesion=site,
        lesion_radius=between(16, 24),
        lesion_place=(between(-15, 20), between(-25, 25), between(-15, 15)),
        waves=waves,
        # From before to well after contrast, from dense to thin bone, from full to half inspiration.
        hu={
            "fat": between(-112, -92),
            "body": between(35, 60),
            "lungs": between(-870, -700),
            "liver": between(75, 140),
            "spine": between(240, 420),
            "heart": between(110, 215),
            "vessel": between(180, 230),
            "spleen": between(115, 145),
            "kidney": between(160, 200),
            "lesion": between(15, 35) if site == "lung" else between(15, 40),
        },
        mr={
            "fat": between(820, 900),
            "body": between(300, 360),
            "lungs": between(35, 70),
            "liver": between(440, 520),
            "spine": between(560, 640),
            "heart": between(180, 250),
            "vessel": between(60, 110),
            "spleen": between(240, 300),
            "kidney": between(270, 330),
            "lesion": between(120, 190),
        },
    )


def deform(points: Points, waves: NDArray[np.float64]) -> Points:
    """Shift each coordinate by its plane waves: a smooth bending of a few mm."""
    moved = []
    for axis, terms in zip(points, waves, strict=True):
        shift = np.zeros_like(axis)
        for amplitude, phase, kx, ky, kz in terms.astype(np.float32):
            shift += amplitude * np.sin(kx * points.x + ky * points.y + kz * points.z + phase)
        moved.append(axis + shift)
    return Points(*moved)


def ellipsoid(points: Points, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Field:
    """Distance to an ellipsoid, to first order: k (k - 1) / |grad| of k = |(p - c) / r|."""
    # Off the centre by a hair, where the gradient is zero.
    along = [
        (axis - np.float32(c)) / np.float32(r) + np.float32(1e-6)
        for axis, c, r in zip(points, centre, radii, strict=True)
    ]
    k: Field = np.sqrt(along[0] ** 2 + along[1] ** 2 + along[2] ** 2)
    slopes = [u / np.float32(r) for u, r in zip(along, radii, strict=True)]
    steep = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
    distance: Field = (k * (k - 1) / steep).astype(np.float32, copy=False)
    return distance


def tube(x: Field, y: Field, rx: Field | float, ry: Field | float, power: float = 2.0) -> Field:
    """Distance to a superelliptic cylinder |x / rx|^n + |y / ry|^n = 1 that runs along z."""
    u, v = np.abs(x) / np.float32(rx) + 1e-6, np.abs(y) / np.float32(ry) + 1e-6
    up, vp = (u * u, v * v) if power == 2.0 else (u ** np.float32(power), v ** np.float32(power))
    q = (up + vp) ** np.float32(1 / power)
    steep = np.sqrt((up / u / rx) ** 2 + (vp / v / ry) ** 2) * q ** np.float32(1 - power)
    distance: Field = ((q - 1) / np.maximum(steep, 1e-6)).astype(np.float32)
    return distance


def shapes(points: Points, anatomy: Anatomy, breath: float) -> dict[str, Field]:
    """Signed distances by name, in painting order: later ones cover earlier ones.

    Args:
        points: in the patient's own frame.
        anatomy: of the patient.
        breath: -1 (out) to 1 (in); moves the diaphragm and what hangs on it.
    """
    x, y, z = points
    base = anatomy.diaphragm - 9 * breath
    wall = _wall(points, anatomy, breath)
    cavity = wall + np.float32(anatomy.fat + 14)  # muscle and ribs
    dome = _dome(points, base)
    spine = _spine(points, anatomy)
    heart = ellipsoid(_tilted(points, (-anatomy.heart_shift, 24.0, base + 38.0)), (0.0, 0.0, 0.0), anatomy.heart)
    kidneys = np.minimum(
        *(ellipsoid(points, (side, -48.0, base - 112.0), (24.0, 21.0, 46.0)) for side in (58.0, -58.0))
    )
    above = np.maximum(dome - z, cavity)
    gap = np.maximum(6 - heart, 8 - spine)
    lungs = [
        ellipsoid(
            points, (side * 0.50 * anatomy.width, -2.0, base + 12.0), (w, 0.82 * anatomy.depth, anatomy.lung_height)
        )
        for side, w in ((1.0, 0.44 * anatomy.width), (-1.0, 0.44 * anatomy.lung_left * anatomy.width))
    ]
    lung = _meet([np.minimum(*lungs), above, gap, 14 - np.abs(x)])
    lower_edge = (base - 42 - anatomy.liver_slope * (x + 45) - z) / np.float32(np.hypot(1, anatomy.liver_slope))
    liver = _meet(
        [
            ellipsoid(points, (0.40 * anatomy.width, 12.0, base - 42.0), anatomy.liver),
            lower_edge,
            z - dome + 5,
            cavity - 2,
            5 - spine,
            4 - heart,
            4 - kidneys,
        ]
    )
    spleen = ellipsoid(points, (-0.62 * anatomy.width, -34.0, base - 34.0), (anatomy.spleen, 36.0, 42.0))
    aorta = np.maximum(tube(x + 16, y - _spine_y(z, anatomy) - anatomy.spine_radius - 13, 11.0, 11.0), z - base - 100)
    found = {
        "body": wall,
        "muscle": wall + np.float32(anatomy.fat),
        "lungs": lung,
        "liver": liver,
        "spleen": np.maximum.reduce([spleen, z - dome + 5, cavity]),
        "kidney": kidneys,
        "vessel": aorta,
        "heart": heart,
        "spine": np.minimum(spine, _process(points, anatomy)),
    }
    if anatomy.lesion != "none":
        organ = liver if anatomy.lesion == "liver" else lung
        found["lesion"] = np.maximum(_lesion(points, anatomy, base), organ + 2)
    return found


def _meet(distances: list[Field]) -> Field:
    """Intersection with rounded edges: k log sum exp(d / k), k = 4 mm."""
    highest = np.maximum.reduce(distances)
    k = np.float32(4)
    total = sum(np.exp((distance - highest) / k) for distance in distances)
    rounded: Field = highest + k * np.log(total)
    return rounded


def _wall(points: Points, anatomy: Anatomy, breath: float) -> Field:
    z = points.z
    neck = np.clip((z - 118) / 80, 0, 1)
    neck = neck * neck * (3 - 2 * neck)
    waist = 1 + (anatomy.waist - 1) * np.exp(-(((z + 110) / 70) ** 2))
    width: Field = (anatomy.width * waist * (1 - 0.50 * neck)).astype(np.float32)
    depth: Field = (anatomy.depth * (1 + 0.02 * breath) * (1 - 0.30 * neck)).astype(np.float32)
    return tube(points.x, points.y, width, depth, 2.4)


def _dome(points: Points, base: float) -> Field:
    """Height of the diaphragm in mm: two domes, the right one higher, falling off to the back."""
    x, y, _ = points
    back = np.exp(-((y / 80) ** 2))
    right, left = np.exp(-(((x - 70) / 56) ** 2)), np.exp(-(((x + 70) / 56) ** 2))
    height: Field = np.float32(base - 30) + back * (46 * right + 34 * left) + np.float32(0.12) * y
    return height


def _spine_y(z: Field, anatomy: Anatomy) -> Field:
    place: Field = -0.55 * anatomy.depth + anatomy.spine_curve * np.cos(z * np.float32(np.pi / 190) + 0.6)
    return place.astype(np.float32)


def _spine(points: Points, anatomy: Anatomy) -> Field:
    return tube(points.x, points.y - _spine_y(points.z, anatomy), anatomy.spine_radius, 0.88 * anatomy.spine_radius)


def _process(points: Points, anatomy: Anatomy) -> Field:
    return tube(points.x, points.y - _spine_y(points.z, anatomy) + 1.25 * anatomy.spine_radius, 9.0, 15.0)


def _tilted(points: Points, centre: tuple[float, float, float]) -> Points:
    """Coordinates about `centre` with the heart's long axis pointing left, down and to the front."""
    c, s = np.float32(np.cos(np.radians(45))), np.float32(np.sin(np.radians(45)))
    x, y, z = points.x - np.float32(centre[0]), points.y - np.float32(centre[1]), points.z - np.float32(centre[2])
    return Points(c * x - s * z, y, s * x + c * z)


def _lesion(points: Points, anatomy: Anatomy, base: float) -> Field:
    dx, dy, dz = anatomy.lesion_place
    centre = (
        (62 + dx, 12 + dy, base - 38 + dz) if anatomy.lesion == "liver" else (80 + dx / 2, -10 + dy, base + 78 + dz)
    )
    return ellipsoid(points, centre, (anatomy.lesion_radius, 0.9 * anatomy.lesion_radius, anatomy.lesion_radius))
