"""Shape of a region in mm (IBSI 3.1), in 3D and, by the same formulas one dimension lower, in 2D.

In 2D content is area and boundary is perimeter: a mesh of segments (marching squares) stands for one of triangles
(marching cubes), the disc for the ball, the ellipse for the ellipsoid.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from scipy.special import elliprg, eval_legendre
from skimage.measure import find_contours, marching_cubes

from medsynth.errors import MedsynthError

Array = NDArray[np.float64]
_TERMS = 20


class Mesh(NamedTuple):
    """Corners (S, rank, rank) in mm of the simplices of a closed boundary: triangles in 3D, segments in 2D."""

    simplices: Array

    @property
    def points(self) -> Array:
        """(S * rank, rank) in mm."""
        return self.simplices.reshape(-1, self.simplices.shape[-1])

    @property
    def content(self) -> float:
        """Volume in mm^3 or area in mm^2: the signed cones from one point over every simplex."""
        rank = self.simplices.shape[-1]
        cones = np.linalg.det(self.simplices - self.points.mean(axis=0))
        return abs(float(cones.sum())) / (6 if rank == 3 else 2)

    @property
    def boundary(self) -> float:
        """Surface in mm^2 or perimeter in mm."""
        edges = self.simplices[:, 1:] - self.simplices[:, :1]
        if edges.shape[-1] == 3:
            return float(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum() / 2)
        return float(np.linalg.norm(edges[:, 0], axis=1).sum())


class Shape(NamedTuple):
    """Morphology (IBSI 3.1); "volume" is area in 2D, "area" perimeter. `least_axis` and `flatness` are 3D alone.

    `volume`, `area_mesh`, `vol_approx`, `diam`, `com` (shift of the centre of mass) and the axes are in mm and its
    powers; `integ_int` in units of the image times mm^rank; the others have no unit. `moran_i` and `geary_c` are of
    all pairs of voxels, by FFT.
    """

    volume: float
    vol_approx: float
    area_mesh: float
    av: float
    comp_1: float
    comp_2: float
    sph_dispr: float
    sphericity: float
    asphericity: float
    com: float
    diam: float
    pca_maj_axis: float
    pca_min_axis: float
    pca_least_axis: float
    pca_elongation: float
    pca_flatness: float
    vol_dens_aabb: float
    area_dens_aabb: float
    vol_dens_aee: float
    area_dens_aee: float
    vol_dens_conv_hull: float
    area_dens_conv_hull: float
    integ_int: float
    moran_i: float
    geary_c: float


def shape(mask: NDArray[np.bool_], image: NDArray[np.floating], spacing: Sequence[float]) -> Shape:
    """Morphology of one region.

    Args:
        mask: (*spatial), 2D or 3D, the region, not empty.
        image: (*spatial), its intensities.
        spacing: voxel size in mm along each axis.

    Raises:
        MedsynthError: another rank.
    """
    rank, steps = mask.ndim, np.asarray(spacing, dtype=np.float64)
    mesh = boundary_mesh(mask, spacing)
    content, surface = mesh.content, mesh.boundary
    places, weights = np.argwhere(mask) * steps, image[mask].astype(np.float64)
    total = float(weights.sum())
    grey = (places * weights[:, None]).sum(axis=0) / total if total != 0 else np.full(rank, np.nan)
    axes = _axes(places)
    round_boundary = _ball_boundary(content, rank)
    sphericity = round_boundary / surface
    box = np.ptp(mesh.points, axis=0)
    hull = ConvexHull(mesh.points)
    ellipse = _ellipsoid(axes / 2)
    moran, geary = spatial_autocorrelation(mask, image, spacing)
    return Shape(
        volume=content,
        vol_approx=float(mask.sum() * steps.prod()),
        area_mesh=surface,
        av=surface / content,
        comp_1=content / (np.pi**0.5 * surface**1.5) if rank == 3 else content / surface**2,
        comp_2=sphericity**rank,
        sph_dispr=1 / sphericity,
        sphericity=sphericity,
        asphericity=1 / sphericity - 1,
        com=float(np.linalg.norm(places.mean(axis=0) - grey)),
        diam=float(pdist(mesh.points[hull.vertices]).max()),
        pca_maj_axis=float(axes[0]),
        pca_min_axis=float(axes[1]),
        pca_least_axis=float(axes[2]) if rank == 3 else float("nan"),
        pca_elongation=_ratio(axes[1], axes[0]),
        pca_flatness=_ratio(axes[2], axes[0]) if rank == 3 else float("nan"),
        vol_dens_aabb=content / float(box.prod()),
        area_dens_aabb=surface / _box_boundary(box),
        vol_dens_aee=_ratio(content, ellipse.content),
        area_dens_aee=_ratio(surface, ellipse.boundary),
        vol_dens_conv_hull=content / float(hull.volume),
        area_dens_conv_hull=surface / float(hull.area),
        integ_int=float(weights.mean()) * content,
        moran_i=moran,
        geary_c=geary,
    )


def boundary_mesh(mask: NDArray[np.bool_], spacing: Sequence[float]) -> Mesh:
    """The boundary half-way between the centres of voxels in and out of `mask`, consistently turned."""
    padded = np.pad(mask, 1).astype(np.float32)
    if mask.ndim == 3:
        vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=tuple(float(s) for s in spacing))
        return Mesh(vertices[faces].astype(np.float64))
    if mask.ndim == 2:
        lines = [line * np.asarray(spacing, dtype=np.float64) for line in find_contours(padded, 0.5)]
        return Mesh(np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in lines]))
    raise MedsynthError(f"shapes are of images in 2D or 3D, here is one in {mask.ndim}D")


def spatial_autocorrelation(
    inside: NDArray[np.bool_], image: NDArray[np.floating], spacing: Sequence[float]
) -> tuple[float, float]:
    """Moran's I and Geary's C with weights 1 / distance in mm over all pairs (IBSI 3.1.23, 3.1.24).

    The sums over pairs are convolutions with the weights: exact, in V log V instead of V^2.
    """
    values = image[inside].astype(np.float64)
    count = len(values)
    spread = float(((values - values.mean()) ** 2).sum()) if count else 0.0
    if count < 2 or spread == 0:
        return float("nan"), float("nan")
    sides = [fft.next_fast_len(2 * n - 1, real=True) for n in inside.shape]
    offsets = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) * s for n, s in zip(sides, spacing, strict=True)), indexing="ij")
    distance = np.sqrt(sum(o**2 for o in offsets))
    weights = np.divide(1, distance, out=np.zeros_like(distance), where=distance > 0)
    transformed = fft.rfftn(weights)
    here = tuple(slice(0, n) for n in inside.shape)

    def gathered(field: Array) -> Array:
        """At every voxel, the weighted sum of the field over all others."""
        result: Array = fft.irfftn(fft.rfftn(field, sides) * transformed, sides)[here]
        return result

    centred = np.where(inside, image - values.mean(), 0.0).astype(np.float64)
    near = gathered(inside.astype(np.float64))
    total = float(near[inside].sum())
    product = float((centred * gathered(centred)).sum())
    squares = 2 * (float((centred**2 * near).sum()) - product)
    return count / total * product / spread, (count - 1) / (2 * total) * squares / spread


class _Body(NamedTuple):
    content: float
    boundary: float


def _axes(places: Array) -> Array:
    """Lengths (rank,) in mm of the axes of the ellipsoid with the same second moments, longest first."""
    if len(places) < 2:
        return np.zeros(places.shape[1])
    values = np.linalg.eigvalsh(np.cov(places.T))[::-1]
    lengths: Array = 4 * np.sqrt(np.maximum(values, 0))
    return lengths


def _ball_boundary(content: float, rank: int) -> float:
    """Boundary of the ball (disc) of that content."""
    return float((36 * np.pi * content**2) ** (1 / 3) if rank == 3 else 2 * np.sqrt(np.pi * content))


def _box_boundary(box: Array) -> float:
    return float(2 * (box[0] * box[1] + box[0] * box[2] + box[1] * box[2]) if len(box) == 3 else 2 * box.sum())


def _ellipsoid(semi: Array) -> _Body:
    """Content and boundary: an ellipse's by Carlson's integral (DLMF 19.30.5), an ellipsoid's as IBSI 3.1.17 writes it.

    IBSI's series takes both eccentricities against the longest axis, so it is not the ellipsoid's true surface (on the
    digital phantom 1.36 of it where 1.30 would be right); the standard's number is the one to be compared with.
    """
    if len(semi) == 2:
        return _Body(np.pi * float(semi.prod()), 8 * float(elliprg(0, *semi**2)))
    longest = max(float(semi[0]), 1e-12)
    first, second = (max(1 - (s / longest) ** 2, 1e-12) ** 0.5 for s in semi[1:])  # never 0: it is divided by
    order = np.arange(_TERMS + 1)
    terms = (first * second) ** order / (1 - 4 * order**2)
    terms = terms * eval_legendre(order, (first**2 + second**2) / (2 * first * second))
    return _Body(4 / 3 * np.pi * float(semi.prod()), 4 * np.pi * float(semi[0] * semi[1] * terms.sum()))


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")
