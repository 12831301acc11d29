"""Samples on disk: volumes first, then the record that says they are whole, a contact sheet at the end."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from medsynth.data.contact_sheet import contact_sheet
from medsynth.data.nifti import Stored, read_nifti, write_nifti, write_stored
from medsynth.errors import MedsynthError
from medsynth.files import inside, sha256_file, write_json
from medsynth.geometry import Geometry
from medsynth.models.layout import LabelChannel, Layout
from medsynth.records import SAMPLES_FILE, Channel, SampleRecord, read_records

SYNTHETIC = "synthetic, medsynth: no patient's scan"
"""Stands in the header of every volume that was made from noise alone."""
DERIVED = "synthetic in part, medsynth: made from another scan"
"""Stands in the header of every volume that has a parent."""
PARTS = ".parts"
SHEET_FILE = "contact_sheet.png"


class Made(NamedTuple):
    """One sample, not yet written: images by name, a label map or None, and their place.

    `scaling` holds (slope, intercept) of images that are stored as their source scales them.
    """

    images: dict[str, NDArray[Any]]
    label: NDArray[Any] | None
    geometry: Geometry
    scaling: Mapping[str, tuple[float, float]] = MappingProxyType({})


def label_of(layout: Layout) -> LabelChannel | None:
    """The label map of a sample, made or given."""
    return layout.label or layout.given.label


def write_volumes(out: Path, index: int, made: Made, layout: Layout, derived: bool) -> dict[str, Channel]:
    """Write a sample's volumes; a plane is written as a volume of one slice where its place says so."""
    said = DERIVED if derived else SYNTHETIC
    channels = {}
    for image in layout.images:
        path = f"volumes/{index:06d}_{image.name}.nii.gz"
        array = made.images[image.name].reshape(made.geometry.shape)
        if image.name in made.scaling:
            write_stored(out / path, Stored(array, *made.scaling[image.name], made.geometry), said)
        else:
            write_nifti(out / path, array, made.geometry, said)
        channels[image.name] = Channel(
            path=path, kind="image", units=image.units, modality=image.modality, sha256=sha256_file(out / path)
        )
    label = label_of(layout)
    if label is not None and made.label is not None:
        path = f"volumes/{index:06d}_{label.name}.nii.gz"
        write_nifti(out / path, made.label.reshape(made.geometry.shape), made.geometry, said)
        channels[label.name] = Channel(path=path, kind="label", units="label", sha256=sha256_file(out / path))
    return channels


def write_part(out: Path, record: SampleRecord) -> None:
    """Say that a sample's volumes are whole."""
    write_json(out / PARTS / f"{record.index:06d}.json", record.to_json())


def finished(out: Path, count: int) -> dict[int, SampleRecord]:
    """Samples that an earlier call of the same plan wrote whole.

    The list of samples is written when all are done: one that lacks some was cut, and that is said in one line.
    """
    found: dict[int, SampleRecord] = {}
    candidates = []
    if (out / SAMPLES_FILE).exists():
        candidates = read_records(out / SAMPLES_FILE, SampleRecord)
        lacking = count - len({record.index for record in candidates if record.index < count})
        if lacking:
            print(
                f"note: {SAMPLES_FILE} lacks {lacking} of its {count} samples: it was cut short or is of another count "
                "and they are made again",
                flush=True,
            )
    for part in sorted((out / PARTS).glob("*.json")):
        try:
            candidates.append(SampleRecord.from_json(json.loads(part.read_text())))
        except (MedsynthError, ValueError, KeyError, TypeError, AttributeError):
            continue
    for record in candidates:
        whole = all(
            inside(out, channel.path).is_file() and sha256_file(inside(out, channel.path)) == channel.sha256
            for channel in record.channels.values()
        )
        if whole and record.index < count:
            found[record.index] = record
    return found


def sheet(out: Path, records: list[SampleRecord], layout: Layout) -> None:
    """Draw the first 64 samples."""
    first, label = layout.images[0], label_of(layout)
    shown = records[:64]
    outlined = label is not None and all(label.name in record.channels for record in shown)
    planes = layout.rank == 2
    places = [Geometry(record.geometry.shape[: layout.rank], record.geometry.affine) for record in shown]

    def array(record: SampleRecord, name: str) -> NDArray[Any]:
        found = read_nifti(inside(out, record.channels[name].path)).array
        return found.reshape(found.shape[:2]) if planes else found

    window = None if any(record.parents for record in shown) else (first.low, first.high)
    said = "synthetic in part" if any(record.parents for record in records) else "synthetic"
    contact_sheet(
        out / SHEET_FILE,
        [array(record, first.name) for record in shown],
        geometries=places,
        window=window,
        labels=[array(record, label.name) for record in shown] if label and outlined else None,
        label_names=label.values if label and outlined else None,
        captions=[" ".join(str(value) for value in (record.id, *record.condition.values())) for record in shown],
        title=f"{said}, {len(records)} samples" + (f", the first {len(shown)}" if len(records) > len(shown) else ""),
    )
