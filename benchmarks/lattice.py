"""Do samples show where the wavelet's blocks lie?

`python benchmarks/lattice.py CASES SAMPLES... [--stride 4]` measures along every axis how much more neighbouring voxels
differ across the border of two blocks of `stride` voxels than inside a block: the logarithm of the ratio of the mean
|difference|, 0 where nothing begins there (0.1 is 10% more). The reals are the held-out patients; their range
is where the mean of as many new patients would lie in 95% of all cases (bootstrap of patients and of the
set that is drawn from them, 2,000 draws). Controls of the same command: a half of the reals must lie in the
range of the other half; reals of which every block is darker or brighter by a hundredth of their range must not.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from medsynth.data.preparation import Preparation, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import read_samples

DRAWS = 2000
Image = NDArray[Any]


def lattice(image: Image, stride: int) -> float:
    """Log of the mean |difference| across borders of blocks over that inside blocks; mean over the axes."""
    found = []
    for axis in range(image.ndim):
        steps = np.moveaxis(np.abs(np.diff(image.astype(np.float64), axis=axis)), axis, 0)
        border = np.arange(len(steps)) % stride == stride - 1
        found.append(np.log(steps[border].mean() / steps[~border].mean()))
    return float(np.mean(found))


def blocked(image: Image, stride: int, rng: np.random.Generator) -> Image:
    """The image with an offset of its own for every block, of a hundredth of its range."""
    shape = tuple(-(-side // stride) for side in image.shape)
    offsets = rng.normal(0, 0.01 * np.ptp(image), shape)
    for axis in range(image.ndim):
        offsets = offsets.repeat(stride, axis)
    return np.asarray(image + offsets[tuple(slice(side) for side in image.shape)])


def by_patient(values: NDArray[np.float64], owners: NDArray[np.str_]) -> NDArray[np.float64]:
    return np.array([values[owners == owner].mean() for owner in np.unique(owners)])


def measure(chosen: argparse.Namespace) -> list[tuple[str, int, float, bool]]:
    preparation, rng = Preparation.read(chosen.samples[0]), np.random.default_rng(0)
    first = preparation.layout.images[0].name
    held_out = load_prepared(chosen.cases, preparation, ["validation", "test"])
    images = [case.images[first] for case in held_out]
    owners = np.array([case.record.patient for case in held_out])
    reals = by_patient(np.array([lattice(image, chosen.stride) for image in images]), owners)

    def span(pool: NDArray[np.float64], count: int) -> tuple[float, float]:
        pools = (pool[rng.integers(len(pool), size=len(pool))] for _ in range(DRAWS))
        low, high = np.quantile([p[rng.integers(len(p), size=count)].mean() for p in pools], [0.025, 0.975])
        return float(low), float(high)

    rows = []
    for folder in chosen.samples:
        samples = read_samples(folder, Preparation.read(folder))
        values = np.array([lattice(image, chosen.stride) for image in samples.images[first]])
        low, high = span(reals, len(values))
        rows += [("reals: from", len(values), low, True), ("reals: to", len(values), high, True)]
        rows.append((folder.name, len(values), float(values.mean()), bool(low <= values.mean() <= high)))
    turn = rng.permutation(len(reals))
    half, other = reals[turn[::2]], reals[turn[1::2]]
    low, high = span(other, len(half))
    rows.append(("control: half of the reals", len(half), float(half.mean()), bool(low <= half.mean() <= high)))
    bad = by_patient(np.array([lattice(blocked(i, chosen.stride, rng), chosen.stride) for i in images]), owners)
    low, high = span(reals, len(bad))
    rows.append(("control: reals in blocks", len(bad), float(bad.mean()), bool(low <= bad.mean() <= high)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--stride", type=int, default=4, help="voxels of a block: 2 to the autoencoder's levels")
    chosen = parser.parse_args()
    if chosen.stride < 2:
        raise MedsynthError("--stride is 2 or more")
    rows = measure(chosen)
    table = Table("images", "number", "across blocks", "in the reals' range")
    for name, count, value, fine in rows:
        table.add_row(name, str(count), f"{value:+.4f}", "" if name.startswith("reals") else "yes" if fine else "no")
    Console(width=100).print(table)
    able = rows[-2][3] and not rows[-1][3]
    if not able:
        print("a control does not do what it must: not measurable at this size")
    return 0 if able else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"lattice: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
