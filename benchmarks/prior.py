"""How far the measured Gaussian goes without a network, and whether it tells who was trained on.

`python benchmarks/prior.py RUN CASES` prints, for noise levels sigma, the mean square error of the latent on held-out
patients: EDM's white estimate, the run's prior, the trained network. And, for the part of a scan's deviation from the
mean map that the modes span, how well it tells training patients from held-out ones: the area under the curve with
a 95% interval (0.5: not at all). The control is the same with modes measured on half of the training patients, of all
bands and one for 4 of them, telling that half from the held-out ones: it must be near 1.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import mannwhitneyu
from torch import Tensor

from medsynth.data.dataset import CasePlan, PreparedCases, default_cache
from medsynth.data.preparation import Preparation
from medsynth.data.split import split_patients
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.noise import seeded_noise
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import batch_condition
from medsynth.models.model import DiffusionModel
from medsynth.models.run import load_run
from medsynth.records import CASES_FILE, CaseRecord, read_records

LEVELS = (0.1, 0.3, 1.0, 3.0, 6.0, 12.0, 25.0, 50.0)
MOST_FOR_ERRORS = 64


def latents(model: DiffusionModel, cases: Path, preparation: Preparation, records: list[CaseRecord], cache: Path):
    """(N, C, *spatial) latents of one slice or volume a patient, and the patients' condition vectors."""
    label = preparation.layout.label
    plan = CasePlan(
        intensity=preparation.intensity,
        label=label.name if label else None,
        label_values=tuple(label.values) if label else (),
        label_reach=label.reach if label else 0.0,
        resampling=preparation.resampling,
    )
    one = list({record.patient: record for record in records}.values())
    prepared = PreparedCases(cases, one, plan, cache)
    x = torch.stack([prepared[index]["x"][len(prepared[index]["x"]) // 2] for index in range(len(one))])
    conditioner = model.conditioner
    return model.encode(x), torch.stack([conditioner.vector(conditioner.known(r.attributes)) for r in one])


def errors(model: DiffusionModel, z: Tensor, vectors: Tensor) -> Table:
    white = GaussianPrior(z.shape[1], z.shape[2:])
    for std in (white.coarse_std, white.fine_std):
        std.copy_(model.sigma_data)
    table = Table("sigma", "EDM, white", "prior", "network")
    for level in LEVELS:
        found = []
        for start in range(0, len(z), 8):
            part, rows = z[start : start + 8], range(start, min(start + 8, len(z)))
            sigma = torch.full((len(part),), level)
            noisy = part + level * seeded_noise(0, rows, part.shape[1:], "benchmark")
            condition = batch_condition(vectors[start : start + 8], model.augmentation)
            guesses = (white.mean(noisy, sigma), model.prior.mean(noisy, sigma), model.denoise(noisy, sigma, condition))
            found.append([(guess - part).square().flatten(1).mean(1).numpy() for guess in guesses])
        means = [np.concatenate(each).mean() for each in zip(*found, strict=True)]
        table.add_row(f"{level:g}", *(f"{value:.5f}" for value in means))
    return table


def spanned(mean_map: Tensor, modes: Tensor, z: Tensor) -> np.ndarray:
    """Part of each deviation's energy that the modes span, (N,)."""
    apart = (z - mean_map).flatten(1)
    return ((apart @ modes.flatten(1).T).square().sum(1) / apart.square().sum(1)).numpy()


def area(inside: np.ndarray, outside: np.ndarray) -> str:
    """AUC with the interval of Hanley and McNeil (1982)."""
    n, m = len(inside), len(outside)
    auc = mannwhitneyu(inside, outside).statistic / n / m
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    error = np.sqrt(max(0, auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (m - 1) * (q2 - auc**2)) / n / m)
    return f"{auc:.3f} ({max(0, auc - 1.96 * error):.3f} to {min(1, auc + 1.96 * error):.3f})"


def every_band(z: Tensor) -> tuple[Tensor, Tensor]:
    """The control: mean and one mode for 4 patients, of all bands, each band in units of its own spread."""
    mean = z.mean(0)
    _, _, axes = torch.linalg.svd((z - mean).flatten(1), full_matrices=False)
    return mean, axes[: len(z) // 4].view(-1, *z.shape[1:])


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--cache", type=Path, default=None, help="of prepared scans; default as train")
    chosen = parser.parse_args()
    model, preparation = load_run(chosen.run).model, Preparation.read(chosen.run)
    records = read_records(chosen.cases / CASES_FILE, CaseRecord)
    splits = split_patients(records, preparation.split)
    by_split = {
        part: latents(
            model,
            chosen.cases,
            preparation,
            [record for record in records if (splits[record.patient] == "train") == (part == "train")],
            chosen.cache or default_cache(),
        )
        for part in ("train", "held out")
    }
    seen, (fresh, vectors) = by_split["train"][0], by_split["held out"]
    console, prior, rough = Console(), model.prior, model.prior.rough
    console.print(f"{len(seen)} training and {len(fresh)} held-out patients, {len(prior.modes)} modes")
    console.print(errors(model, fresh[:MOST_FOR_ERRORS], vectors[:MOST_FOR_ERRORS]))
    if len(prior.modes) and prior.factor == 1:
        told = [spanned(prior.mean_map, prior.modes, z[:, :rough]) for z in (seen, fresh)]
        console.print(f"training patients told by the modes: AUC {area(*told)}")
        half = seen[: len(seen) // 2] / model.sigma_data.view(-1, *(1,) * (seen.ndim - 2))
        other = fresh / model.sigma_data.view(-1, *(1,) * (seen.ndim - 2))
        mean, modes = every_band(half)
        console.print(
            f"control, modes of every band:        AUC {area(spanned(mean, modes, half), spanned(mean, modes, other))}"
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"prior: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
