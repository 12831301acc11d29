"""Pictures of many volumes on one page: middle slices in radiological convention.

The patient's right is on the left of the picture; the front is up in an axial slice,
the head is up in the others, and a sagittal slice looks to the left. Orientation comes
from the affine: a volume is turned to the nearest RAS axes before it is cut.
"""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from medsynth.errors import GeometryError, MedsynthError
from medsynth.files import write_atomic
from medsynth.geometry import Geometry

MOST_VOLUMES = 64
"""A sheet shows the first of these; its title says of how many."""

LONGEST_SIDE = 4000
"""No sheet is wider or higher than this many pixels."""

COLOURS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (255, 176, 0),
    (0, 200, 130),
    (240, 228, 66),
    (235, 70, 90),
    (230, 110, 230),
    (150, 120, 255),
    (180, 180, 180),
)
"""Of labels 1, 2, ...; they repeat. Apart from each other for colour-blind eyes (after Okabe and Ito)."""

_MARGIN = 6
_LINE = 16


class Plane(NamedTuple):
    """One cut: `pixels` (rows, columns) as they lie in the picture, `size_mm` (height, width)."""

    name: str
    pixels: NDArray[Any]
    size_mm: tuple[float, float]


def contact_sheet(
    path: Path,
    volumes: Sequence[NDArray[Any]],
    *,
    geometries: Sequence[Geometry] | None = None,
    window: tuple[float, float] | None = None,
    labels: Sequence[NDArray[Any]] | None = None,
    label_names: Mapping[int, str] | None = None,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    title: str = "synthetic",
    tile: int = 144,
) -> None:
    """Write a PNG of every volume's middle slices (2D images: the image).

    Args:
        path: of the PNG; appears when whole.
        volumes: each (I, J) or (I, J, K), indexed as its geometry.
        geometries: one a volume; by default 1 mm voxels, RAS volumes and plain pictures.
        window: grey values shown as black and white; by default the 0.5 and 99.5 percentile of each.
        labels: one map a volume, drawn as coloured outlines.
        label_names: for a legend under the title.
        captions: one line under each volume.
        columns: volumes beside each other; by default about a square page.
        title: what these are; say "synthetic" of all that is.
        tile: longest side of one slice in pixels; less where the page would grow too large.

    Raises:
        MedsynthError: no volumes, or lists of different lengths.
        GeometryError: an array that does not fit its geometry.
    """
    _check(volumes, geometries, labels, captions)
    total, shown = len(volumes), min(len(volumes), MOST_VOLUMES)
    if total > shown:
        title = f"{title}: the first {shown} of {total}"
    strips: list[Image.Image] = []
    places = geometries or [default_geometry(volume) for volume in volumes]
    wide = columns or _columns(shown, places[0].rank)
    parts = 3 if places[0].rank == 3 else 1
    tile = max(
        24,
        min(
            tile, LONGEST_SIDE // (wide * parts) - 2 * _MARGIN, LONGEST_SIDE // -(-shown // wide) - _LINE - 2 * _MARGIN
        ),
    )
    for index in range(shown):
        label = labels[index] if labels else None
        caption = captions[index] if captions else ""
        strips.append(_strip(volumes[index], places[index], label, window, caption, tile))
    page = _page(strips, wide, title, label_names if labels else None)
    page.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    write_atomic(path, lambda file: page.save(file, format="PNG", optimize=False))


def one_tile(
    path: Path,
    volume: NDArray[Any],
    geometry: Geometry,
    *,
    window: tuple[float, float],
    label: NDArray[Any] | None = None,
    tile: int = 144,
    source: str = "synthetic",
) -> None:
    """Write a PNG of one volume's middle slices without any caption; its text `source` says what it is.

    Args:
        path: of the PNG; appears when whole.
        volume: (I, J) or (I, J, K), indexed as its geometry.
        geometry: of the volume.
        window: grey values shown as black and white.
        label: a map, drawn as coloured outlines.
        tile: longest side of one slice in pixels.
        source: what this is, "synthetic" or "real".

    Raises:
        GeometryError: an array that does not fit its geometry.
    """
    content = tile_png(volume, geometry, window=window, label=label, tile=tile, source=source)
    write_atomic(path, lambda file: file.write(content))


def tile_png(
    volume: NDArray[Any],
    geometry: Geometry,
    *,
    window: tuple[float, float] | None = None,
    label: NDArray[Any] | None = None,
    tile: int = 144,
    source: str = "synthetic",
) -> bytes:
    """What `one_tile` writes; without a window, from the 0.5 to the 99.5 percentile.

    Raises:
        GeometryError: an array that does not fit its geometry.
    """
    strip, text, content = _strip(volume, geometry, label, window, "", tile), PngInfo(), io.BytesIO()
    text.add_text("source", source)
    strip.save(content, format="PNG", optimize=False, pnginfo=text)
    return content.getvalue()


def planes(array: NDArray[Any], geometry: Geometry) -> list[Plane]:
    """The middle axial, coronal and sagittal slice as they lie in a picture; of a 2D image, the image.

    Raises:
        GeometryError: the array does not fit the geometry.
    """
    if tuple(array.shape) != geometry.shape:
        raise GeometryError(f"an array of shape {tuple(array.shape)} does not fit the geometry's {geometry.shape}")
    thick = array if geometry.rank == 3 else array[..., None]
    turn = nib.orientations.io_orientation(geometry.affine)
    upright = nib.orientations.apply_orientation(thick, turn)
    steps = np.empty(3)
    steps[turn[:, 0].astype(int)] = np.linalg.norm(geometry.affine[:3, :3], axis=0)
    names = ("sagittal", "coronal", "axial")
    normals = (2, 1, 0) if geometry.rank == 3 else (int(turn[2, 0]),)
    found = []
    for normal in normals:
        across, up = (axis for axis in range(3) if axis != normal)
        cut = np.take(upright, upright.shape[normal] // 2, axis=normal)
        # Both remaining axes grow to the right, front or head; the picture grows to the left, back and feet.
        pixels = cut[::-1, ::-1].T
        size = (float(pixels.shape[0] * steps[up]), float(pixels.shape[1] * steps[across]))
        found.append(Plane(names[normal], pixels, size))
    return found


def default_geometry(array: NDArray[Any]) -> Geometry:
    """1 mm voxels: a plain picture for (I, J), RAS axes for (I, J, K)."""
    if array.ndim == 2:
        return Geometry.image_plane(array.shape)
    return Geometry.centred(array.shape, (1.0,) * array.ndim)


def _check(volumes: Sequence[Any], *others: Sequence[Any] | None) -> None:
    if not volumes:
        raise MedsynthError("a contact sheet needs at least one volume")
    for other in others:
        if other is not None and len(other) != len(volumes):
            raise MedsynthError(
                f"a contact sheet of {len(volumes)} volumes was given a list of {len(other)} to go with them"
            )


def _columns(count: int, rank: int) -> int:
    return max(1, round(math.sqrt(count / 3) if rank == 3 else math.sqrt(count) * 1.2))


def _strip(
    volume: NDArray[Any],
    geometry: Geometry,
    label: NDArray[Any] | None,
    window: tuple[float, float] | None,
    caption: str,
    tile: int,
) -> Image.Image:
    """One volume: its slices side by side, true in size to each other, the caption below."""
    low, high = window if window is not None else np.percentile(volume, (0.5, 99.5))
    cuts = planes(volume, geometry)
    maps = planes(label, geometry) if label is not None else [None] * len(cuts)
    scale = tile / max(max(cut.size_mm) for cut in cuts)
    tiles = [_tile(cut, over, (float(low), float(high)), scale) for cut, over in zip(cuts, maps, strict=True)]
    strip = Image.new("RGB", (len(tiles) * (tile + 2) - 2, tile + (_LINE if caption else 0)))
    for number, picture in enumerate(tiles):
        strip.paste(picture, (number * (tile + 2) + (tile - picture.width) // 2, (tile - picture.height) // 2))
    if caption:
        ImageDraw.Draw(strip).text((2, tile + 1), caption, fill=(210, 210, 210), font=_font())
    return strip


def _tile(cut: Plane, over: Plane | None, window: tuple[float, float], scale: float) -> Image.Image:
    height, width = (max(1, round(side * scale)) for side in cut.size_mm)
    low, high = window
    grey = np.clip((cut.pixels.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1) * 255
    picture = (
        Image.fromarray(grey.round().astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    )
    if over is None:
        return picture
    values = np.asarray(Image.fromarray(over.pixels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))
    pixels = np.array(picture)
    for value in np.unique(values[values > 0]):
        inside = values == value
        core = inside.copy()
        core[1:] &= inside[:-1]
        core[:-1] &= inside[1:]
        core[:, 1:] &= inside[:, :-1]
        core[:, :-1] &= inside[:, 1:]
        pixels[inside & ~core] = COLOURS[(int(value) - 1) % len(COLOURS)]
    return Image.fromarray(pixels)


def _page(strips: list[Image.Image], columns: int, title: str, names: Mapping[int, str] | None) -> Image.Image:
    cell = (max(strip.width for strip in strips) + 2 * _MARGIN, max(strip.height for strip in strips) + 2 * _MARGIN)
    rows = -(-len(strips) // columns)
    columns = min(columns, len(strips))
    top = _LINE * (2 if names else 1) + 2 * _MARGIN
    page = Image.new("RGB", (columns * cell[0], rows * cell[1] + top), (24, 24, 28))
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN), title, fill=(255, 255, 255), font=_font())
    if names:
        x: float = _MARGIN
        for value, name in sorted(names.items()):
            draw.text((x, _MARGIN + _LINE), name, fill=COLOURS[(value - 1) % len(COLOURS)], font=_font())
            x += draw.textlength(name, font=_font()) + 2 * _MARGIN
    for index, strip in enumerate(strips):
        row, column = divmod(index, columns)
        page.paste(strip, (column * cell[0] + _MARGIN, top + row * cell[1] + _MARGIN))
    return page


def _font() -> Any:
    return ImageFont.load_default(12)
