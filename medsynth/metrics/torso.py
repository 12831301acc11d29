"""Does a labelled CT hold a torso? Organs, their size and HU, and how they lie to each other.

Written for the phantom's labels; sides come from the affine, so a mirrored volume is
found out whatever its array order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.data.phantom import PHANTOM_LABELS
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry

ORGANS = ("body", "lungs", "liver", "spine", "heart")
"""What every torso has; a lesion may be missing."""

VOLUME_FACTOR = 1.25
"""An organ may be this much smaller or larger than any in training."""

HU_MARGIN = 0.1
"""The training range of mean HU is widened on both sides by this part of its width.

The extremes of a sample lie inside those of its population: of n training scans and five
organs, a new real scan leaves one of the bare ranges with probability near 10 / (n + 1).
"""

LUNGS_ENCLOSED = 0.98
LUNGS_EXPOSED = 0.01


class OrganRange(NamedTuple):
    """Smallest and largest in training: volume in ml, mean HU."""

    volume: tuple[float, float]
    hu: tuple[float, float]


class Finding(NamedTuple):
    """One thing looked at: fine when `low <= value <= high`; NaN is never fine."""

    name: str
    value: float
    low: float
    high: float

    @property
    def fine(self) -> bool:
        """Whether the value lies inside the limits."""
        return bool(self.low <= self.value <= self.high)


def training_ranges(
    cases: Iterable[tuple[NDArray[Any], NDArray[Any]]], geometry: Geometry, labels: Mapping[int, str] = PHANTOM_LABELS
) -> dict[str, OrganRange]:
    """Ranges of volume and mean HU by organ over real cases.

    Args:
        cases: (ct, label), each (I, J, K) on `geometry`; ct in HU.
        geometry: the common grid.
        labels: name of each value of the label map.

    Raises:
        MedsynthError: no cases, or one that lacks an organ.
    """
    measured = [_measure(ct, label, geometry, labels) for ct, label in cases]
    if not measured:
        raise MedsynthError("ranges need at least one training case")
    ranges = {}
    for organ in ORGANS:
        volumes, means = zip(*(case[organ] for case in measured), strict=True)
        if min(volumes) == 0:
            raise MedsynthError(
                f"{sum(v == 0 for v in volumes)} of {len(volumes)} training cases have no {organ}; ingest again"
            )
        ranges[organ] = OrganRange((min(volumes), max(volumes)), (min(means), max(means)))
    return ranges


def torso_findings(
    ct: NDArray[Any],
    label: NDArray[Any],
    geometry: Geometry,
    ranges: Mapping[str, OrganRange],
    *,
    volume_factor: float = VOLUME_FACTOR,
    hu_margin: float = HU_MARGIN,
    labels: Mapping[int, str] = PHANTOM_LABELS,
) -> list[Finding]:
    """Everything looked at in one volume; it is a torso when all are fine.

    Volumes (ml) inside the training range widened by `volume_factor`; mean HU inside the
    training range widened by `hu_margin` of its width; the part of the lungs that the
    other tissue encloses in its axial slice at least 98 %; the part of the lungs that
    touches the outside at most 1 %; and in mm, from centroid to centroid: liver to the
    right of the midline (mean of body, spine and heart), spine behind body and heart,
    lungs above the liver.

    Args:
        ct: (I, J, K) in HU.
        label: (I, J, K), as `labels`.
        geometry: of both.
        ranges: from `training_ranges`.
        volume_factor: at least 1.
        hu_margin: at least 0.
        labels: name of each value of the label map.
    """
    findings = []
    for organ, (volume, mean) in _measure(ct, label, geometry, labels).items():
        (small, large), (dark, bright) = ranges[organ]
        margin = hu_margin * (bright - dark)
        findings.append(Finding(f"{organ} volume", volume, small / volume_factor, large * volume_factor))
        findings.append(Finding(f"{organ} HU", mean, dark - margin, bright + margin))
    value = {name: key for key, name in labels.items()}
    enclosed, exposed = _lungs_inside(label, geometry, value["lungs"])
    findings.append(Finding("lungs enclosed", enclosed, LUNGS_ENCLOSED, 1.0))
    findings.append(Finding("lungs exposed", exposed, 0.0, LUNGS_EXPOSED))
    place = {organ: _centroid(label == value[organ], geometry) for organ in ORGANS}
    whole = _centroid(label > 0, geometry)
    midline = (whole[0] + place["spine"][0] + place["heart"][0]) / 3
    findings.append(Finding("liver to the right", float(place["liver"][0] - midline), 0.0, np.inf))
    behind = min(whole[1], place["heart"][1]) - place["spine"][1]
    findings.append(Finding("spine behind", float(behind), 0.0, np.inf))
    findings.append(Finding("lungs above liver", float(place["lungs"][2] - place["liver"][2]), 0.0, np.inf))
    return findings


def _measure(
    ct: NDArray[Any], label: NDArray[Any], geometry: Geometry, labels: Mapping[int, str]
) -> dict[str, tuple[float, float]]:
    """Volume in ml and mean HU by organ; NaN HU where there is none."""
    ml = abs(float(np.linalg.det(geometry.affine[:3, :3]))) / 1000
    size = max(labels) + 1
    flat = np.where(np.isin(label, list(labels)), label, 0).astype(np.intp).ravel()
    counts = np.bincount(flat, minlength=size)
    sums = np.bincount(flat, weights=ct.ravel().astype(np.float64), minlength=size)
    found = {}
    for value, name in labels.items():
        if name in ORGANS:
            mean = float(sums[value] / counts[value]) if counts[value] else float("nan")
            found[name] = (float(counts[value] * ml), mean)
    return found


def _centroid(mask: NDArray[Any], geometry: Geometry) -> NDArray[np.float64]:
    """(3,) in RAS mm; NaN for an empty mask."""
    if not mask.any():
        return np.full(3, np.nan)
    index = np.array(
        [np.average(np.arange(side), weights=_profile(mask, axis)) for axis, side in enumerate(mask.shape)]
    )
    point: NDArray[np.float64] = geometry.affine[:3, :3] @ index + geometry.affine[:3, 3]
    return point


def _profile(mask: NDArray[Any], axis: int) -> NDArray[Any]:
    counts: NDArray[Any] = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis))
    return counts


def _lungs_inside(label: NDArray[Any], geometry: Geometry, lungs: int) -> tuple[float, float]:
    """Part of the lungs enclosed by other tissue in its axial slice, and part with the outside as a neighbour."""
    lung = label == lungs
    total = int(lung.sum())
    if total == 0:
        return float("nan"), float("nan")
    head = int(np.argmax(np.abs(geometry.direction[2])))
    tissue = np.moveaxis((label > 0) & ~lung, head, 0)
    hull = np.moveaxis(np.stack([ndimage.binary_fill_holes(cut) for cut in tissue]), 0, head)
    outside = ndimage.binary_propagation(_border(label.shape) & (label == 0), mask=label == 0)
    beside_outside = ndimage.binary_dilation(outside)
    return float((lung & hull).sum() / total), float((lung & beside_outside).sum() / total)


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    border = np.ones(shape, dtype=np.bool_)
    border[tuple(slice(1, -1) for _ in shape)] = False
    return border
