"""Pictures of a report: real and synthetic in one mixed row of tiles, and flagged pairs."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from scipy import stats

from medsynth.audit_record import PAIRS_FILE
from medsynth.errors import MedsynthError
from medsynth.evidence.reporting.sources import Evidence, Found, texts
from medsynth.files import inside

Reals = Literal["auto", "show", "hide"]
MOST_TILES = 24
MOST_PAIRS = 40
LARGEST = 4096
"""Pixels along a side of a picture that is taken into the page."""
UTILITY_PICTURE = "utility.png"
_FACES = "faces="


class Tile(NamedTuple):
    """A numbered picture (base64 PNG) of which the reader does not know whether it is real."""

    number: int
    png: str
    real: bool


class Quiz(NamedTuple):
    """Tiles in random order; `needed` right guesses of all happen by chance once in twenty or less. `hidden`: why none.

    Without tiles `needed` is None: so few that even all right would happen by chance.
    """

    tiles: tuple[Tile, ...]
    needed: int | None
    hidden: str

    @property
    def wide(self) -> bool:
        """Whether a picture is at least twice as wide as high: slices beside each other."""
        sizes = [Image.open(io.BytesIO(base64.b64decode(tile.png))).size for tile in self.tiles]
        return any(width >= 2 * height for width, height in sizes)


class Shown(NamedTuple):
    """A picture (base64 PNG) with its caption."""

    png: str
    caption: str


def why_hidden(evidence: Evidence, reals: Reals) -> str:
    """Why pictures of real scans are left out, or "".

    The identity gate refuses cases that show a face (docs/explanation/deidentification.md), so cleared cases show
    none as far as the gate can see. Cases taken on somebody's word were not looked at.
    """
    inputs = evidence.evaluation.content["inputs"]
    overrides = {*texts(inputs.get("overrides")), *(name for record in evidence.records for name in record.overrides)}
    if reals == "show":
        return ""
    if reals == "hide":
        return "reals=hide was asked for"
    if any(name.startswith(_FACES) for name in overrides):
        return "faces were let through when the cases were taken in"
    if texts(inputs.get("identity")) != ["cleared"]:
        return "the identity gate did not clear the real scans, so nobody has looked whether they show a face"
    return ""


def make_quiz(evaluation: Found, hidden: str, seed: int) -> Quiz:
    """As many real as synthetic pictures of the evaluation, in an order that the seed fixes.

    Args:
        evaluation: whose groups' `pictures` name PNG files in its folder.
        hidden: why real scans are left out; then the tiles are all synthetic, and there is nothing to guess.
        seed: of the order.
    """
    chosen: list[tuple[bool, Mapping[str, Any]]] = []
    groups = _pictured(evaluation.content)
    for by_kind in groups:
        kinds = {"synthetic": by_kind["synthetic"]} if hidden else by_kind
        count = min(len(entries) for entries in kinds.values())
        count = min(count, max(1, MOST_TILES // 2 // len(groups)))
        chosen += [(kind == "real", entry) for kind, entries in kinds.items() for entry in entries[:count]]
    order = np.random.default_rng(seed).permutation(len(chosen))
    tiles = tuple(
        Tile(number, read_png(evaluation.folder, chosen[row][1]), chosen[row][0]) for number, row in enumerate(order, 1)
    )
    mixed = len({tile.real for tile in tiles}) == 2
    return Quiz(tiles, _needed(len(tiles)) if mixed else None, hidden)


def pairs(audit: Found | None, hidden: str, flagged: bool) -> list[Shown]:
    """The audit's flagged pairs, or its nearest others; at most 40, none where reals are left out."""
    if audit is None or hidden:
        return []
    found: list[Shown] = []
    for entry in _pairs(audit.folder):
        if bool(entry.get("flagged", True)) == flagged and len(found) < MOST_PAIRS:
            said = [f"{text} {_said(entry[key])}" for key, text in _SAID.items() if entry.get(key) is not None]
            found.append(Shown(read_png(audit.folder, {"file": entry.get("picture")}), ", ".join(said)))
    return found


_SAID = {"sample": "sample", "search": "found by the search", "correlation": "correlation", "p": "p-value"}
"""Of a pair, what its caption says: never which case it is."""


def _pairs(folder: Path) -> list[Mapping[str, Any]]:
    try:
        text = (folder / PAIRS_FILE).read_text(encoding="utf-8")
        found = [json.loads(line) for line in text.splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise MedsynthError(f"{PAIRS_FILE} of the audit is cut short; audit anew") from None
    return [entry for entry in found if isinstance(entry, Mapping)]


def utility_figures(utility: Found | None) -> list[Shown]:
    """The figure that the measurement of usefulness drew."""
    if utility is None or not (utility.folder / UTILITY_PICTURE).is_file():
        return []
    how = "Each point is a way to train, with its 95% interval; the tables have the numbers."
    return [Shown(read_png(utility.folder, {"file": UTILITY_PICTURE}), how)]


def read_png(folder: Path, entry: Mapping[str, Any]) -> str:
    """A picture of a folder as base64 PNG, written anew: pixels alone, no text or names that the file may hold.

    Args:
        folder: that the entry belongs to.
        entry: `file`, relative to the folder, and perhaps `sha256`.

    Raises:
        MedsynthError: no picture, too large, changed since it was written, or outside its folder.
    """
    path = inside(folder, str(entry.get("file") or ""))
    again = "; make its folder anew"
    try:
        raw = path.read_bytes()
    except OSError:
        raise MedsynthError(f"a picture that the results name is missing or cannot be read{again}") from None
    if entry.get("sha256") not in (None, hashlib.sha256(raw).hexdigest()):
        raise MedsynthError(f"a picture was changed since it was written{again}")
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
            if max(picture.size) > LARGEST:
                raise MedsynthError(f"a picture is larger than {LARGEST} pixels a side and no picture of ours{again}")
            plain = picture.convert("RGB")
            Image.fromarray(np.asarray(plain)).save(buffer, format="PNG", optimize=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise MedsynthError(f"a picture that the results name is no PNG or cut short{again}") from None
    return base64.b64encode(buffer.getvalue()).decode()


def _pictured(content: Mapping[str, Any]) -> list[dict[str, list[Mapping[str, Any]]]]:
    """Pictures of the first channel by group and kind; each class by itself, else all together."""
    groups = [group for group in content["groups"] if group.get("pictures")]
    groups = [group for group in groups if group["name"] != "all"] or groups
    found = []
    for group in groups:
        first = group["pictures"][0].get("channel")
        listed = [entry for entry in group["pictures"] if entry.get("channel") == first]
        found.append({kind: [e for e in listed if e.get("kind") == kind] for kind in ("synthetic", "real")})
    return found


def _needed(count: int) -> int | None:
    """Fewest right guesses of `count` that guessing reaches with a chance of 5% or less."""
    needed = int(stats.binom.isf(0.05, count, 0.5)) + 1
    return needed if needed <= count else None


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
