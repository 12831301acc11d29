"""The files of a case: read as its record says, written with a mark in their header."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.data.nifti import Stored, read_stored, write_nifti, write_nifti_channels, write_stored
from medsynth.errors import GeometryError, MedsynthError, UnreadableError
from medsynth.export.datasets.entry import Entry, Form
from medsynth.files import inside, sha256_file
from medsynth.geometry import Geometry

_PLACE_MM = 1e-2
"""A float32 header rounds what the record says in full."""
_FLATTEST = 0.1


def read_channel(entry: Entry, name: str) -> Stored:
    """What a channel's file stores, bit for bit, in the record's shape.

    Raises:
        MedsynthError: a file that is missing or was changed.
        GeometryError: a file that lies elsewhere than the record says.
    """
    record = entry.record
    what, verb = ("case", "ingest") if entry.source == "real" else ("sample", "generate")
    channel, path = record.channels[name], inside(entry.folder, record.channels[name].path)
    try:
        fine = sha256_file(path) == channel.sha256
    except (OSError, ValueError):  # ValueError: of a name that no disk can hold
        fine = False
    if not fine:
        raise MedsynthError(f"{what} {record.id}: channel {name} is missing or was changed; {verb} again")
    try:
        stored = read_stored(path)
    except UnreadableError as error:
        raise UnreadableError(f"{what} {record.id}: channel {name}: {error}") from None
    if not stored.geometry.as_volume.is_close(record.geometry.as_volume, tolerance_mm=_PLACE_MM):
        raise GeometryError(f"{what} {record.id}: channel {name} lies elsewhere than its record says; {verb} again")
    shape = record.geometry.shape
    return stored._replace(array=stored.array.reshape(shape), geometry=Geometry(shape, stored.geometry.affine))


def write_image(path: Path, entry: Entry, name: str, *, flat: bool = False) -> None:
    """Write an image channel, the voxels the same bits.

    Args:
        path: of the file.
        entry: the case.
        name: of the channel.
        flat: give a plane that ITK could not place as a 2D image the place of a picture.
    """
    stored = read_channel(entry, name)
    write_stored(path, stored._replace(geometry=_flat(stored.geometry)) if flat else stored, entry.mark)


def write_images(path: Path, entry: Entry, names: list[str]) -> None:
    """Write several image channels into one 4D file, in their own units."""
    stored = [read_channel(entry, name) for name in names]
    write_nifti_channels(path, [_values(one) for one in stored], stored[0].geometry, entry.mark)


def write_label(
    path: Path, entry: Entry, form: Form, mapping: Mapping[int, int] | None = None, *, flat: bool = False
) -> None:
    """Write the label map.

    Args:
        path: of the file.
        entry: the case.
        form: of the data set, with the values that there are.
        mapping: new value of each; None keeps them.
        flat: as `write_image`.

    Raises:
        MedsynthError: a value that no record names.
    """
    assert form.label is not None
    stored = read_channel(entry, form.label)
    values = np.rint(_values(stored)).astype(np.int64)
    found = set(np.unique(values).tolist())
    if not found <= {0, *form.labels}:
        raise MedsynthError(
            f"case {entry.record.id}: its label map holds values that its record does not name; make it anew, with "
            "labels= for all of them"
        )
    largest = max([0, *form.labels])
    if mapping is not None:
        old = np.array(sorted(mapping), dtype=np.int64)
        new = np.array([mapping[value] for value in old.tolist()], dtype=np.int64)
        values, largest = new[np.searchsorted(old, values)], int(new.max())
    kind = next((kind for kind in (np.uint8, np.uint16, np.int32) if largest <= np.iinfo(kind).max), np.int64)
    write_nifti(path, values.astype(kind), _flat(stored.geometry) if flat else stored.geometry, entry.mark)


def _values(stored: Stored) -> NDArray[Any]:
    if (stored.slope, stored.intercept) == (1.0, 0.0):
        return stored.array
    values: NDArray[Any] = (stored.array * stored.slope + stored.intercept).astype(np.float32)
    return values


def _flat(geometry: Geometry) -> Geometry:
    """A plane that lies near x and y as it is; a steeper one, whose 2D direction ITK calls singular, as a picture."""
    if geometry.rank == 3 or abs(np.linalg.det(geometry.direction[:2, :2])) > _FLATTEST:
        return geometry
    return Geometry.image_plane(geometry.shape, geometry.spacing)
