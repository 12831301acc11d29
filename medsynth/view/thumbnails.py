"""Small pictures for the gallery: middle slices with their label map, as the contact sheets draw them."""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

from medsynth.data.contact_sheet import tile_png
from medsynth.data.nifti import Volume, read_nifti
from medsynth.errors import MedsynthError, UnreadableError
from medsynth.files import sha256_file
from medsynth.view.catalogue import Entry, VolumeFile

TILE = 112
"""Longest side of one slice in pixels; a volume has three beside each other."""
_KEPT = 4096


def thumbnails(entries: Sequence[Entry]) -> Callable[[int], bytes]:
    """What gives the PNG of an entry by its number: drawn when first asked for, one at a time, and kept."""
    drawing = threading.Lock()

    @lru_cache(maxsize=_KEPT)
    def drawn(number: int) -> bytes:
        with drawing:
            return thumbnail(entries[number])

    return drawn


def thumbnail(entry: Entry) -> bytes:
    """PNG of the first image's middle slices; the label map is outlined where it lies on the same grid.

    Raises:
        MedsynthError: a file that is missing, changed or not readable.
    """
    image = entry.images[0]
    volume = _read(image)
    label = _read(entry.label) if entry.label is not None else None
    fits = label is not None and label.geometry.is_close(volume.geometry, tolerance_mm=1e-2)
    return tile_png(
        volume.array,
        volume.geometry,
        window=image.window,
        label=label.array if label is not None and fits else None,
        tile=TILE,
        source={"synthetic": "synthetic", "real": "real"}.get(entry.kind, "unknown"),
    )


def _read(file: VolumeFile) -> Volume:
    try:
        if file.sha256 is not None and sha256_file(file.place) != file.sha256:
            raise MedsynthError(f"the file of channel {file.name} was changed since it was recorded")
        return read_nifti(file.place)
    except (OSError, ValueError):
        raise UnreadableError(f"the file of channel {file.name} cannot be read") from None
