"""A region of a scan made anew: on the model's grid, then pasted into the scan's own, where all else keeps its bits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medsynth.data.nifti import Stored
from medsynth.errors import MedsynthError
from medsynth.generation import masks
from medsynth.generation.edits import KeepOutside
from medsynth.generation.native import own_units, paste, to_model_mask, to_native
from medsynth.generation.parents import Parents, Prepared
from medsynth.generation.plan import EditPlan, MaskPlan
from medsynth.generation.writing import Made, label_of
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Asked
from medsynth.models.label_field import label_channels
from medsynth.models.layout import LabelChannel
from medsynth.models.model import DiffusionModel
from medsynth.records import Record

REACH = 1.5
"""Voxels of the run's grid over which what the estimate gets wrong outside of the mask is taken off inside."""


class Inpainting:
    """The regions of one batch.

    Args:
        model: whose samples.
        parents: where the scans are.
        plan: mask, what becomes of the label map.
        names: ids of the scans.

    Raises:
        MedsynthError: a mask that marks nothing, everything, or leaves the model's field.
    """

    def __init__(self, model: DiffusionModel, parents: Parents, plan: EditPlan, names: Sequence[str]) -> None:
        self.model, self.parents, self.plan = model, parents, plan
        self.names = list(names)
        self.regions = [self._region(name) for name in names]

    def asked(self, asked: Sequence[Asked]) -> list[Asked]:
        """Where a label map is given, the edited one: without the labels that are removed."""
        given = self.model.layout.given.label
        if given is None or self.plan.label != "remove":
            return list(asked)
        place = self.model.layout.given.parts[given.name]
        changed = []
        for each, name in zip(asked, self.names, strict=True):
            told = each.given
            assert told is not None
            channels = told.channels.clone()
            channels[place] = self._edited_channels(given, given.decode(told.channels[place]), name)
            changed.append(replace(each, given=told._replace(channels=channels)))
        return changed

    def edit(self) -> KeepOutside:
        """What is known of the batch: all images outside of the masks, the label map as the plan says."""
        layout, device = self.model.layout, self.model.sigma_data.device
        known, masks_ = [], []
        for name, region in zip(self.names, self.regions, strict=True):
            x = self._prepared(name).x.clone()
            mask = torch.from_numpy(region).expand(x.shape).clone()
            if layout.label is not None and self.plan.label != "new":
                images = len(layout.images)
                mask[images:] = False
                if self.plan.label == "remove":
                    x[images:] = self._edited_channels(layout.label, layout.label.decode(x[images:]), name)
            known.append(x)
            masks_.append(mask)
        given, free = torch.stack(known).to(device), torch.stack(masks_).to(device)
        return KeepOutside(self.model, given, free, self.plan.returns, REACH)

    def finished(self, number: int, x: Tensor) -> Made:
        """Sample `number` of the batch in its scan's own grid: outside of the mask the same stored values.

        Args:
            number: in the batch.
            x: (C, *spatial) in model units.
        """
        name = self.names[number]
        record, prepared = self.parents.record(name), self._prepared(name)
        mask, layout = self._native_mask(record), self.model.layout
        grid = Geometry(layout.grid.shape, prepared.affine.numpy())
        images: dict[str, NDArray[Any]] = {}
        scaling = {}
        place = record.geometry
        for channel, part, own in zip(layout.images, x, prepared.ranges.tolist(), strict=False):
            stored = self._stored(record, channel.name)
            made = to_native(own_units(part.cpu().numpy(), tuple(own)), grid, stored.geometry, label=False)
            images[channel.name] = paste(stored.array, stored.from_units(made.values), mask)
            scaling[channel.name] = (stored.slope, stored.intercept)
            place = stored.geometry
        return Made(images, self._label(record, x, mask, grid), place, scaling)

    def _label(self, record: Record, x: Tensor, mask: NDArray[np.bool_], grid: Geometry) -> NDArray[Any] | None:
        layout = self.model.layout
        channel = label_of(layout)
        if channel is None or channel.name not in record.channels:
            return None
        if layout.label is None and channel.name not in self.plan.take:
            return None  # the image was made without word of it
        stored = self._stored(record, channel.name)
        if self.plan.label == "remove":
            return self._without(stored.array, stored.geometry, self._values(record))
        if layout.label is None or self.plan.label == "keep":
            return stored.array
        decoded = layout.label.decode(x[len(layout.images) :])
        made = to_native(decoded, grid, stored.geometry, label=True).values
        wide = np.result_type(stored.array, made)  # a map of few labels may be stored in 8 bits
        return paste(stored.array.astype(wide), made, mask)

    def _prepared(self, name: str) -> Prepared:
        return self.parents.prepared(name)

    def _stored(self, record: Record, name: str) -> Stored:
        return self.parents.stored(record, name)

    def _region(self, name: str) -> NDArray[np.bool_]:
        record, prepared = self.parents.record(name), self._prepared(name)
        grid = Geometry(self.model.layout.grid.shape, prepared.affine.numpy())
        mask = self._native_mask(record)
        try:
            return to_model_mask(mask, record.geometry, grid)
        except MedsynthError as error:
            raise MedsynthError(f"case {record.id}: {error}") from None

    def _native_mask(self, record: Record) -> NDArray[np.bool_]:
        try:
            return native_mask(self.plan.mask, record, lambda name: self._stored(record, name))
        except MedsynthError as error:
            raise MedsynthError(f"case {record.id}: {error}") from None

    def _values(self, record: Record) -> list[int]:
        return label_values(record, self.plan.mask.labels)

    def _edited_channels(self, channel: LabelChannel, label: NDArray[Any], name: str) -> Tensor:
        record, prepared = self.parents.record(name), self._prepared(name)
        grid = Geometry(self.model.layout.grid.shape, prepared.affine.numpy())
        return label_channels(self._without(label, grid, self._values(record)), channel.values, channel.reach)

    @staticmethod
    def _without(label: NDArray[Any], geometry: Geometry, values: Sequence[int]) -> NDArray[Any]:
        """The label map with some labels given over to the nearest other one (background too)."""
        gone = np.isin(label, values)
        if not gone.any():
            return label
        if gone.all():
            raise MedsynthError("nothing but the labels that are to be removed: there is nothing to put in their place")
        nearest = ndimage.distance_transform_edt(
            gone, sampling=geometry.spacing, return_distances=False, return_indices=True
        )
        result: NDArray[Any] = label[tuple(nearest)]
        return result


def require_labels(record: Record, names: Sequence[str]) -> None:
    """Refuse labels that a scan's record does not name, before its files are read.

    Raises:
        MedsynthError: so.
    """
    try:
        label_values(record, names)
    except MedsynthError as error:
        raise MedsynthError(f"case {record.id}: {error}") from None


def require_inside(record: Record, plan: MaskPlan) -> None:
    """Refuse a slab or a box that a scan's grid does not have, before its files are read.

    Raises:
        MedsynthError: so.
    """
    try:
        if plan.slab is not None:
            masks.slab(record.geometry.shape, *plan.slab)
        if plan.box is not None:
            masks.box(record.geometry.shape, *plan.box)
    except MedsynthError as error:
        raise MedsynthError(f"case {record.id}: {error}") from None


def label_values(record: Record, names: Sequence[str]) -> list[int]:
    """The values of labels by name.

    Raises:
        MedsynthError: a name that the record's label map does not have.
    """
    by_name = {name: value for value, name in record.labels.items()}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        there = ", ".join(by_name) or "none"
        raise MedsynthError(f"plan.mask.labels: there is no label {unknown[0]}; there are {there}")
    return [by_name[name] for name in names]


def native_mask(plan: MaskPlan, record: Record, stored: Any) -> NDArray[np.bool_]:
    """Where a scan is made anew, on its own grid: all that the plan names.

    Args:
        plan: of the mask.
        record: of the scan.
        stored: from a channel's name to what its file holds.

    Raises:
        MedsynthError: nothing is named, or what is named marks nothing or everything.
    """
    shape = record.geometry.shape
    parts = []
    if plan.labels:
        name = next((name for name, channel in record.channels.items() if channel.kind == "label"), None)
        if name is None:
            raise MedsynthError("plan.mask.labels: the scan has no label map; give plan.mask.box or slab")
        parts.append(masks.of_label(stored(name).array, label_values(record, plan.labels), plan.grow, record.geometry))
    if plan.slab is not None:
        parts.append(masks.slab(shape, *plan.slab))
    if plan.box is not None:
        parts.append(masks.box(shape, *plan.box))
    if not parts:
        raise MedsynthError("plan.mask names nothing: set labels, slab or box")
    mask: NDArray[np.bool_] = np.logical_or.reduce(parts)
    if mask.all():
        raise MedsynthError("plan.mask marks every voxel: nothing of the scan would be left")
    return mask
