"""One case: read it, check it, write its channels clean. What a worker process does."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_labels import read_labels
from medsynth.data.nifti import read_nifti, read_nifti_channels, write_nifti
from medsynth.data.picture import read_picture
from medsynth.errors import GeometryError, MedsynthError, UnreadableError
from medsynth.files import sha256_file
from medsynth.geometry import Geometry, require_straight
from medsynth.ingest.gate import Gate, GateError
from medsynth.ingest.looks import look, require_seen
from medsynth.ingest.plan import PlannedCase, PlannedChannel, units_of
from medsynth.records import CaseRecord, Channel

VOLUMES_FOLDER = "volumes"


class Terms(NamedTuple):
    """What is the same for all cases: the folder for them, their licence, the gate, the source that was given."""

    out: Path
    licence: str | None
    gate: Gate
    source: Path


class Task(NamedTuple):
    """A planned case with its pseudonyms."""

    id: str
    patient: str
    plan: PlannedCase
    terms: Terms


class Outcome(NamedTuple):
    """What became of a case.

    Args:
        record: as JSON; None when refused.
        content: SHA-256 of the image voxels alone: equal in two cases, they hold the same picture.
        order: SHA-256 of all voxels, channel names and place: the same with every key and zlib.
        reason: why it was refused, empty otherwise.
        way_out: what the user can do.
        notes: what the identity gate found, as `medsynth.ingest.gate.Note`.
    """

    record: dict[str, Any] | None
    content: str
    order: str
    reason: str
    way_out: str
    notes: Sequence[Sequence[str]] = ()


class _Read(NamedTuple):
    array: NDArray[Any]
    geometry: Geometry
    units: str
    modality: str | None


def convert(task: Task) -> Outcome:
    """Read, check and write one case.

    Raises:
        MedsynthError: the output cannot be written. What is wrong with the case itself is
            an Outcome with a reason.
    """
    plan, (out, licence, gate, source) = task.plan, task.terms
    folder = out / VOLUMES_FOLDER / task.id
    try:
        passed, notes = gate.passed(plan)  # before reading: what is wrong with a channel is said with its name
        channels = _read_case(plan)
        gate.require_clean_files(plan, source)
        plan = passed
        for channel in plan.channels:
            read = channels[channel.name]
            label = channel.kind == "label"  # what is called one may be a scan
            array, seen = look(gate, read.array, read.geometry, read.modality, label=label)
            channels[channel.name] = read._replace(array=array)
            notes += seen
            if channel.reader == "dicom":
                notes += require_seen(gate, channel.paths, seen)
        written = {channel.name: _write(out, folder, channel, channels[channel.name]) for channel in plan.channels}
        gate.require_clean(out, [out / channel.path for channel in written.values()])
    except (GeometryError, UnreadableError) as error:
        return refuse(str(error))
    except GateError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return refuse(str(error))._replace(notes=error.notes)
    record = CaseRecord(
        id=task.id,
        patient=task.patient,
        patient_source=plan.patient_source,
        identity=gate.clearance(notes),
        channels=written,
        geometry=next(iter(channels.values())).geometry,
        labels=_label_names(plan, channels),
        attributes=plan.attributes,
        licence=licence,
        split=plan.split,
    )
    images = {c.name: channels[c.name] for c in plan.channels if c.kind == "image"}
    return Outcome(record.to_json(), _digest(images, place=False), _digest(channels, place=True), "", "", notes)


def _write(out: Path, folder: Path, channel: PlannedChannel, read: _Read) -> Channel:
    path = folder / f"{channel.name}.nii.gz"
    write_nifti(path, read.array, read.geometry)
    return Channel(
        path=path.relative_to(out).as_posix(),
        kind=channel.kind,
        units=read.units,
        modality=read.modality,
        sha256=sha256_file(path),
    )


def refuse(message: str) -> Outcome:
    """An outcome from a message of the form "reason; way out"."""
    reason, _, way_out = message.rpartition("; ")
    return Outcome(None, "", "", reason or way_out, way_out if reason else "exclude the case")


def _read_case(plan: PlannedCase) -> dict[str, _Read]:
    if plan.refusal:
        raise UnreadableError(plan.refusal)
    first = next(channel for channel in plan.channels if channel.kind == "image")
    found = {first.name: _read(first)}
    geometry = found[first.name].geometry
    if geometry.rank == 3:
        require_straight(geometry)
    for channel in plan.channels:
        if channel is not first:
            found[channel.name] = _read(channel, geometry, plan.labels)
        _require_same_grid(channel, found[channel.name].geometry, geometry)
        found[channel.name] = found[channel.name]._replace(geometry=geometry)
        if channel.kind == "label":
            array = _label_map(found[channel.name].array, plan.labels)
            found[channel.name] = found[channel.name]._replace(array=array)
    return found


def _read(channel: PlannedChannel, grid: Geometry | None = None, labels: Mapping[int, str] | None = None) -> _Read:
    """One channel; DICOM labels are drawn on the grid of the image."""
    label = channel.kind == "label"
    try:
        for path in channel.paths:
            with path.open("rb"):
                pass
        if channel.reader == "dicom":
            image = read_dicom(channel.paths, channel.volume, tilt=channel.tilt)
            return _Read(image.array, image.geometry, image.units, image.modality)
        if channel.reader == "dicom_labels" and grid is not None:
            return _Read(read_labels(channel.paths[0], grid, labels or {}), grid, "label", None)
        if channel.reader == "picture":
            array, geometry = read_picture(channel.paths[0], label=label)
            units = "grey" if array.dtype == np.uint8 else "arbitrary"
        else:
            array, geometry = _nifti(channel)
            units = units_of(channel.modality)
            array = array if label else _plain_type(array)
    except OSError as error:
        raise UnreadableError(f"a file cannot be opened ({error.strerror}); mend that or exclude the case") from None
    except (MemoryError, OverflowError):
        raise UnreadableError("the file asks for more memory than there is; exclude the case") from None
    except MedsynthError:
        raise
    except Exception:  # reader libraries fed with any bytes fail in any way, and the other cases go on
        raise UnreadableError(
            "the file holds what its reader does not understand; write it anew or exclude the case"
        ) from None
    return _Read(array, geometry, "label" if label else units, channel.modality)


def _nifti(channel: PlannedChannel) -> tuple[NDArray[Any], Geometry]:
    if channel.index is None:
        return read_nifti(channel.paths[0])
    volumes = read_nifti_channels(channel.paths[0])
    if channel.index >= len(volumes):
        raise UnreadableError(f"the file has {len(volumes)} channels, fewer than dataset.json names; mend one of them")
    return volumes[channel.index]


def _plain_type(array: NDArray[Any]) -> NDArray[Any]:
    """Integers as they are where NIfTI readers take them, float32 otherwise; exact whole float64 stay whole."""
    if array.dtype.kind == "f" and array.dtype.itemsize <= 4:
        return array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        return array.astype(array.dtype.newbyteorder("="))
    if (array == np.rint(array)).all():
        for kind in (np.int16, np.int32):
            if np.iinfo(kind).min <= array.min() and array.max() <= np.iinfo(kind).max:
                return array.astype(kind)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise UnreadableError("voxels are too large for float32; rescale them at the source")
    return narrow


def _require_same_grid(channel: PlannedChannel, geometry: Geometry, first: Geometry) -> None:
    what = "the label map" if channel.kind == "label" else f"channel {channel.name}"
    if geometry.shape != first.shape:
        raise GeometryError(
            f"{what} has shape {geometry.shape}, the image {first.shape}; resample it onto the image's grid"
        )
    tolerance = 0.02 * min(first.spacing)
    if not geometry.is_close(first, tolerance):
        off = np.abs(geometry.centre - first.centre).max()
        raise GeometryError(
            f"{what} lies elsewhere than the image (centres {off:.2f} mm apart, corners more than {tolerance:.3f} mm); "
            "resample it onto the image's grid"
        )


def _label_map(array: NDArray[Any], names: Mapping[int, str] | None) -> NDArray[Any]:
    if (array != np.rint(array)).any():
        raise UnreadableError("the label map holds values between whole numbers; write whole numbers")
    if array.min() < 0 or array.max() > 65535:
        raise UnreadableError("the label map holds values outside 0 to 65535; renumber the labels")
    plain: NDArray[Any] = array.astype(np.uint8 if array.max() <= 255 else np.uint16)
    unknown = sorted({int(value) for value in np.unique(plain)} - {0, *names}) if names else []
    if unknown:
        raise UnreadableError(f"the label map holds the value {unknown[0]}, which the source does not name; name it")
    return plain


def _label_names(plan: PlannedCase, channels: Mapping[str, _Read]) -> dict[int, str]:
    """Names of the values, without background; those of the case alone where the source names none."""
    maps = [channels[channel.name].array for channel in plan.channels if channel.kind == "label"]
    if maps and plan.labels:
        return dict(plan.labels)
    return {int(value): f"label {value}" for array in maps for value in np.unique(array) if value}


def _digest(channels: Mapping[str, _Read], *, place: bool) -> str:
    digest = hashlib.sha256()
    for name, read in sorted(channels.items()):
        head = f"{name if place else ''} {read.array.dtype.str} {read.array.shape} "
        digest.update(head.encode())
        digest.update(np.asfortranarray(read.array).tobytes(order="F"))
        if place:
            digest.update(np.round(read.geometry.affine, 4).tobytes())
    return digest.hexdigest()
