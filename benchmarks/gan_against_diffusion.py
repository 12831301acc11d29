"""One table, GAN against diffusion: fidelity, coverage, usefulness, time per sample, training time, spread over seeds.

    python benchmarks/gan_against_diffusion.py time --run RUN --out TIMES.json
    python benchmarks/gan_against_diffusion.py table --plan PLAN.csv --out TABLE.json

`time` makes samples with a run, one at a time and in a batch, and writes how long one takes on this machine. `table`
reads what is finished: PLAN.csv has one row a trained run, with the columns kind (gan, diffusion, or any word), seed,
evaluation (the evaluation.json of its samples), and, each where there is one, times (of `time`), training_minutes and
usefulness (a number, such as the mean of the `scores` of the arm "synthetic" in utility.json for the draw of that
checkpoint). Heavy work is so done apart, and each seed once.

Every line that all evaluations have (each check on each kind of features, each label, a segmenter's) becomes a row:
for each kind the mean over seeds and their standard deviation with its 95% interval (chi squared), the seeds that meet
the bar, and the difference of the means with Welch's interval. Fewer than 3 seeds of a kind have no spread: "not
measurable". A line that no bad case of its size fails was "not measurable" in its evaluation and stays so here. The
bar beside a row is that of the reals.
"""

import argparse
import csv
import json
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from medsynth.errors import MedsynthError
from medsynth.files import write_json
from medsynth.models.run import load_run

LEAST_SEEDS = 3
NOT = "not measurable"
_COLUMNS = ("kind", "seed", "evaluation", "times", "training_minutes", "usefulness")


class Spread(NamedTuple):
    """Mean and standard deviation over seeds, the latter with its 95% interval; None where there are too few."""

    mean: float
    std: float | None
    low: float | None
    high: float | None
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Of normal values: (n - 1) s^2 / sigma^2 is chi squared with n - 1 degrees of freedom."""
    mean, n = float(np.mean(values)), len(values)
    if n < LEAST_SEEDS:
        return Spread(mean, None, None, None, n)
    std = float(np.std(values, ddof=1))
    low, high = (std * math.sqrt((n - 1) / stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025))
    return Spread(mean, std, low, high, n)


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of the difference of two means, first less second (Welch 1947); None below 3 seeds of each."""
    if min(len(first), len(second)) < LEAST_SEEDS:
        return None
    if np.ptp(first) == np.ptp(second) == 0:
        apart = float(first[0] - second[0])
        return apart, apart
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where one side has no spread
        interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def read_plan(path: Path) -> list[dict[str, Any]]:
    """Rows of the plan, each with its numbers by name: the evaluation's lines, times, usefulness.

    Raises:
        MedsynthError: columns or files that are not there; samples of different cases or numbers of samples.
    """
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"kind", "seed", "evaluation"} <= set(rows[0]) <= set(_COLUMNS):
        raise MedsynthError(
            f"the plan's first line names its columns, the first three of {', '.join(_COLUMNS)} at least"
        )
    read, alike = [], set()
    for row in rows:
        content = _json(path.parent / row["evaluation"])
        alike.add((content["inputs"]["cases_sha256"], content["inputs"]["samples"]))
        read.append({"kind": row["kind"], "seed": row["seed"], **_numbers(content, row, path.parent)})
    if len(alike) > 1:
        raise MedsynthError("the evaluations are of different cases or numbers of samples; compare like with like")
    if len({(row["kind"], row["seed"]) for row in read}) < len(read):
        raise MedsynthError("a seed stands twice in the plan: it is no further one")
    return read


def _numbers(content: Mapping[str, Any], row: Mapping[str, str], folder: Path) -> dict[str, Any]:
    named = [
        (_name(group["name"], channel["name"], line), line)
        for group in content["groups"]
        for channel in group["channels"]
        for line in channel["lines"]
    ]
    named += [(_name("", "", line), line) for line in (content.get("segmenter") or {"lines": []})["lines"]]
    lines = dict(named)
    if len(lines) < len(named):
        raise MedsynthError("an evaluation of the plan has two lines of one name; make it anew with this version")
    controls = [each for group in content["groups"] for channel in group["channels"] for each in channel["controls"]]
    other = {"bad cases that no check rejects": float(sum(not each["rejected_by"] for each in controls))}
    if row.get("times"):
        times = _json(folder / row["times"])
        other |= {"seconds a sample, alone": times["alone"], "seconds a sample, in a batch": times["batch"]}
    for column, name in (("training_minutes", "minutes of training"), ("usefulness", "usefulness")):
        if row.get(column):
            other[name] = _number(column, row[column])
    return {"lines": lines, "other": other}


def _number(column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MedsynthError(f"{column} of the plan is no number; leave the cell empty where there is none")
    return number


def _name(group: str, channel: str, line: Mapping[str, Any]) -> str:
    features = f"on {line['features']}" if line["features"] else ""
    return " ".join(part for part in (group, channel, line["check"], features, line["subject"]) if part)


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except (OSError, ValueError):
        raise MedsynthError(f"{path.name} of the plan is missing or no JSON") from None


def compare(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a line that all rows have: its bar, spread and seeds that meet it by kind, the difference of two."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    found = []
    for part in ("lines", "other"):
        for name in [name for name in rows[0][part] if all(name in row[part] for row in rows)]:
            entry: dict[str, Any] = {"name": name, "bar": None, "kinds": {}}
            values: dict[str, list[float]] = {}
            for kind in kinds:
                own = [row[part][name] for row in rows if row["kind"] == kind]
                if part == "lines":
                    entry["bar"] = [own[0]["low"], own[0]["high"]]
                    measured = [line for line in own if line["verdict"] != NOT and line["value"] is not None]
                    entry["kinds"][kind] = {"met": sum(line["verdict"] == "met" for line in own), "of": len(own)}
                    own = [line["value"] for line in measured]
                else:
                    entry["kinds"][kind] = {}
                values[kind] = own
                entry["kinds"][kind] |= {"spread": spread(own)._asdict() if own else None}
            entry["difference"] = difference(*values.values()) if len(kinds) == 2 else None
            found.append(entry)
    return found


def show(entries: Sequence[Mapping[str, Any]]) -> None:
    kinds = list(entries[0]["kinds"])
    table = Table(
        "", "bar of the reals", *(f"{kind}: mean ± sd, seeds that meet it" for kind in kinds), "difference, 95%"
    )
    for entry in entries:
        cells = []
        for kind in kinds:
            own = entry["kinds"][kind]
            if not own["spread"]:
                cells.append(NOT)
                continue
            std = own["spread"]["std"]
            passed = f", {own['met']} of {own['of']}" if "met" in own else ""
            cells.append(f"{own['spread']['mean']:.3g} ± {NOT if std is None else f'{std:.2g}'}{passed}")
        bar = " to ".join("" if end is None else f"{end:.3g}" for end in entry["bar"]) if entry["bar"] else ""
        apart = NOT if entry["difference"] is None else " to ".join(f"{end:.3g}" for end in entry["difference"])
        table.add_row(entry["name"], bar, *cells, apart)
    Console().print(table)


def seconds(run: Path, batch: int, repeats: int, weights: str) -> dict[str, Any]:
    """Seconds that one sample takes, the median of some, made alone and in a batch, with the defaults of generate."""
    loaded = load_run(run, weights=weights)
    found = {}
    for name, size in (("alone", 1), ("batch", batch)):
        loaded.model.sample(size, seed=0, batch=size)
        taken = []
        for number in range(repeats):
            start = time.perf_counter()
            loaded.model.sample(size, seed=number, batch=size)
            taken.append((time.perf_counter() - start) / size)
        found[name] = float(np.median(taken))
    return {**found, "size": batch, "repeats": repeats, "checkpoint": loaded.checkpoint}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    timed, tabled = verbs.add_parser("time"), verbs.add_parser("table")
    timed.add_argument("--run", type=Path, required=True)
    timed.add_argument("--batch", type=int, default=8)
    timed.add_argument("--repeats", type=int, default=5)
    timed.add_argument("--weights", default="best")
    tabled.add_argument("--plan", type=Path, required=True)
    for each in (timed, tabled):
        each.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.verb == "time":
        content: Any = seconds(chosen.run, chosen.batch, chosen.repeats, chosen.weights)
        print(f"{content['alone']:.3g} s a sample alone, {content['batch']:.3g} s in a batch of {content['size']}")
    else:
        content = compare(read_plan(chosen.plan))
        show(content)
    write_json(chosen.out, content)


if __name__ == "__main__":
    main()
