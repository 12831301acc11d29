"""How near a sampler comes to the solution, by evaluations of the network: the same noise, the same run.

`python benchmarks/samplers.py RUN [--samples 8] [--reference 1000] [--out FOLDER]` solves the probability
flow from the same starts with every deterministic sampler at several numbers of evaluations, and prints the
root mean square distance of the decoded samples to the solution by Heun in 1,000 steps, in units of the
distance between two different samples: 1 is another sample altogether. Two rows are controls: the solution
by another method (UniPC, 1,000 steps), which has to be near 0, and the solutions shuffled, which has to be
near 1. A figure and a JSON file of the table go to FOLDER.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.files import write_json
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.model import DiffusionModel
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan

matplotlib.use("agg")
from matplotlib import pyplot as plt

EVALUATIONS = (5, 7, 10, 15, 20, 30, 50, 100)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler (DDIM)": ("euler", {}),
    "heun": ("heun", {}),
    "dpmpp_2m": ("dpmpp_2m", {}),
    "unipc, order 2": ("unipc", {"options": {"order": 2}}),
    "unipc, order 3": ("unipc", {"options": {"order": 3}}),
}


def solve(model: DiffusionModel, plan: SamplingPlan, chosen: argparse.Namespace, advance: Callable[[], None]) -> Tensor:
    """Decoded samples (N, C, *spatial) of the plan."""
    asked = [Asked(model.conditioner.in_turn(index, {})) for index in range(chosen.samples)]
    parts = []
    for start in range(0, chosen.samples, chosen.batch):
        indices = range(start, min(start + chosen.batch, chosen.samples))
        told = [asked[index] for index in indices]
        z = sample_latents(model, indices, told, seed=chosen.seed, plan=plan, on_step=lambda _: advance())
        parts.append(model.decode(z))
    return torch.cat(parts)


def apart(first: Tensor, second: Tensor) -> float:
    """Root mean square over samples and voxels."""
    return (first - second).square().mean().sqrt().item()


def measure(model: DiffusionModel, chosen: argparse.Namespace, bar: Progress) -> dict[str, Any]:
    batches = -(-chosen.samples // chosen.batch)
    plans = [
        (name, SamplingPlan(name=method, steps=(count + 1) // 2 if method == "heun" else count, **settings))
        for name, (method, settings) in METHODS.items()
        for count in EVALUATIONS
    ]
    steps = 2 * chosen.reference + sum(plan.steps for _, plan in plans)
    task = bar.add_task("solving", total=steps * batches, note="")
    go = functools.partial(bar.advance, task)
    exact = solve(model, SamplingPlan(name="heun", steps=chosen.reference), chosen, go)
    unit = apart(exact, exact.roll(1, 0))
    other = solve(model, SamplingPlan(name="unipc", steps=chosen.reference), chosen, go)
    curves: dict[str, dict[int, float]] = {}
    for name, plan in plans:
        cost = 2 * plan.steps - 1 if plan.name == "heun" else plan.steps
        curves.setdefault(name, {})[cost] = apart(solve(model, plan, chosen, go), exact) / unit
    half = exact.roll(len(exact) // 2, 0)
    return {
        "distance": curves,
        "controls": {"UniPC in as many steps": apart(other, exact) / unit, "shuffled": apart(half, exact) / unit},
    }


def draw(found: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, curve in found["distance"].items():
        axes.loglog(list(curve), list(curve.values()), marker="o", label=name)
    for name, value in found["controls"].items():
        axes.axhline(value, color="grey", linestyle=":", linewidth=1)
        axes.annotate(name, (EVALUATIONS[-1], value), ha="right", va="bottom", fontsize=7, color="grey")
    axes.set(xlabel="evaluations of the network", ylabel="distance to the solution\n(1: another sample)")
    axes.set_xticks(EVALUATIONS, [str(count) for count in EVALUATIONS])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--reference", type=int, default=1000, help="Heun's steps to the solution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="folder for the figure and the table")
    chosen = parser.parse_args()
    if chosen.samples < 2 or chosen.batch < 1 or chosen.reference < max(EVALUATIONS):
        raise MedsynthError(f"--samples is 2 or more, --batch 1 or more, --reference {max(EVALUATIONS)} or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    model, began = load_run(chosen.run).model, time.monotonic()
    with progress_bar(True) as bar, torch.no_grad():
        found = measure(model, chosen, bar)
    table = Table("sampler", *(str(count) for count in EVALUATIONS))
    for name, curve in found["distance"].items():
        table.add_row(name, *(f"{value:.4f}" for value in curve.values()))
    console = Console(width=120)
    console.print(
        f"{chosen.samples} samples, {time.monotonic() - began:.0f} s; heun: an evaluation less where it is even"
    )
    console.print(table)
    for name, value in found["controls"].items():
        console.print(f"control, {name}: {value:.4f}")
    if chosen.out:
        write_json(chosen.out / "samplers.json", found)
        draw(found, chosen.out / "samplers.png")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"samplers: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
