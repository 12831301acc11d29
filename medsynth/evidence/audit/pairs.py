"""Pictures of suspected pairs: sample, training case laid over it, difference. They show real scans."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medsynth.data.contact_sheet import planes
from medsynth.evidence.audit.material import Material
from medsynth.evidence.audit.search import Found
from medsynth.files import write_atomic
from medsynth.geometry import Geometry
from medsynth.metrics.alignment import Aligned, align
from medsynth.metrics.correlation import Searcher
from medsynth.metrics.whitening import WhiteGrid

PAIRS_FOLDER, NEAREST_FOLDER = "pairs", "nearest"
_NEAREST = 6


class Pair(NamedTuple):
    """A sample's row, the real row that it is nearest to, by which search, and how they lie on each other."""

    sample: int
    real: int
    family: str
    aligned: Aligned


def suspected(found: Found) -> list[int]:
    """Rows of the flagged samples, the most suspect first."""
    return [int(row) for row in np.argsort(found.p) if found.flagged[row]]


def nearest(found: Found) -> list[int]:
    """Rows of the samples that come nearest to training without being flagged."""
    gaps = np.max([family.samples.gap for family in found.families.values()], axis=0)
    return [int(row) for row in np.argsort(-gaps) if not found.flagged[row]][:_NEAREST]


def most_telling(found: Found, row: int) -> tuple[str, int]:
    """The search that tells most of a sample, and the real row that it is nearest to by that."""
    chances = {name: family.tail.p(family.samples.gap[row : row + 1])[0] for name, family in found.families.items()}
    name = min(chances, key=lambda one: chances[one])
    return name, int(found.families[name].samples.nearest[row])


def lay(rows: Sequence[int], found: Found, material: Material, searcher: Searcher) -> list[Pair]:
    """The nearest training case of each sample, by its most telling search, laid over it."""
    grid = WhiteGrid(material.reals, int(np.prod(material.reals.shape[2:])), searcher.plan.noise)
    pairs = []
    for row in rows:
        name, real = most_telling(found, row)
        turns = searcher.turns(material.reals.shape[2:])
        aligned = align(material.samples[row], material.reals[real], turns, material.spacing, grid)
        pairs.append(Pair(row, real, name, aligned))
    return pairs


def draw(folder: Path, pairs: Sequence[Pair], material: Material) -> list[str]:
    """A PNG of each pair, `ID.png`; returns the names."""
    return [_draw(folder, pair, material) for pair in pairs]


def _draw(folder: Path, pair: Pair, material: Material) -> str:
    channel, grid = material.preparation.layout.images[0], material.preparation.grid
    record = material.records[pair.sample]
    own, other = material.samples[pair.sample, 0].numpy(), pair.aligned.image[0]
    apart = own - other
    reach = max(float(np.nanpercentile(np.abs(apart), 99)), 0.25 * (channel.high - channel.low))
    kinds = (
        ("sample", own, "gray", (channel.low, channel.high)),
        ("training case, laid over it", other, "gray", (channel.low, channel.high)),
        ("difference", apart, "RdBu_r", (-reach, reach)),
    )
    cuts = [_planes(array, grid) for _, array, _, _ in kinds]
    figure = Figure(figsize=(7.5, 2.6 * len(cuts[0]) + 0.5), dpi=100, layout="constrained")
    axes = figure.subplots(len(cuts[0]), 3, squeeze=False)
    for column, (title, _, colours, (low, high)) in enumerate(kinds):
        for line, (pixels, (height, width)) in enumerate(cuts[column]):
            place = axes[line, column]
            place.imshow(
                pixels, cmap=colours, vmin=low, vmax=high, extent=(0, width, height, 0), interpolation="nearest"
            )
            place.set_facecolor("#303038")
            place.set_xticks([])
            place.set_yticks([])
        axes[0, column].set_title(title, fontsize=9)
    turn = pair.aligned.turn
    moved = f"shift {list(pair.aligned.shift)}, flips {[int(f) for f in turn.flips]}, axes {list(turn.axes)}"
    figure.suptitle(
        f"{record.id}: found by {pair.family}; correlation {pair.aligned.correlation:.2f}; {moved}, {turn.degrees:g}°",
        fontsize=8,
    )
    name = f"{record.id}.png"
    write_atomic(folder / name, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))
    return name


def _planes(array: NDArray[np.float32], grid: Geometry) -> list[tuple[NDArray[np.float32], tuple[float, float]]]:
    return [(plane.pixels, plane.size_mm) for plane in planes(array, grid)]
