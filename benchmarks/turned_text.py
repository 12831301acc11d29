"""Whether text that stands on its head, or runs up or down the picture, is found, and what looking for it costs.

`python benchmarks/turned_text.py DATA` draws names and dates into pictures of `burned_in_text.py` without text, turns
the pictures by 0, 90, 180 and 270 degrees, and looks at each twice: reading once, as text stands upright (the
control), and reading what is not sure upside down too. Alarms and processor time are of clean pictures, as many of each
kind.
"""

import argparse
import time
from collections import Counter, defaultdict
from pathlib import Path
from unittest.mock import patch

import numpy as np
from burned_in_text import CONTRASTS, SIZES, WITH_TEXT, Picture, clean_half, covered, draw
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from medsynth.identity import text_model
from medsynth.identity.picture_text import TextFinder, windowed
from medsynth.identity.pixels import Box

WAYS = {"upright alone": -1.0, "upside down too": text_model.SURE}  # the confidence from which a reading is final
TURNS = (0, 90, 180, 270)


def sampled(data: Path, count: int) -> list[Picture]:
    """As many of each kind, by chance."""
    kinds: dict[str, list[Picture]] = defaultdict(list)
    for one in clean_half(data):
        if one.kind != WITH_TEXT:
            kinds[one.kind].append(one)
    rng = np.random.default_rng(0)
    chosen = [kind[at] for kind in kinds.values() for at in rng.choice(len(kind), min(count, len(kind)), replace=False)]
    return [chosen[at] for at in rng.permutation(len(chosen))]


def turned_box(place: Box, shape: tuple[int, int], degrees: int) -> Box:
    """Where a box lies after numpy.rot90."""
    for _ in range(degrees // 90):
        place = Box(place.top, shape[1] - place.left - place.width, place.height, place.width)
        shape = (shape[1], shape[0])
    return place


def look(finder: TextFinder, picture: NDArray, way: str) -> tuple[list[Box], float]:
    """Boxes, and processor seconds."""
    start = time.process_time()
    with patch.object(text_model, "SURE", WAYS[way]):
        boxes = finder.find(picture)
    return boxes, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--clean", type=int, default=50, help="clean pictures of each kind")
    parser.add_argument("--planted", type=int, default=60, help="texts that are planted")
    arguments = parser.parse_args()
    finder, pictures = TextFinder(), sampled(arguments.data, arguments.clean)
    finder.find(windowed(pictures[0].read()))  # loads the models
    alarms, seconds, hits, rng = Counter(), Counter(), defaultdict(list), np.random.default_rng(1)
    for number, one in enumerate(pictures):
        picture = one.read()
        for way in sorted(WAYS, reverse=number % 2 == 1):
            boxes, took = look(finder, picture, way)
            alarms[way] += bool(boxes)
            seconds[way] += took
    for number in range(arguments.planted):
        picture = pictures[number % len(pictures)].read()
        if picture.ndim == 3 or min(picture.shape) < 100:
            continue
        planted = draw(windowed(picture)[..., 0], SIZES[number % 5], CONTRASTS[1 + number // 5 % 3], rng)
        for degrees in TURNS if planted else ():
            place = turned_box(planted.place, planted.picture.shape, degrees)
            picture = np.ascontiguousarray(np.rot90(planted.picture, degrees // 90))
            for way in WAYS:
                hits[way, degrees].append(covered(place, look(finder, picture, way)[0]) > 0.5)
    table = Table("reading", "clean", "alarms", "s a picture", *(f"found, {degrees} degrees" for degrees in TURNS))
    for way in WAYS:
        rows = [hits[way, degrees] for degrees in TURNS]
        rates = [f"{sum(row)}/{len(row)}" for row in rows]
        table.add_row(way, str(len(pictures)), str(alarms[way]), f"{seconds[way] / len(pictures):.3f}", *rates)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
