"""Intensity and grid: the deterministic steps from a case's files to a sample's form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Pad, Spacing, SpatialCrop
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError
from medsynth.files import inside, sha256_file
from medsynth.geometry import Geometry
from medsynth.records import Record

_AXCODE_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))
_AXIS_OF = {code: axis for axis, pair in enumerate(_AXCODE_LABELS) for code in pair}
_PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How a channel's values become [-1, 1].

    Args:
        kind: "window": [low, high] are values (HU, grey). "percentiles": they are
            percentiles of each volume's own voxels (MR, arbitrary units).
    """

    kind: Literal["window", "percentiles"]
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.kind not in ("window", "percentiles"):
            raise MedsynthError("data.images: kind is window or percentiles")
        if not self.low < self.high or (self.kind == "percentiles" and not 0 <= self.low < self.high <= 100):
            raise MedsynthError("data.images: low must be below high, percentiles lie in 0..100")

    def range_of(self, array: NDArray[Any]) -> tuple[float, float]:
        """The values that become -1 and +1 for this volume."""
        if self.kind == "window":
            return self.low, self.high
        low, high = np.percentile(array, [self.low, self.high])
        if not low < high:
            raise MedsynthError(
                "a volume has one value almost everywhere: no percentiles can scale it; exclude the case"
            )
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class SlicePlan:
    """2D slices out of 3D volumes.

    Args:
        plane: "axial", "coronal" or "sagittal", after reorientation to RAS.
        low, high: part of the volume's extent that is used, as fractions.
        step: every how many voxels.
    """

    plane: Literal["axial", "coronal", "sagittal"]
    low: float = 0.0
    high: float = 1.0
    step: int = 1

    def __post_init__(self) -> None:
        if self.plane not in _PLANE_AXIS or not 0 <= self.low < self.high <= 1 or self.step < 1:
            raise MedsynthError(
                "data.resampling.slices: plane is axial, coronal or sagittal, 0 <= low < high <= 1, step at least 1"
            )

    def positions(self, shape: Sequence[int]) -> range:
        """Indices along the plane's axis of a volume of `shape`."""
        side = shape[_PLANE_AXIS[self.plane]]
        return range(int(self.low * side), max(int(np.ceil(self.high * side)), int(self.low * side) + 1), self.step)

    def cut(self, array: NDArray[Any], position: int) -> NDArray[Any]:
        """The slice of a volume at `position`."""
        part: NDArray[Any] = np.take(array, position, axis=_PLANE_AXIS[self.plane])
        return part

    def volume_size(self, size: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
        """The size of a volume whose slices have `size`; its extent along the normal stays."""
        axis = _PLANE_AXIS[self.plane]
        return (*size[:axis], shape[axis], *size[axis:])

    def plane_geometry(self, volume: Geometry, position: int) -> Geometry:
        """Place of that slice: its two axes first, its normal third."""
        axis = _PLANE_AXIS[self.plane]
        order = [a for a in range(3) if a != axis] + [axis]
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, axis] * position
        affine[:3, :3] = affine[:3, :3][:, order]
        return Geometry(tuple(volume.shape[a] for a in order[:2]), affine)


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """The geometric part: orientation, spacing, size.

    Args:
        orientation: axis codes such as "RAS", None to leave the axes as they are
            (always so for 2D pictures).
        spacing: mm along each axis, None to keep the native one.
        size: voxels along each axis, by central crop and pad.
        slices: 2D slices out of volumes, or None. `size` then has two sides and
            `spacing` still three.
    """

    orientation: str | None
    spacing: tuple[float, ...] | None
    size: tuple[int, ...]
    slices: SlicePlan | None = None

    def __post_init__(self) -> None:
        if not self.size or min(self.size) < 1 or (self.spacing is not None and min(self.spacing, default=0) <= 0):
            raise MedsynthError("data.resampling: size and spacing are positive, one value an axis")
        pairs = [_AXIS_OF.get(code) for code in self.orientation or "RAS"]
        if sorted(map(str, pairs)) != ["0", "1", "2"]:
            raise MedsynthError(
                "data.resampling.orientation names one of R L, one of A P and one of S I, RAS for instance"
            )
        if self.slices is not None and (self.orientation is None or pairs != [0, 1, 2]):
            raise MedsynthError(
                "data.resampling.slices needs orientation=RAS, or else no axis is sure to be the plane's"
            )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back what `dataclasses.asdict` gave, after JSON."""
        plain = dict(content)
        slices, spacing = plain.pop("slices"), plain.pop("spacing")
        return cls(
            size=tuple(plain.pop("size")),
            spacing=None if spacing is None else tuple(spacing),
            slices=None if slices is None else SlicePlan(**slices),
            **plain,
        )


class Resampled(NamedTuple):
    """One channel on its grid: `array.shape == geometry.shape`."""

    array: NDArray[np.float32]
    geometry: Geometry


class CaseArrays(NamedTuple):
    """A case after orientation, spacing and size, still in its own units.

    `ranges` are the values that become -1 and +1, by image name.
    """

    images: dict[str, Resampled]
    label: Resampled | None
    ranges: dict[str, tuple[float, float]]

    @property
    def geometry(self) -> Geometry:
        """The grid of all that was read."""
        return next(part.geometry for part in (*self.images.values(), self.label) if part is not None)


def resample(array: NDArray[Any], geometry: Geometry, plan: Resampling, *, label: bool, fill: float) -> Resampled:
    """Bring one channel to the plan's orientation, spacing and size.

    Images are interpolated linearly after an anti-aliasing filter where voxels grow
    (Cardoso et al. 2015, "Scale factor point spread function matching"), labels by
    nearest neighbour. A channel that already has the spacing is not interpolated.

    Args:
        array: (*spatial), in its own units.
        geometry: its place.
        plan: where to.
        label: whether the values are labels.
        fill: value of voxels outside the scan.
    """
    rank = geometry.rank
    if plan.spacing is not None and len(plan.spacing) != rank:
        raise MedsynthError(
            f"data.resampling.spacing has {len(plan.spacing)} values, the scans have {rank} axes; give one an axis"
        )
    # MONAI knows 2D images in the x-y plane alone: they are resampled in coordinates of their own.
    place = geometry.affine if rank == 3 else np.diag([*geometry.spacing, 1.0, 1.0])
    image = MetaTensor(torch.from_numpy(np.ascontiguousarray(array)).float()[None], affine=place.copy())
    if plan.orientation and rank == 3:
        image = Orientation(axcodes=plan.orientation, labels=_AXCODE_LABELS)(image)
    native = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)[:rank]
    if plan.spacing is not None and not np.allclose(native, plan.spacing, rtol=1e-4):
        growth = np.maximum(np.array(plan.spacing) / native, 1.0)
        if not label and growth.max() > 1.01:
            # Edges continue; MONAI's GaussianSmooth would bring in zeros.
            sigma = np.sqrt((growth**2 - 1) / (8 * np.log(2)))
            smooth = gaussian_filter(np.asarray(image[0]), sigma, mode="nearest")
            image = MetaTensor(torch.from_numpy(smooth)[None], affine=image.affine)
        image = Spacing(pixdim=plan.spacing, mode="nearest" if label else "bilinear", padding_mode="border")(image)
    size = _size(plan, tuple(image.shape[1:]))
    image = _centred(image, size, fill)
    affine = geometry.affine @ np.linalg.inv(place) @ np.asarray(image.affine)
    return Resampled(np.asarray(image[0], dtype=np.float32), Geometry(size, affine))


def _size(plan: Resampling, shape: tuple[int, ...]) -> tuple[int, ...]:
    if plan.slices is None:
        if len(plan.size) != len(shape):
            raise MedsynthError(
                f"data.resampling.size has {len(plan.size)} sides, the scans have {len(shape)} axes; give one an axis"
            )
        return plan.size
    if len(shape) != 3 or len(plan.size) != 2:
        raise MedsynthError("data.resampling.slices cuts 3D scans into slices: data.resampling.size then has two sides")
    return plan.slices.volume_size(plan.size, shape)


def _centred(image: MetaTensor, size: Sequence[int], fill: float) -> MetaTensor:
    """Crop and pad (1, *shape) about the middle to (1, *size).

    The middle is voxel side // 2 before and after, so that a size larger by 2 m holds
    the same voxels m further in: the augmentation's margin moves nothing.
    """
    shape = image.shape[1:]
    start = [side // 2 - wanted // 2 for side, wanted in zip(shape, size, strict=True)]
    before = [max(0, -first) for first in start]
    after = [max(0, f + wanted - side) for f, wanted, side in zip(start, size, shape, strict=True)]
    widths = [(0, 0), *zip(before, after, strict=True)]
    padded = Pad(to_pad=widths, mode="constant", constant_values=fill)(image)
    begin = [first + more for first, more in zip(start, before, strict=True)]
    return SpatialCrop(roi_start=begin, roi_end=[f + wanted for f, wanted in zip(begin, size, strict=True)])(padded)


def require_channel(folder: Path, record: Record, name: str) -> Path:
    """The file of a channel, which is the one that the record was made of.

    Raises:
        MedsynthError: the case lacks the channel, or the file is not the one ingested.
    """
    channel = record.channels.get(name)
    if channel is None:
        raise MedsynthError(f"case {record.id} has no channel {name}; it has {', '.join(record.channels)}")
    path = inside(folder, channel.path)
    if not path.is_file() or sha256_file(path) != channel.sha256:
        raise MedsynthError(f"case {record.id}: channel {name} is missing or was changed since ingest; ingest again")
    return path


def read_channel(folder: Path, record: Record, name: str) -> tuple[NDArray[Any], Geometry]:
    """Read one channel of a case in its native grid.

    Raises:
        MedsynthError: see `require_channel`.
    """
    return read_nifti(require_channel(folder, record, name))


def read_case(
    folder: Path, record: Record, images: Mapping[str, Intensity], label: str | None, plan: Resampling
) -> CaseArrays:
    """Read and resample the named channels of a case.

    Args:
        folder: where the case's files lie.
        record: the case.
        images: the intensity of each image channel that is wanted.
        label: name of the label channel, or None.
        plan: orientation, spacing and size.

    Raises:
        MedsynthError: nothing is wanted of it, it lacks a channel, or its channels do not lie on one grid.
    """
    if not images and label is None:
        raise MedsynthError(f"case {record.id} has no channel of this run; it has {', '.join(record.channels)}")
    resampled, ranges = {}, {}
    for name, intensity in images.items():
        array, geometry = read_channel(folder, record, name)
        try:
            ranges[name] = intensity.range_of(array)
        except MedsynthError as error:
            raise MedsynthError(f"case {record.id}: {error}") from None
        resampled[name] = resample(array, geometry, plan, label=False, fill=ranges[name][0])
    mask = None
    if label is not None:
        array, geometry = read_channel(folder, record, label)
        mask = resample(array, geometry, plan, label=True, fill=0)
    grids = [part.geometry for part in (*resampled.values(), *([mask] if mask else []))]
    if not all(grid.is_close(grids[0], 1e-2) for grid in grids):
        raise MedsynthError(f"case {record.id}: its channels do not lie on one grid; register them before ingest")
    return CaseArrays(resampled, mask, ranges)
