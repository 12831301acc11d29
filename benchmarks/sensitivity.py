"""Which metric catches which fault: degraded real scans judged by the checks of `medsynth evaluate`, at one size.

Real cases are split many times into a group and a reference without a patient in common. The group is judged as it
is and degraded in a known way, by the checks of evaluate with their own bars (real against real at these sizes). A
metric keeps a claim of `medsynth.evidence.claims` where it rejects the fault in at least 80% of the draws and lets
at least 80% of the untouched draws pass (a bar lets 5% fail by chance, and fewer draws than splits are judged). The
last row is of all checks as one, by a bar from 40 further real draws; it claims every fault but a dropped mode.

    python -m benchmarks.sensitivity CASES RUN OUT --size 25

CASES: a folder that ingest wrote. RUN: a run of any length on it, or its preparation.json. OUT: for sensitivity.json.
With --by class, the dropped mode is a class; else the half of the images at one end of the features' first axis.
Exit status: 0 where every claim is kept, 1 where one is not.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.verdict import wilson
from medsynth.data.preparation import Preparation, load_prepared
from medsynth.data.progress import progress_bar
from medsynth.evidence.checks import Check, Outcome
from medsynth.evidence.claims import CLAIMS, DIVERSITY, MODES
from medsynth.evidence.comparison import REAL_DRAWS, make_checks
from medsynth.evidence.image_checks import Alike
from medsynth.evidence.lines import REAL_SHARE, judge
from medsynth.evidence.measurements import Frame, Measured, fit_frame, measure
from medsynth.evidence.together import judge_together
from medsynth.files import write_json
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, HaarPlan
from medsynth.metrics.splits import Sizes, Split, patient_splits

REAL = "real, untouched"
FAULTS = (bad.BLUR, bad.NOISE, bad.AVERAGE, bad.DROPPED, bad.TRIPLED, bad.REPEATED)
CAUGHT = 0.8
TOGETHER = "all together"


class Sensitivity(NamedTuple):
    """Per check, per fault (REAL among them): share of draws in which the check rejects it, (draws,) of 0 and 1."""

    rejected: dict[str, dict[str, NDArray[np.bool_]]]
    size: int
    reference: int

    def broken(self) -> list[str]:
        """Claims that are not kept, in words."""
        wrong = []
        for key, of in self.rejected.items():
            if of[REAL].mean() > 1 - REAL_SHARE + 1e-9:
                wrong.append(f"{key} rejects real draws in {of[REAL].mean():.0%}")
            wrong += [
                f"{key} catches {fault} in {of[fault].mean():.0%} only"
                for fault in claimed(key)
                if fault in of and of[fault].mean() < CAUGHT - 1e-9
            ]
        return wrong


def claimed(key: str) -> tuple[str, ...]:
    """What the check claims to catch, a dropped mode among it."""
    if key == TOGETHER:
        return tuple(fault for fault in FAULTS if fault != bad.DROPPED)
    return CLAIMS.get(name_of(key), ()) + MODES.get(name_of(key), ())


def name_of(key: str) -> str:
    """The metric in the key of a check."""
    return key.partition(" on ")[0].partition(": ")[0]


def sensitivity(
    pool: ImageSet,
    frame: Frame,
    size: int,
    *,
    draws: int = 20,
    splits: int = 200,
    seed: int = 0,
    modes: NDArray[np.str_] | None = None,
    bar_draws: int = REAL_DRAWS,
    progress: bool = False,
) -> Sensitivity:
    """Judge degraded draws of real cases by every check.

    Args:
        pool: real images on one grid.
        frame: fixed on real training images.
        size: images in the degraded group; twice as many must be left for the reference.
        draws: real draws that are judged; splits: that the bars come from.
        seed: of all chance.
        modes: (N,), class of each image; the first in the alphabet is all that a dropped mode leaves.
        bar_draws: further real draws that the bar of all checks together comes from.
        progress: show a bar.

    Raises:
        MedsynthError: too few patients for the size.
    """
    rng = np.random.default_rng(seed)
    owners = pool.owners.tolist()
    largest = int(np.unique(pool.owners, return_counts=True)[1].max())
    rest = min(4 * size, len(owners) - 2 * size - 2 * (largest - 1))
    measured = measure(pool, frame)
    checks = make_checks(
        frame, measured, pool, patient_splits(owners, Sizes(size, rest), splits, rng), shape_checks=False, seed=seed
    )
    checks = [check for check in checks if not getattr(check, "label", "")]
    found: dict[str, dict[str, list[bool]]] = {}
    drawn = patient_splits(owners, Sizes(2 * size, rest), draws + bar_draws, rng)
    with progress_bar(progress) as bar:
        task = bar.add_task("judging", total=bar_draws + draws * (len(FAULTS) + 1), note="")
        real: dict[str, list[Outcome]] = {}
        for split in drawn[draws:]:
            alike = Alike(pool, Split(split.first[:size], split.second), frame.value_range)
            images = pool.take(split.first[:size])
            for key, outcome in _judged(checks, images, frame, measured.take(split.second), alike).items():
                real.setdefault(key, []).append(outcome)
            bar.update(task, advance=1, note=REAL)
        for draw, split in enumerate(drawn[:draws]):
            alike = Alike(pool, Split(split.first[:size], split.second), frame.value_range)
            reference = measured.take(split.second)
            for fault, images in degraded(pool, measured, split, frame, size, modes, seed + draw).items():
                outcomes = _judged(checks, images, frame, reference, alike)
                rejects = {key: outcome.passed is False for key, outcome in outcomes.items()}
                rejects[TOGETHER] = judge_together(outcomes, real, {}, list(outcomes)).verdict == "missed"
                for key, reject in rejects.items():
                    found.setdefault(key, {}).setdefault(fault, []).append(reject)
                bar.update(task, advance=1, note=fault)
    rejected = {key: {fault: np.array(values) for fault, values in of.items()} for key, of in found.items()}
    return Sensitivity(rejected, size, rest)


def _judged(
    checks: Sequence[Check], images: ImageSet, frame: Frame, reference: Measured, alike: Alike
) -> dict[str, Outcome]:
    return judge(checks, measure(images, frame), reference) | {DIVERSITY: alike.judge(images)}


def degraded(
    pool: ImageSet,
    measured: Measured,
    split: Split,
    frame: Frame,
    size: int,
    modes: NDArray[np.str_] | None,
    seed: int,
) -> dict[str, ImageSet]:
    """The first images of a split as they are and with every fault; the dropped mode is of fresh images."""
    rng = np.random.default_rng(seed)
    real = pool.take(split.first[:size])
    if modes is None:
        rows = measured.features[next(iter(frame.features))][split.first]
        centred = rows - rows.mean(0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        left = split.first[np.argsort(along, kind="stable")[:size]]
    else:
        left = split.first[modes[split.first] == np.unique(modes)[0]][:size]
    made = {
        REAL: real,
        bad.BLUR: bad.blurred(real, frame.spacing),
        bad.NOISE: bad.noisy(real, frame.value_range, rng),
        bad.AVERAGE: bad.averaged(real, rng),
        bad.DROPPED: pool.take(np.resize(left, size)),
        bad.TRIPLED: bad.tripled(real, frame.value_range),
        bad.REPEATED: bad.repeated(real),
    }
    return {name: made[name]._replace(owners=np.arange(size).astype(str)) for name in (REAL, *FAULTS)}


def show(result: Sensitivity) -> None:
    """Print the shares; a claim stands in brackets."""
    table = Table("check", *(REAL, *FAULTS), title=f"share of draws rejected, {result.size} against {result.reference}")
    for key, of in result.rejected.items():
        cells = []
        for fault in (REAL, *FAULTS):
            text = f"{of[fault].mean():.2f}"
            cells.append(f"[{text}]".replace("[", "\\[") if fault in claimed(key) else text)
        table.add_row(key, *cells)
    Console(width=150).print(table)


def to_json(result: Sensitivity, seed: int) -> dict[str, Any]:
    """Plain JSON types, each share with its Wilson interval over draws."""
    shares: Mapping[str, Any] = {
        key: {fault: wilson(values, np.arange(len(values)).astype(str))._asdict() for fault, values in of.items()}
        for key, of in result.rejected.items()
    }
    return {
        "size": result.size,
        "reference": result.reference,
        "seed": seed,
        "rejected": shares,
        "broken": result.broken(),
    }


def main() -> int:
    """Run on a folder of cases; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("preparation", type=Path, help="a run on the cases, or its preparation.json")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=25)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--by", default=None, help="attribute whose first value is all that a dropped mode leaves")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    preparation = Preparation.read(chosen.preparation)
    channel = preparation.layout.images[0]
    cases = load_prepared(chosen.cases, preparation)
    images = np.stack([case.images[channel.name] for case in cases])
    labels = np.stack([case.label for case in cases if case.label is not None]) if preparation.layout.label else None
    every = ImageSet(images, labels, np.array([case.record.patient for case in cases]))
    names = preparation.layout.label.values if preparation.layout.label else {}
    plans: Mapping[str, FeaturePlan] = {"haar": HaarPlan()}
    training = every.take(np.flatnonzero([case.split == "train" for case in cases]))
    frame = fit_frame(
        plans, training, preparation.grid.spacing, {v: n for v, n in names.items() if v}, units=channel.units
    )
    modes = np.array([str(case.record.attributes.get(chosen.by)) for case in cases]) if chosen.by else None
    result = sensitivity(every, frame, chosen.size, draws=chosen.draws, seed=chosen.seed, modes=modes, progress=True)
    show(result)
    for line in result.broken():
        print(line)
    write_json(chosen.out / "sensitivity.json", to_json(result, chosen.seed))
    return 1 if result.broken() else 0


if __name__ == "__main__":
    sys.exit(main())
