"""What a model's Gaussian tells, before any training, of who was trained on.

The prior of parametrisation edm is measured on the training patients: a mean map and principal modes. It takes the
noise off a scan that it was measured on better than off another, and the more modes there are to a patient, the more
so. Here it is measured on N patients with K modes and attacked as `medsynth audit` attacks a model; its network says
nothing.

    python -m benchmarks.prior_membership CASES RUN OUT --patients 20 44 136

CASES: a folder that ingest wrote. RUN: a diffusion run on it, of any length. OUT: for prior_membership.json.
AUC of training against held-out patients, mean over draws of the N. Controls: halves of the held-out patients (0.5),
and the best denoiser of nothing but the N scans (1).
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medsynth.data.preparation import Preparation
from medsynth.data.prepared import default_cache
from medsynth.data.progress import progress_bar
from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.gaussian import OWNERS_PER_MODE, GaussianPrior
from medsynth.errors import MedsynthError
from medsynth.evidence.audit.attack import Denoise, Patients, denoising_errors, read_patients, remembering
from medsynth.evidence.audit.plan import MembershipPlan
from medsynth.files import write_json
from medsynth.metrics.membership import area, standardised
from medsynth.models.model import DiffusionModel
from medsynth.models.run import load_run


class Row(NamedTuple):
    """AUC of every draw of the patients, with so many modes; both controls."""

    patients: int
    modes: int
    areas: list[float]
    halves: list[float]
    remembering: list[float]


def measure(
    model: DiffusionModel, everybody: Patients, patients: int, modes: int, draws: int, plan: MembershipPlan
) -> Row:
    """Fit and attack the prior on `draws` draws of `patients` training patients.

    Args:
        model: whose latents and prior's grid are taken.
        everybody: training and held-out patients.
        patients: N; modes: K, at most N / 16.
        draws: of the N.
        plan: of the attack.
    """
    row = Row(patients, modes, [], [], [])
    pool = np.flatnonzero(everybody.training)
    held_out = np.flatnonzero(~everybody.training)
    for draw in range(draws):
        rng = np.random.default_rng((patients, draw))
        chosen = rng.permutation(pool)[:patients]
        rows = np.concatenate([chosen, held_out])
        told = Patients(
            everybody.latents[rows], [everybody.asked[at] for at in rows], np.arange(len(rows)) < len(chosen)
        )
        latents = everybody.latents[chosen]
        for denoise, into in ((fitted(model, latents, modes), row.areas), (remembering(latents), row.remembering)):
            errors = denoising_errors(model, told, plan, draw, denoise=denoise)
            scores = standardised(errors, ~told.training)
            into.append(area(scores[told.training], scores[~told.training]).value)
        others = rng.permutation(scores[~told.training])
        row.halves.append(area(others[: len(others) // 2], others[len(others) // 2 :]).value)
    return row


def fitted(model: DiffusionModel, latents: Tensor, modes: int) -> Denoise:
    """The denoiser of a prior that is measured on `latents` (N, C, *spatial), each of a patient of their own."""
    prior = GaussianPrior(latents.shape[1], latents.shape[2:], modes, model.prior.rough, model.prior.factor)
    mean = to_rank(prior.fit(iter([latents]), range(len(latents))).mean.float()[None], latents.ndim)

    def denoise(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        del condition
        return prior.mean(x - mean, sigma) + mean

    return denoise


def main() -> int:
    """Run on a folder of cases; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, nargs="+", required=True)
    parser.add_argument("--draws", type=int, default=5)
    chosen = parser.parse_args()
    model = load_run(chosen.run).model
    if not isinstance(model, DiffusionModel):
        raise MedsynthError("RUN is of a GAN, which has no prior")
    preparation, plan = Preparation.read(chosen.run), MembershipPlan()
    everybody = read_patients(model, chosen.cases, preparation, plan, default_cache(), 0)
    if max(chosen.patients) > everybody.training.sum():
        raise MedsynthError(f"--patients: there are {everybody.training.sum()} training patients")
    wanted = [(n, k) for n in chosen.patients for k in (0, 1, 2, 4, 8, 16, 32, 64) if k <= n // OWNERS_PER_MODE]
    rows = []
    with progress_bar(True) as bar, torch.no_grad():
        task = bar.add_task("attacking", total=len(wanted), note="")
        for patients, modes in wanted:
            rows.append(measure(model, everybody, patients, modes, chosen.draws, plan))
            bar.update(task, advance=1, note=f"{patients} patients, {modes} modes")
    held_out = int((~everybody.training).sum())
    table = Table("patients", "modes", "a mode for", "AUC", "least and most", "held-out halves", "remembering")
    for row in rows:
        low, high = min(row.areas), max(row.areas)
        cells = [f"{np.mean(row.areas):.3f}", f"{low:.3f} to {high:.3f}"]
        cells += [f"{np.mean(row.halves):.3f}", f"{np.mean(row.remembering):.3f}"]
        table.add_row(str(row.patients), str(row.modes), f"{row.patients / row.modes:.0f}" if row.modes else "", *cells)
    Console(width=110).print(table)
    write_json(chosen.out / "prior_membership.json", {"held_out": held_out, "rows": [row._asdict() for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
