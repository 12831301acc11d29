"""Does the search find planted copies, and leave real patients alone?

`python benchmarks/copies.py RUN CASES` takes the split and the preparation of a run (its weights are not asked) and
compares every patient, and copies planted of every kind, with all patients once. Then, over many splits of the
patients into training, held-out and stand-ins for samples: how many of the sets of stand-ins raise an alarm; and, in
sets of 256 of which 5% and 10% are planted copies, how many of the copies are found, by kind. With `--samples` the
other images of those sets are a run's samples, else they are stand-ins, drawn again and again.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from medsynth.data.preparation import Preparation, load_prepared
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.evidence.audit.material import Material, read_folder, read_sample
from medsynth.evidence.audit.plan import AuditPlan, CopyBars
from medsynth.evidence.audit.search import Rows, Searched, alarm, find, is_whole, search, without
from medsynth.metrics.copies import exact_interval, flagged

RATES = (0.05, 0.10)


def material_of(chosen: argparse.Namespace, rng: np.random.Generator) -> Material:
    """All patients, or a part of them, every one of them training: the splits come later."""
    if chosen.samples:
        preparation, records = read_folder(chosen.samples, chosen.run)
        samples = torch.stack([read_sample(chosen.samples, record, preparation) for record in records])
    else:
        preparation, records = Preparation.read(chosen.run), []
    prepared = load_prepared(chosen.cases, preparation)
    patients = np.unique([case.record.patient for case in prepared])
    kept = set(rng.permutation(patients)[: chosen.patients])
    prepared = [case for case in prepared if case.record.patient in kept]
    names = [channel.name for channel in preparation.layout.images]
    reals = torch.stack([torch.from_numpy(np.stack([case.images[name] for name in names])) for case in prepared])
    return Material(
        preparation,
        records,
        samples if chosen.samples else reals[:0],
        reals,
        np.array([case.record.patient for case in prepared]),
        np.array([case.record.id for case in prepared]),
        np.array([case.split == "train" for case in prepared], dtype=bool),
    )


def resplit(searched: Searched, patients: np.ndarray, parts: list[float], rng: np.random.Generator) -> Searched:
    """Training, held-out and stand-in patients drawn anew; the stand-ins are the samples, and no references.

    Planted copies are those of the training patients.
    """
    everyone = rng.permutation(np.unique(patients))
    ends = np.cumsum([round(part * len(everyone)) for part in parts])
    training, stand_ins = (np.isin(patients, some) for some in (everyone[: ends[0]], everyone[ends[1] :]))
    calibration = searched.calibration
    rows = searched.rows.real[stand_ins[calibration]]
    real = searched.rows.real[~stand_ins[calibration]]
    planted = searched.rows.planted[training[searched.sources]]
    split = without(searched._replace(training=training), stand_ins)
    return split._replace(rows=Rows(rows, planted, real), kinds=searched.kinds[training[searched.sources]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--samples", type=Path, default=None, help="of that run, for the sets with planted copies")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--count", type=int, default=256, help="images in a set with planted copies")
    parser.add_argument("--patients", type=int, default=10**9, help="take so many of them")
    parser.add_argument("--planted", type=int, default=40, help="copies made of each kind")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rng, console = np.random.default_rng(chosen.seed), Console(width=120)
    material = material_of(chosen, rng)
    bars = CopyBars(planted=chosen.planted, calibration=max(400, len(material.patients)))
    plan = AuditPlan(copies=bars, membership=None)
    began = time.process_time()
    with progress_bar(sys.stderr.isatty()) as bar:
        task = bar.add_task("searching", total=None, note="")
        searched = search(material, plan, chosen.seed, step=lambda done: bar.update(task, advance=done))
    seconds = time.process_time() - began
    images = len(searched.excluded)
    console.print(
        f"{images} images against {len(material.reals)} of {len(np.unique(material.patients))} patients: "
        f"{seconds:.0f} s of one processor, {1e3 * seconds / images / len(material.reals):.2f} ms a pair"
    )
    alarms, single, p, found = 0, 0, [], {rate: {} for rate in RATES}
    for _ in range(chosen.splits):
        split = resplit(searched, material.patients, [0.6, 0.2, 0.2], rng)
        result = find(split, bars)
        alarms += alarm(result, bars)
        single += bool(result.flagged.any())
        p.append(result.tail.p)
        others = result.p
        if len(searched.rows.samples):  # a run's samples among the planted
            others = find(split._replace(rows=split.rows._replace(samples=searched.rows.samples)), bars).p
        for rate in RATES:
            count(found[rate], split, result.planted_p, others, rate, chosen.count, bars, rng)
    low, high = exact_interval(alarms, chosen.splits)
    console.print(
        f"false alarms: {alarms} of {chosen.splits} splits of real patients ({low:.1%} to {high:.1%}; at most "
        f"{bars.false_alarms:.0%} wanted), {single} of them by a single image; mean p of the tail count "
        f"{np.mean(p):.2f}"
    )
    table = Table("planted", *(f"found at {rate:.0%}" for rate in RATES))
    for kind in dict.fromkeys(searched.kinds):
        table.add_row(str(kind), *(shown(found[rate].get(kind, (0, 0))) for rate in RATES))
    whole = {rate: np.sum([pair for kind, pair in found[rate].items() if is_whole(kind)], axis=0) for rate in RATES}
    table.add_row("whole copies together", *(shown(whole[rate]) for rate in RATES))
    console.print(table)
    return 0 if alarms <= bars.false_alarms * chosen.splits and all(h >= 0.95 * of for h, of in whole.values()) else 1


def count(found, split, planted_p, others, rate, size, bars, rng) -> None:
    """Put planted copies of training patients of this split among other images, and count those flagged."""
    chosen = rng.choice(len(planted_p), round(rate * size), replace=False)
    rest = rng.choice(others, size - len(chosen), replace=True)
    hits = flagged(np.concatenate([planted_p[chosen], rest]), bars.false_alarms / 2)[: len(chosen)]
    for kind, hit in zip(split.kinds[chosen], hits, strict=True):
        before = found.get(kind, (0, 0))
        found[kind] = (before[0] + int(hit), before[1] + 1)


def shown(pair) -> str:
    hits, of = (int(number) for number in pair)
    return f"{hits / of:.1%} of {of}" if of else "-"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"copies: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
