"""Slices between thick ones: a volume with more slices, in which those of the scan keep their stored values."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.data.nifti import Stored
from medsynth.data.resampling import Resampling, resample
from medsynth.errors import MedsynthError
from medsynth.generation.edits import KeepOutside
from medsynth.generation.native import own_units, paste, to_native
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan
from medsynth.generation.writing import Made
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Asked
from medsynth.models.model import DiffusionModel
from medsynth.records import Record

_SAME_SIZE = 0.02
"""Part of a voxel's size by which the scan's may differ from the model's."""


class _Thick(NamedTuple):
    """A scan on the model's grid: its slices in their places, nothing in between.

    Args:
        known: (C, *spatial) in model units.
        mask: (C, *spatial) bool, true where nothing is known.
        grid: the model's grid, placed so that the scan's slices lie on its voxels.
        fine: the grid of the result.
        ranges: (low, high) of each image.
    """

    known: Tensor
    mask: Tensor
    grid: Geometry
    fine: Geometry
    ranges: list[tuple[float, float]]


class ThinSlices:
    """Scans of one batch that get slices in between.

    A slice of the scan is taken for one of the model's thin ones. Where it is an average over its thickness
    it is smoother than they are, and so are the slices made beside it.

    Args:
        model: whose samples; of volumes.
        parents: where the scans are.
        plan: axis of the scan and how many slices for each.
        names: ids of the scans.

    Raises:
        MedsynthError: voxels that are not the model's once they are divided.
    """

    def __init__(self, model: DiffusionModel, parents: Parents, plan: EditPlan, names: Sequence[str]) -> None:
        self.model, self.parents, self.plan = model, parents, plan
        self.names = list(names)
        self.scans = [self._thick(name) for name in names]

    def asked(self, asked: Sequence[Asked]) -> list[Asked]:
        """As they are."""
        return list(asked)

    def edit(self) -> KeepOutside:
        """What is known of the batch: the scans' slices."""
        device = self.model.sigma_data.device
        known, mask = (torch.stack(parts).to(device) for parts in zip(*(scan[:2] for scan in self.scans), strict=True))
        return KeepOutside(self.model, known, mask, self.plan.returns)

    def finished(self, number: int, x: Tensor) -> Made:
        """Sample `number` of the batch on the fine grid, its own slices as they were stored.

        Args:
            number: in the batch.
            x: (C, *spatial) in model units.
        """
        name, scan = self.names[number], self.scans[number]
        record, layout, axis = self.parents.record(name), self.model.layout, self.plan.axis
        between = np.ones(scan.fine.shape, dtype=np.bool_)
        own = [slice(None)] * 3
        own[axis] = slice(None, None, self.plan.factor)
        between[tuple(own)] = False
        images: dict[str, NDArray[Any]] = {}
        scaling = {}
        for channel, part, range_ in zip(layout.images, x, scan.ranges, strict=False):
            stored = self._stored(record, channel.name)
            made = to_native(own_units(part.cpu().numpy(), range_), scan.grid, scan.fine, label=False)
            self._require_covered(record, made.covered)
            whole = np.zeros(scan.fine.shape, dtype=stored.array.dtype)
            whole[tuple(own)] = stored.array
            images[channel.name] = paste(whole, stored.from_units(made.values), between)
            scaling[channel.name] = (stored.slope, stored.intercept)
        label = None
        if layout.label is not None:
            decoded = layout.label.decode(x[len(layout.images) :])
            label = to_native(decoded, scan.grid, scan.fine, label=True).values
            if layout.label.name in record.channels:
                thick = self._stored(record, layout.label.name).array
                label = label.astype(np.result_type(label, thick))
                label[tuple(own)] = thick
        return Made(images, label, scan.fine, scaling)

    def _stored(self, record: Record, name: str) -> Stored:
        return self.parents.stored(record, name)

    def _require_covered(self, record: Record, covered: NDArray[np.bool_]) -> None:
        if not covered.all():
            sides = "x".join(map(str, self.model.layout.grid.shape))
            raise MedsynthError(
                f"case {record.id}: with its new slices it is larger than the {sides} voxels that the run makes; "
                "crop the scan, or train with a larger data.resampling.size"
            )

    def _thick(self, name: str) -> _Thick:
        record, plan = self.parents.record(name), self.parents.plan
        axis, factor = self.plan.axis, self.plan.factor
        require_room(record, self.plan, plan.resampling)
        fine = _finer(record.geometry, axis, factor)
        place = Resampling(orientation=plan.resampling.orientation, spacing=None, size=plan.resampling.size)
        own = [slice(None)] * 3
        own[axis] = slice(None, None, factor)

        def spread(array: NDArray[Any], fill: float) -> NDArray[Any]:
            whole = np.full(fine.shape, fill, dtype=np.float32)
            whole[tuple(own)] = array
            return whole

        nothing = resample(spread(np.zeros(record.geometry.shape), 1), fine, place, label=True, fill=0)
        unknown = torch.from_numpy(nothing.array > 0.5)
        known, ranges = [], []
        for channel in self.model.layout.images:
            stored = self._stored(record, channel.name)
            values = stored.array * stored.slope + stored.intercept
            low, high = plan.intensity[channel.name].range_of(values)
            placed = resample(spread(values, low), fine, place, label=True, fill=low)
            known.append(torch.from_numpy(np.clip((placed.array - low) / (high - low), 0, 1) * 2 - 1)[None])
            ranges.append((low, high))
        masks = [unknown.expand(len(known), *unknown.shape)]
        label = self.model.layout.label
        if label is not None:
            # The signed distance to a label's edge needs the slices in between: the label map is made anew.
            known.append(torch.zeros(len(label.values), *unknown.shape))
            masks.append(torch.ones(len(label.values), *unknown.shape, dtype=torch.bool))
        return _Thick(torch.cat(known).float(), torch.cat(masks), nothing.geometry, fine, ranges)


def require_room(record: Record, plan: EditPlan, resampling: Resampling) -> None:
    """Refuse a scan that has no slices along the plan's axis, or other voxels than the run once they are divided.

    Raises:
        MedsynthError: so, by the record alone; the files are not read.
    """
    axis, factor = plan.axis, plan.factor
    if axis >= record.geometry.rank or record.geometry.shape[axis] < 2:
        raise MedsynthError(f"case {record.id}: plan.axis={axis} has no slices to put others between")
    wanted = resampling.spacing
    if wanted is None:
        return
    oriented = _oriented_spacing(_finer(record.geometry, axis, factor), resampling)
    if np.abs(oriented / np.array(wanted) - 1).max() > _SAME_SIZE:
        raise MedsynthError(
            f"case {record.id}: with {factor} slices for each its voxels are "
            f"{' x '.join(f'{size:.3g}' for size in oriented)} mm, and the run makes "
            f"{' x '.join(f'{size:.3g}' for size in wanted)} mm; set plan.factor and plan.axis, or resample it"
        )


def _finer(geometry: Geometry, axis: int, factor: int) -> Geometry:
    """A grid with `factor` - 1 slices between any two, whose slices 0, factor, ... are those of `geometry`."""
    affine = geometry.affine.copy()
    affine[:3, axis] /= factor
    shape = list(geometry.shape)
    shape[axis] = (shape[axis] - 1) * factor + 1
    return Geometry(tuple(shape), affine)


def _oriented_spacing(geometry: Geometry, resampling: Resampling) -> NDArray[np.float64]:
    """Voxel size along the axes of the model's orientation."""
    if resampling.orientation is None:
        return np.array(geometry.spacing)
    axis_of = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    place = {axis_of[code]: size for code, size in zip(geometry.axcodes, geometry.spacing, strict=True)}
    return np.array([place[axis_of[code]] for code in resampling.orientation])
