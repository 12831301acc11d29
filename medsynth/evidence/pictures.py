"""The pictures that an evaluation shows, as PNG files beside evaluation.json, so that a page needs no scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.data.contact_sheet import one_tile
from medsynth.files import sha256_file
from medsynth.geometry import Geometry

PICTURES_FOLDER = "pictures"
SIDE = 192
"""Longest side of a slice in pixels."""


class Picture(NamedTuple):
    """Images of one kind ("synthetic" or "real") and channel on one grid, with label maps or None and a grey window."""

    title: str
    images: Sequence[NDArray[Any]]
    labels: Sequence[NDArray[Any]] | None
    grid: Geometry
    window: tuple[float, float]
    channel: str


def write_pictures(out: Path, groups: Sequence[Sequence[Picture]], seed: int) -> list[list[dict[str, Any]]]:
    """Write a PNG of every image, named by a running number in random order; the index alone says what is synthetic.

    Pictures carry no caption, so that a page can let its reader guess; each has a PNG text `source`.

    Args:
        out: folder of the evaluation.
        groups: of every group, its pictures by kind.
        seed: of the order.

    Returns:
        Of every group one entry a picture: `file` (relative to `out`), `outlined` (with the label map's outlines, or
        None), `kind`, `channel`, `sha256`; in the order of the file names.
    """
    total = sum(len(picture.images) for group in groups for picture in group)
    numbers = iter(np.random.default_rng(seed).permutation(total).tolist())
    found = []
    for group in groups:
        entries = []
        for picture in group:
            for row, image in enumerate(picture.images):
                name = f"{PICTURES_FOLDER}/{next(numbers):04d}"
                label = picture.labels[row] if picture.labels is not None else None
                path = out / f"{name}.png"
                one_tile(path, image, picture.grid, window=picture.window, tile=SIDE, source=picture.title)
                if label is not None:
                    over = out / f"{name}_outlined.png"
                    one_tile(
                        over, image, picture.grid, window=picture.window, label=label, tile=SIDE, source=picture.title
                    )
                entries.append(
                    {
                        "file": f"{name}.png",
                        "outlined": f"{name}_outlined.png" if label is not None else None,
                        "kind": picture.title,
                        "channel": picture.channel,
                        "sha256": sha256_file(path),
                    }
                )
        found.append(sorted(entries, key=lambda entry: str(entry["file"])))
    return found
