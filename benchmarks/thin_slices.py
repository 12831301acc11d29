"""Are slices made between thick ones like real thin ones? Scans of volumes that are as fine as the run.

`python benchmarks/thin_slices.py RUN CASES --out FOLDER [--factor 4] [--axis 2] [--count 16] [--returns 5 ...]` takes
held-out scans of CASES (test patients), cuts them to what the run makes, keeps every 4th slice alone, gives them to
`plan=thin_slices` for each number of returns, and compares with the slices that were taken away.

Two sizes, as logarithms: `through`, of the mean |difference| of neighbours across the slices over that of
neighbours in the scan's own slices; `within`, of the mean |difference| of neighbours in the slices that lie between
over that in the own ones. Too smooth is below the reals, too rough above. The range of the reals is measured on
the other test patients, cut alike: where the mean of as many new patients would lie, of both at once in 95% of all
cases (bootstrap of patients and of the set that is drawn, 2,000 draws). The mean of the samples has to lie in it.
`error` is the mean |difference| to the slices that were taken away, in standard deviations of the scan: a draw has a
larger one than a mean, by up to the square root of 2, and cannot be judged by it alone.

Controls of the same command: the scans themselves must lie in the range; linear interpolation between the slices, and
each slice repeated, must not. Else the result is "not measurable at this size", exit status 1. Own slices are compared
bit by bit.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from medsynth.data.nifti import Stored, write_stored
from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.files import write_json
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.geometry import Geometry
from medsynth.ingest.run import NO_KEY, ingest
from medsynth.models.sampling import PRECISIONS, SamplingPlan
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

DRAWS = 2000
Image = NDArray[Any]


class Row(NamedTuple):
    """Means of a set: `through`, `within`, `error`; whether the first two lie in the range of the reals."""

    name: str
    scans: int
    through: float
    within: float
    error: float | None
    fine: bool


def sizes(volume: Image, axis: int, factor: int) -> tuple[float, float]:
    """`through` and `within` of a volume whose every `factor`-th slice is its own."""
    slices = np.moveaxis(volume.astype(np.float64), axis, 0)
    own = np.arange(len(slices)) % factor == 0
    beside = [float(np.mean([np.abs(np.diff(slices[of], axis=a)).mean() for a in (1, 2)])) for of in (own, ~own)]
    across = float(np.abs(np.diff(slices, axis=0)).mean())
    return float(np.log(across / beside[0])), float(np.log(beside[1] / beside[0]))


def interpolated(volume: Image, axis: int, factor: int) -> Image:
    """Between own slices what a straight line says."""
    slices = np.moveaxis(volume.astype(np.float64), axis, 0)
    at = np.arange(len(slices)) / factor
    low = np.minimum(at.astype(int), (len(slices) - 1) // factor - 1)
    own, share = slices[::factor], (at - low)[:, None, None]
    return np.moveaxis(own[low] * (1 - share) + own[low + 1] * share, 0, axis)


def repeated(volume: Image, axis: int, factor: int) -> Image:
    """Between own slices the nearest one."""
    slices = np.moveaxis(volume, axis, 0)
    return np.moveaxis(slices[::factor][np.rint(np.arange(len(slices)) / factor).astype(int)], 0, axis)


def error(volume: Image, truth: Image, axis: int, factor: int) -> float:
    """Mean |difference| between own slices, in standard deviations of the truth."""
    gone = np.arange(truth.shape[axis]) % factor != 0
    return float(np.abs(volume.astype(float) - truth).compress(gone, axis).mean() / truth.std())


def cut(stored: Stored, grid: Geometry, axis: int, factor: int) -> Stored | None:
    """The middle of a scan that fits the run, with own slices first and last; None where its voxels are others."""
    order = [int(np.argmax(np.abs(stored.geometry.affine[:3, a]))) for a in range(3)]
    sides = [min(n, grid.shape[order[a]]) for a, n in enumerate(stored.array.shape)]
    sides[axis] = (sides[axis] - 1) // factor * factor + 1
    spacing = [grid.spacing[a] for a in order]
    if sides[axis] <= factor or not np.allclose(stored.geometry.spacing, spacing, rtol=0.02):
        return None
    begins = [(n - side) // 2 for n, side in zip(stored.array.shape, sides, strict=True)]
    part = stored.array[tuple(slice(b, b + n) for b, n in zip(begins, sides, strict=True))]
    affine = stored.geometry.affine.copy()
    affine[:3, 3] = (stored.geometry.affine @ [*begins, 1])[:3]
    return stored._replace(array=part, geometry=Geometry(part.shape, affine))


def thick(fine: Stored, axis: int, factor: int) -> Stored:
    """Its own slices alone."""
    part = fine.array.take(range(0, fine.array.shape[axis], factor), axis)
    affine = fine.geometry.affine.copy()
    affine[:, axis] *= factor
    return fine._replace(array=part, geometry=Geometry(part.shape, affine))


def made(chosen: argparse.Namespace, returns: int, scans: Path, channel: str, truths: Sequence[Image]) -> list[Image]:
    """What plan=thin_slices makes, in the order of the truths.

    Raises:
        MedsynthError: own slices that lost their bits.
    """
    plan = EditPlan(edit="thin_slices", axis=chosen.axis, factor=chosen.factor, returns=returns)
    sampler = replace(SamplingPlan.usual("dpmpp_2m_sde", steps=chosen.steps), precision=chosen.precision)
    out = chosen.out / f"returns-{returns}"
    generate(chosen.run, out, count=len(truths), plan=plan, parents=scans, sampler=sampler, batch_size=chosen.batch)
    made_from = Parents(out, Preparation.read(out), Preparation.read(out).layout)
    volumes = [made_from.stored(r, channel).array for r in read_records(out / SAMPLES_FILE, SampleRecord)]
    found = []
    for truth in truths:
        own = truth.take(range(0, truth.shape[chosen.axis], chosen.factor), chosen.axis).tobytes()
        same = [
            v for v in volumes if v.take(range(0, v.shape[chosen.axis], chosen.factor), chosen.axis).tobytes() == own
        ]
        if not same:
            raise MedsynthError(f"returns={returns}: own slices of a scan did not keep their bits")
        found.append(same[0])
    return found


def measure(chosen: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The table, and the controls that did not do what they must."""
    preparation = Preparation.read(chosen.run)
    parents = Parents(chosen.cases, preparation, preparation.layout)
    channel = preparation.layout.images[0].name
    every = [parents.stored(parents.record(name), channel) for name in parents.ids("test")]
    scans = [s for s in (cut(each, preparation.grid, chosen.axis, chosen.factor) for each in every) if s is not None]
    if len(scans) < 2 * chosen.count:
        raise MedsynthError(f"{len(scans)} test scans are as fine as the run: --count is half of them at most")
    for number, scan in enumerate(scans[: chosen.count]):
        path = chosen.out / "thick" / f"scan{number:03d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_stored(path, thick(scan, chosen.axis, chosen.factor))
    given = chosen.out / "cases"
    if not given.exists():
        modality = parents.record(parents.ids("test")[0]).channels[channel].modality
        ingest(chosen.out / "thick", given, identity="trust", key=NO_KEY, modality=modality)
    truths, others = [s.array for s in scans[: chosen.count]], [s.array for s in scans[chosen.count :]]
    shape = (chosen.axis, chosen.factor)
    rng, reals = np.random.default_rng(chosen.seed), np.array([sizes(v, *shape) for v in others])
    pools = (reals[rng.integers(len(reals), size=len(reals))] for _ in range(DRAWS))
    draws = np.array([pool[rng.integers(len(pool), size=chosen.count)].mean(axis=0) for pool in pools])
    low, high = np.quantile(draws, [0.0125, 0.9875], axis=0)

    def row(name: str, volumes: Sequence[Image]) -> Row:
        through, within = np.mean([sizes(v, *shape) for v in volumes], axis=0)
        wrong = np.mean([error(v, truth, *shape) for v, truth in zip(volumes, truths, strict=True)])
        fine = low[0] <= through <= high[0] and low[1] <= within <= high[1]
        return Row(name, len(volumes), float(through), float(within), float(wrong), bool(fine))

    rows = [
        Row(f"reals: {name}", chosen.count, end[0], end[1], None, True) for name, end in (("from", low), ("to", high))
    ]
    sets = {f"returns={n}": made(chosen, n, given, channel, truths) for n in chosen.returns}
    rows += [row(name, volumes) for name, volumes in sets.items()]
    rows.append(row("control: the scans", truths))
    rows.append(row("control: linear", [interpolated(v, *shape) for v in truths]))
    rows.append(row("control: repeated", [repeated(v, *shape) for v in truths]))
    wrong = [] if rows[-3].fine else ["the scans themselves were refused"]
    wrong += [f"{r.name} was let through" for r in rows[-2:] if r.fine]
    return rows, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the thick scans, samples and the table")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--axis", type=int, default=2, help="array axis of the scans across the slices")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--returns", type=int, nargs="+", default=[EditPlan().returns])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    chosen = parser.parse_args()
    if chosen.factor < 2 or chosen.count < 2:
        raise MedsynthError("--factor and --count are 2 or more")
    rows, wrong = measure(chosen)
    table = Table("slices between", "scans", "through", "within", "error, SD", "in the reals' range")
    for row in rows:
        said = "" if row.name.startswith("reals") else "yes" if row.fine else "no"
        far = "" if row.error is None else f"{row.error:.3f}"
        table.add_row(row.name, str(row.scans), f"{row.through:+.4f}", f"{row.within:+.4f}", far, said)
    Console(width=110).print(table)
    write_json(chosen.out / "thin_slices.json", {"not measurable": wrong, "rows": [row._asdict() for row in rows]})
    if wrong:
        print(f"not measurable at this size: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if wrong or not all(row.fine for row in rows if row.name.startswith("returns")) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error_:
        print(f"thin_slices: {error_}", file=sys.stderr)
        sys.exit(error_.exit_code)
