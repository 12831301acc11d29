"""What bfloat16 costs each parametrisation, by noise level.

`python benchmarks/precision.py` takes a denoiser that is known (a mixture of three Gaussians with variance 1),
turns it into what each network would have to say, rounds input and answer to bfloat16 as a network under
autocast would, and prints the root mean square error of D that is left, in units of the data. The column
float32 is the same with float32 and has to be near 0.

`python benchmarks/precision.py --run RUN [--samples 16] [--batch 8] [--sampler dpmpp_2m]` makes the samples of a run
in float32 and with `sampler.precision=bf16` from the same noise, and prints the processor's seconds of each (the
clock's on a GPU) and how far the decoded samples lie apart, in units of the distance between two samples. Two rows
are controls: float32 in batches of another size, which has to be near 0, and the samples shuffled, which have to be
near 1.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.parametrisations import Edm, Epsilon, Flow, Parametrisation, Velocity
from medsynth.diffusion.schedules import VpSchedule
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.model import DiffusionModel, require_diffusion
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan

PARTS = ((0.3, -1.25, 0.3), (0.4, 0.1, 0.2), (0.3, 1.1, 0.3))
LEVELS = (0.002, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 80.0, 1000.0)
COUNT = 100_000


def known(x: Tensor, level: float) -> Tensor:
    """E[y | x] of PARTS."""
    v = level**2
    logs = [
        torch.tensor(w).log() - 0.5 * torch.tensor(s * s + v).log() - (x - m) ** 2 / 2 / (s * s + v)
        for w, m, s in PARTS
    ]
    means = [(s * s * x + v * m) / (s * s + v) for _, m, s in PARTS]
    return (torch.stack(logs).softmax(0) * torch.stack(means)).sum(0)


def error(form: Parametrisation, x: Tensor, level: float, kind: torch.dtype) -> float:
    """Of D, where the network's answer is rounded and its input was."""
    sigma = torch.full((len(x),), level, dtype=torch.float64)
    clean = known(x, level)
    frame = form.frame(x, sigma)
    # The network computes its answer from the rounded input: x as it would be behind it.
    scale = (frame.seen[:, :1] / x).mean()
    seen = frame.seen[:, :1].to(kind).double() / scale
    answer = ((known(seen, level) - form.frame(seen, sigma).base) / frame.out).to(kind).double()
    return (frame.base + frame.out * answer - clean).square().mean().sqrt().item()


def drawn(model: DiffusionModel, count: int, batch: int, plan: SamplingPlan) -> tuple[Tensor, float]:
    """Decoded samples (count, C, *spatial), and the seconds that they took."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    asked = [Asked(model.conditioner.in_turn(index, {})) for index in range(count)]
    parts, start = [], clock()
    for first in range(0, count, batch):
        indices = range(first, min(first + batch, count))
        parts.append(
            model.decode(sample_latents(model, indices, asked[first : first + batch], seed=0, plan=plan)).cpu()
        )
    return torch.cat(parts), clock() - start


def compare(run: Path, count: int, batch: int, sampler: str) -> None:
    """Print how far bfloat16 leads the samples of a run from those in float32, and what it saves."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = require_diffusion(load_run(run, device=device).model, "precision")
    exact = SamplingPlan.usual(sampler)
    rounded = replace(exact, precision="bf16")
    for plan in (exact, rounded):
        drawn(model, batch, batch, plan)  # the first call prepares kernels
    reference, seconds = drawn(model, count, batch, exact)
    other, quicker = drawn(model, count, batch, rounded)
    alone, _ = drawn(model, count, max(1, batch // 2), exact)

    def apart(first: Tensor) -> float:
        return (first - reference).square().mean().sqrt().item()

    unit = apart(reference.roll(1, 0))
    table = Table("samples", "seconds a sample", "distance to float32", "largest difference of a voxel, of the range")
    rows = (
        ("float32", reference, seconds),
        ("bfloat16", other, quicker),
        ("control: float32, other batches", alone, None),
    )
    for name, found, taken in rows:
        most = (found - reference).abs().max().item() / 2
        table.add_row(
            name, "" if taken is None else f"{taken / count:.2f}", f"{apart(found) / unit:.5f}", f"{most:.4f}"
        )
    table.add_row("control: shuffled", "", f"{apart(reference.roll(2, 0)) / unit:.3f}", "")
    Console().print(f"{count} samples, {sampler}, {exact.steps} steps, batches of {batch}, {device}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run; without it the known denoiser")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sampler", default="dpmpp_2m")
    chosen = parser.parse_args()
    if chosen.run is not None:
        compare(chosen.run, chosen.samples, chosen.batch, chosen.sampler)
    else:
        known_denoiser()


def known_denoiser() -> None:
    """The table of `error` by level."""
    generator = torch.Generator().manual_seed(0)
    weights, means, stds = (torch.tensor(column, dtype=torch.float64) for column in zip(*PARTS, strict=True))
    which = torch.multinomial(weights, COUNT, replacement=True, generator=generator)
    y = means[which] + stds[which] * torch.randn(COUNT, dtype=torch.float64, generator=generator)
    std = float(y.std())
    prior = GaussianPrior(1, (1,)).double()
    for own in (prior.coarse_std, prior.fine_std):
        own.fill_(std)
    forms: dict[str, Parametrisation] = {
        "edm": Edm(prior, torch.tensor([std], dtype=torch.float64)),
        "epsilon": Epsilon(VpSchedule()),
        "v": Velocity(VpSchedule()),
        "flow": Flow(),
    }
    table = Table("sigma", *forms, "float32, the worst")
    for level in LEVELS:
        x = (y + level * torch.randn(COUNT, dtype=torch.float64, generator=generator)).reshape(-1, 1, 1)
        exact = max(error(form, x, level, torch.float32) for form in forms.values())
        table.add_row(
            f"{level:g}", *(f"{error(form, x, level, torch.bfloat16):.2e}" for form in forms.values()), f"{exact:.1e}"
        )
    Console().print(f"standard deviation of the data {std:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
