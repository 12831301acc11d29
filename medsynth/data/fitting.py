"""Learn a Preparation from the training patients: grid, and one intensity range for all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medsynth.data.conditions import require_conditions
from medsynth.data.preparation import Preparation, cases_digest, with_channels
from medsynth.data.prepared import CasePlan, PreparedCases
from medsynth.data.resampling import Intensity, Resampling
from medsynth.data.split import SplitPlan, split_patients
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.models.layout import Given, ImageChannel, LabelChannel, Layout
from medsynth.records import CASES_FILE, CaseRecord, Split, read_records

_ALIGNED_DEGREES = 5.0
_HU_WINDOW = Intensity(kind="window", low=-1000, high=1000)


class FittedData(NamedTuple):
    """What training starts from.

    `cases` are prepared without margin; `slices[split]` counts the samples in each case.
    """

    records: list[CaseRecord]
    splits: dict[str, Split]
    preparation: Preparation
    plan: CasePlan
    cases: dict[Split, PreparedCases]
    slices: dict[Split, list[int]]


def fit_preparation(
    folder: Path,
    *,
    images: Mapping[str, Intensity],
    label: str | None,
    label_reach: float,
    resampling: Resampling,
    split: SplitPlan,
    conditions: Sequence[str],
    cache: Path,
    each: Callable[[str, int], Callable[[], None]],
    numbers: Sequence[str] = (),
    given: Mapping[str, Intensity] | None = None,
    given_label: str | None = None,
) -> FittedData:
    """Prepare the training and validation cases and learn what a sample's form needs.

    The grid lies where the training scans lie on average: the mean of their directions,
    if all are within 5 degrees of it, else the axes of RAS; its middle is the median of
    theirs. The intensity range is the median over training patients where each volume
    has its own.

    Args:
        folder: CASES.
        images: the intensity of each image channel, in order.
        label: the label channel to generate along, or None.
        label_reach: voxels from a label's edge to where its channel is +1 and -1.
        resampling: orientation, spacing, size.
        split: how to divide the patients.
        conditions: attributes the model will be conditioned on as classes.
        cache: folder of prepared tensors.
        each: `each(text, total)` announces work and returns what to call after each case.
        numbers: attributes it will be conditioned on as numbers.
        given: the intensity of each image channel that a sample is made from; a case may lack them.
        given_label: the label channel that a sample is made from, in place of `label`; a case may lack it.

    Raises:
        MedsynthError: cases that lack what is asked for, too few patients.
    """
    records = read_records(folder / CASES_FILE, CaseRecord)
    splits = split_patients(records, split)
    images = _resolve_names(images, records)
    given = _resolve_names(given or {}, records)
    mask = label or given_label
    usable = with_channels(records, [*images, *([label] if label else [])])
    _require_one_meaning(usable, [*images, *given], mask)
    _require_window_for_hu(usable, {**images, **given})
    if not usable:
        asked = ", ".join([*images, *([label] if label else [])])
        raise MedsynthError(f"no case has the channels {asked}{_offer(records, images, label)}")
    training = [record for record in usable if splits.get(record.patient) == "train"]
    require_conditions(training, conditions, numbers, resampling)
    _require_given(training, [*given, *([given_label] if given_label else [])])
    names = _label_names(usable) if mask else {}
    plan = CasePlan(
        intensity=images,
        label=mask,
        label_values=tuple(names),
        label_reach=label_reach,
        resampling=resampling,
        given=given,
        label_given=given_label is not None,
    )
    cases: dict[Split, PreparedCases] = {}
    slices: dict[Split, list[int]] = {}
    ranges: list[Tensor] = []
    places: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    for part in ("train", "validation"):
        chosen = [record for record in usable if splits.get(record.patient) == part]
        if not chosen:
            raise MedsynthError(
                f"no {part} patient has the channels {', '.join([*images, *([label] if label else [])])}: "
                f"set data.split.{'validation above 0, or data.split.' if part == 'validation' else ''}seed"
            )
        cases[part] = PreparedCases(folder, chosen, plan, cache)
        slices[part] = []
        done = each(f"preparing {part} cases", len(chosen))
        for index in range(len(chosen)):
            item = cases[part][index]
            slices[part].append(len(item["x"]))
            if part == "train":
                ranges.append(item["range"])
                places.append(item["affine"].numpy())
            done()
    middle = _median_by_patient(ranges, [record.patient for record in cases["train"].records])
    channel = LabelChannel(name=mask, values=names, reach=label_reach) if mask else None
    layout = Layout(
        images=tuple(
            _image_channel(name, usable[0], low, high)
            for name, (low, high) in zip(images, middle.tolist(), strict=True)
        ),
        label=channel if label else None,
        grid=_common_grid(places, resampling.size),
        given=Given(images={name: _units(usable, name) for name in given}, label=channel if given_label else None),
    )
    preparation = Preparation(
        layout=layout,
        intensity={**images, **given},
        resampling=resampling,
        split=split,
        cases_sha256=cases_digest(records),
        conditions=tuple(conditions),
    )
    return FittedData(usable, splits, preparation, plan, cases, slices)


def _units(records: Sequence[CaseRecord], name: str) -> str:
    """Units of a channel that some cases have, and all that have it in the same."""
    return next(record.channels[name].units for record in records if name in record.channels)


def _image_channel(name: str, record: CaseRecord, low: float, high: float) -> ImageChannel:
    channel = record.channels[name]
    return ImageChannel(
        name=name,
        units=channel.units,
        low=low,
        high=high,
        modality=channel.modality,
        integer=channel.units in ("HU", "grey"),
    )


def _resolve_names(images: Mapping[str, Intensity], records: Sequence[CaseRecord]) -> dict[str, Intensity]:
    """The name image stands for the only image channel where no channel has that name."""
    there = {name for record in records for name, channel in record.channels.items() if channel.kind == "image"}
    if list(images) == ["image"] and "image" not in there and len(there) == 1:
        return {there.pop(): images["image"]}
    return dict(images)


def _require_given(training: Sequence[CaseRecord], names: Sequence[str]) -> None:
    """Refuse to learn from a channel that no training case has."""
    for name in names:
        if not any(name in record.channels for record in training):
            there = sorted({channel for record in training for channel in record.channels})
            raise MedsynthError(
                f"no training case has the channel {name}: set data.given; they have {', '.join(there)}"
            )


def _require_window_for_hu(records: Sequence[CaseRecord], images: Mapping[str, Intensity]) -> None:
    """Refuse to scale each CT by its own percentiles: samples would be in no HU that a scan had."""
    for name, intensity in images.items():
        if intensity.kind == "percentiles" and any(
            name in record.channels and record.channels[name].units == "HU" for record in records
        ):
            raise MedsynthError(
                f"channel {name} is in HU, and percentiles of each scan would lose them: set data=ct_3d or ct_slices, "
                f"or in data.images {_spoken(name, _HU_WINDOW, 'HU')}"
            )


def _require_one_meaning(records: Sequence[CaseRecord], images: Sequence[str], label: str | None) -> None:
    """Refuse a label map taken for an image, an image for a label map, or units that differ among the cases."""
    for name in [*images, *([label] if label else [])]:
        channels = [record.channels[name] for record in records if name in record.channels]
        wanted = "label" if name == label else "image"
        if any(channel.kind != wanted for channel in channels):
            raise MedsynthError(f"channel {name} is no {wanted} in some cases; set data.images and data.label")
        units = sorted({channel.units for channel in channels})
        if len(units) > 1:
            raise MedsynthError(
                f"channel {name} has several units among the cases ({', '.join(units)}); ingest each kind by itself"
            )


def _offer(records: Sequence[CaseRecord], images: Mapping[str, Intensity], label: str | None) -> str:
    """What the cases have instead, and the settings that take it: the user's own under the names that are there."""
    channels = {name: channel for record in records for name, channel in sorted(record.channels.items())}
    there = [name for name in sorted(channels) if channels[name].kind == "image"]
    maps = [name for name in sorted(channels) if channels[name].kind == "label"]
    ways = []
    if any(name not in there for name in images):
        spare = iter(name for name in there if name not in images)
        taken = {name if name in there else next(spare, None): intensity for name, intensity in images.items()}
        parts = [_spoken(name, taken[name], channels[name].units) for name in taken if name is not None]
        ways.append(f"data.images='[{', '.join(parts)}]'" if parts else "cases that have images")
    if label and label not in maps:
        ways.append(f"data.label={maps[0] if maps else 'null'}")
    if not ways:
        return ", all of them: take one out of data.images, or set data.label=null"
    return f"; they have {', '.join(sorted(channels)) or 'none'}: set {' and '.join(ways)}"


def _spoken(name: str, intensity: Intensity, units: str) -> str:
    if units == "HU" and intensity.kind == "percentiles":  # would be refused in its turn
        intensity = _HU_WINDOW
    return f"{{name: {name}, kind: {intensity.kind}, low: {intensity.low:g}, high: {intensity.high:g}}}"


def _label_names(records: Sequence[CaseRecord]) -> dict[int, str]:
    names: dict[int, str] = {0: "background"}
    for record in records:
        for value, name in record.labels.items():
            if names.setdefault(value, name) != name:
                raise MedsynthError(f"label {value} has two names among the cases; ingest them with one set of names")
    if len(names) < 2:
        raise MedsynthError("no case says what its label values mean; ingest again, or set data.label=null")
    return dict(sorted(names.items()))


def _median_by_patient(values: Sequence[Tensor], patients: Sequence[str]) -> Tensor:
    """The median over the patients, each with the mean of its scans: one with many counts once."""
    own: dict[str, list[Tensor]] = {}
    for value, patient in zip(values, patients, strict=True):
        own.setdefault(patient, []).append(value)
    return torch.stack([torch.stack(scans).mean(0) for scans in own.values()]).median(0).values


def _common_grid(affines: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]], size: Sequence[int]) -> Geometry:
    codes = sorted({Geometry((1, 1, 1), affine).axcodes for affine in affines})
    if len(codes) > 1:  # left and right would be mixed in what the model sees
        raise MedsynthError(
            f"the scans' axes run in different directions ({', '.join(codes)}): set data.resampling.orientation=RAS"
        )
    stack = np.stack(affines)
    steps = np.linalg.norm(stack[:, :3, :3], axis=1)
    directions = stack[:, :3, :3] / steps[:, None, :]
    spacing = np.median(steps, axis=0)
    if np.abs(steps / spacing - 1).max() > 0.01:
        raise MedsynthError("the scans have different voxel sizes: set data.resampling.spacing to one for all")
    u, _, vt = np.linalg.svd(directions.mean(0))
    mean = u @ vt  # the nearest rotation (or reflection) to the mean: its polar factor
    relative = directions.transpose(0, 2, 1) @ mean
    angles = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    if angles.max() > _ALIGNED_DEGREES:
        mean = Geometry((1, 1, 1), affines[0]).nearest_direction
    centres = [Geometry(tuple(size), affine).centre for affine in affines]
    return Geometry.centred(size, spacing[: len(size)], mean, np.median(centres, axis=0))
