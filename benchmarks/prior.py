"""How far the measured Gaussian goes without a network, and whether it tells who was trained on.

`python benchmarks/prior.py RUN CASES` prints, by noise level, the mean square error of held-out patients' latents:
EDM's white estimate, the run's prior, the trained network. And how well the prior tells training patients from
held-out ones, as the area under the curve with a 95% interval (0.5: not at all), by two attacks: the part of a scan's
deviation from the mean map that the modes span; and, for somebody who has other patients' scans (half of the held-out
ones), the scan's likeness to what sets the mean map apart from their mean, whitened by their power spectrum. The
controls are the same attacks on half of the training patients: on modes of all bands, one for 4 patients, and on
their plain mean. Both must tell that half from the held-out ones, or the attack proves nothing.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medsynth.data.preparation import Preparation
from medsynth.data.prepared import CasePlan, PreparedCases, default_cache
from medsynth.data.split import split_patients
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.noise import seeded_noise
from medsynth.errors import MedsynthError
from medsynth.metrics.membership import area
from medsynth.models.conditioner import batch_condition
from medsynth.models.model import DiffusionModel
from medsynth.models.run import load_run
from medsynth.records import CASES_FILE, CaseRecord, read_records

LEVELS = (0.1, 0.3, 1.0, 3.0, 6.0, 12.0, 25.0, 50.0)
MOST_FOR_ERRORS = 64


def latents(model: DiffusionModel, cases: Path, preparation: Preparation, records: list[CaseRecord], cache: Path):
    """(N, C, *spatial) latents of one slice or volume a patient, and the patients' condition vectors."""
    one = list({record.patient: record for record in records}.values())
    prepared = PreparedCases(cases, one, CasePlan.of(preparation), cache)
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


def likeness(mean_map: Tensor, reference: Tensor, z: Tensor) -> np.ndarray:
    """Matched filter for the trace that one scan leaves in a mean, in noise of the scans' own spectrum, (N,)."""
    axes = tuple(range(2, z.ndim))
    mean = reference.mean(0)
    power = torch.fft.fftn(reference - mean, dim=axes).abs().square().mean(0)
    trace = torch.fft.fftn((mean_map - mean)[None], dim=axes) / power.clamp(min=1e-6 * float(power.max()))
    return (torch.fft.fftn(z - mean, dim=axes) * trace.conj()).real.flatten(1).sum(1).numpy()


def shown(inside: np.ndarray, outside: np.ndarray) -> str:
    found = area(inside, outside)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


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
    kept = int((prior.variances > 0).sum())
    console.print(f"{len(seen)} training and {len(fresh)} held-out patients, {kept} modes")
    console.print(errors(model, fresh[:MOST_FOR_ERRORS], vectors[:MOST_FOR_ERRORS]))
    if len(prior.modes) and prior.factor == 1:
        told = [spanned(prior.mean_map, prior.modes, z[:, :rough]) for z in (seen, fresh)]
        console.print(f"training patients told by the modes:    AUC {shown(*told)}")
        reference, others = fresh[::2, :rough], fresh[1::2, :rough]
        told = [likeness(prior.mean_map, reference, z) for z in (seen[:, :rough], others)]
        console.print(f"training patients told by the mean map: AUC {shown(*told)}")
        scale = model.sigma_data.view(-1, *(1,) * (seen.ndim - 2))
        half, other = seen[::2] / scale, fresh / scale
        mean, modes = every_band(half)
        told = [spanned(mean, modes, z) for z in (half, other)]
        console.print(f"control, modes of every band:           AUC {shown(*told)}")
        half = seen[::2, :rough]
        told = [likeness(half.mean(0), reference, z) for z in (half, others)]
        console.print(f"control, plain mean:                    AUC {shown(*told)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"prior: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
