"""Who was trained on, asked of the model itself: does it take the noise off its own patients' scans better?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from medsynth.data.derived import attributes_of
from medsynth.data.preparation import Preparation
from medsynth.data.prepared import CasePlan, PreparedCases
from medsynth.data.split import split_patients
from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.noise import seeded_noise
from medsynth.errors import MedsynthError
from medsynth.evidence.audit.plan import MembershipPlan
from medsynth.metrics.copies import LEAST_REALS
from medsynth.metrics.membership import area, measurable_rates, rate_at, smallest_area, standardised
from medsynth.models.conditioner import TEXT, Asked
from medsynth.models.layout import Told
from medsynth.models.model import DiffusionModel
from medsynth.models.style import style_of
from medsynth.records import CASES_FILE, CaseRecord, read_records

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]


class Patients(NamedTuple):
    """One scan (or middle slice) of each patient: latents (N, C, *spatial), what the model is told, who was learnt."""

    latents: Tensor
    asked: list[Asked]
    training: NDArray[np.bool_]


def read_patients(
    model: DiffusionModel, cases: Path, preparation: Preparation, plan: MembershipPlan, cache: Path, seed: int
) -> Patients:
    """Training patients and held-out ones, at most `plan.most` of each; the test patients where they are enough.

    Validation patients chose the weights, so they are asked only where there are too few others.
    """
    records = read_records(cases / CASES_FILE, CaseRecord)
    case_plan = CasePlan.of(preparation)
    wanted = [*case_plan.intensity, *([case_plan.label] if case_plan.label and not case_plan.label_given else [])]
    splits = split_patients(records, preparation.split)
    one = list({r.patient: r for r in records if all(name in r.channels for name in wanted)}.values())
    test = [record for record in one if splits.get(record.patient) == "test"]
    held_out = test if len(test) >= LEAST_REALS else [r for r in one if splits.get(r.patient) in ("validation", "test")]
    sides = [[record for record in one if splits.get(record.patient) == "train"], held_out]
    rng = np.random.default_rng((seed, 7))
    chosen = [[side[i] for i in np.sort(rng.permutation(len(side))[: plan.most])] for side in sides]
    prepared = PreparedCases(cases, [*chosen[0], *chosen[1]], case_plan, cache)
    latents, asked = [], []
    for index, record in enumerate(prepared.records):
        item = prepared[index]
        middle = len(item["x"]) // 2
        x = item["x"][middle]
        latents.append(model.encode(x[None, : case_plan.made])[0])
        attributes = attributes_of(record, preparation.resampling, middle, len(item["x"]))
        told = {key: value for key, value in model.conditioner.known(attributes).items() if key != TEXT}
        style = style_of(x[: len(case_plan.intensity)]) if model.conditioner.style else None
        asked.append(Asked(told, style, Told(x[case_plan.made :], item["present"])))
    return Patients(torch.stack(latents), asked, np.arange(len(latents)) < len(chosen[0]))


@torch.no_grad()
def denoising_errors(
    model: DiffusionModel,
    patients: Patients,
    plan: MembershipPlan,
    seed: int,
    denoise: Denoise | None = None,
    step: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Logarithm of each patient's error at each level, less that of EDM's white estimate: some scans are hard for all.

    The noise of a level and draw is the same for everybody, so that it tells nobody apart.

    Args:
        model: the run's.
        patients: whose scans.
        plan: levels, draws, batches.
        seed: of the noise.
        denoise: D(x; sigma, condition) in place of the model's: a control.
        step: is told how many evaluations more are done.

    Returns:
        (N, L).
    """
    shape = patients.latents.shape[1:]
    white = GaussianPrior(shape[0], shape[1:])
    for std in (white.coarse_std, white.fine_std):
        std.copy_(model.sigma_data)
    denoise = denoise or model.denoise
    device = model.sigma_data.device
    noise = seeded_noise(seed, range(plan.draws * len(plan.levels)), shape, "membership")
    errors = np.zeros((len(patients.latents), len(plan.levels)))
    for start in range(0, len(errors), plan.batch_size):
        rows = slice(start, start + plan.batch_size)
        z = patients.latents[rows]
        condition = model.condition(patients.asked[rows])
        for level, sigma in enumerate(plan.levels):
            sums = torch.zeros(2, len(z), dtype=torch.float64)
            for draw in range(plan.draws):
                noisy = z + sigma * noise[level * plan.draws + draw]
                levels = torch.full((len(z),), sigma)
                guess = denoise(noisy.to(device), levels.to(device), condition).cpu()
                for number, estimate in enumerate((guess, white.mean(noisy, levels))):
                    sums[number] += (estimate - z).double().square().flatten(1).mean(1)
            errors[rows, level] = (sums[0].clamp(min=1e-12).log() - sums[1].clamp(min=1e-12).log()).numpy()
        if step is not None:
            step(len(z))
    return errors


def remembering(training: Tensor) -> Denoise:
    """The control: the best denoiser for nothing but the training scans (Karras et al. 2022, eq. 57).

    Its estimate is the mean of the training latents, weighted by their likelihood.
    """
    flat = training.flatten(1).double()

    def denoise(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        del condition
        # -|x - t|^2 / 2 but for |x|^2, which is the same for all t: no table of differences, which no memory holds.
        likeness = x.flatten(1).double() @ flat.T - flat.square().sum(1) / 2
        weights = torch.softmax(likeness / sigma.double()[:, None] ** 2, dim=1)
        return (weights @ flat).view(x.shape).float()

    return denoise


def attack(
    model: DiffusionModel,
    patients: Patients,
    plan: MembershipPlan,
    seed: int,
    step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """What the attack tells, with its controls; plain JSON types.

    Raises:
        MedsynthError: too few patients on a side.
    """
    inside, outside = patients.training, ~patients.training
    if min(inside.sum(), outside.sum()) < LEAST_REALS:
        raise MedsynthError(f"membership needs {LEAST_REALS} training and {LEAST_REALS} held-out patients")
    errors = denoising_errors(model, patients, plan, seed, step=step)
    scores = standardised(errors, outside)
    rng = np.random.default_rng((seed, 8))
    others = int(outside.sum())
    control = denoising_errors(model, patients, plan, seed, denoise=remembering(patients.latents[inside]))
    known = standardised(control, outside)
    halves = [_halves(scores[outside], rng) for _ in range(200)]
    strangers = _of_strangers(model, patients, plan, seed, rng)
    rates = measurable_rates(others)
    return {
        "training": int(inside.sum()),
        "held_out": others,
        "area": area(scores[inside], scores[outside])._asdict(),
        "levels": [
            {"sigma": sigma, "area": area(-errors[inside, at], -errors[outside, at])._asdict()}
            for at, sigma in enumerate(plan.levels)
        ],
        "rates": [rate_at(scores[inside], scores[outside], at, rng=rng)._asdict() for at in rates],
        "smallest_area": smallest_area(int(inside.sum()), others),
        "controls": {
            "remembering": area(known[inside], known[outside])._asdict(),
            "strangers": strangers,
            "held_out_halves": [float(q) for q in np.quantile(halves, (0.025, 0.975))],
        },
        "cannot_tell": _cannot_tell(rates, others),
    }


def _cannot_tell(rates: Sequence[float], others: int) -> list[str]:
    found = [
        "another attack (with models trained by the attacker, or with many scans of one patient) may tell more",
    ]
    if 0.01 not in rates:
        found.append(f"{others} held-out patients show no rate of 1% false positives; 300 would")
    return found


def _of_strangers(
    model: DiffusionModel, patients: Patients, plan: MembershipPlan, seed: int, rng: np.random.Generator
) -> dict[str, float]:
    """AUC, and p of the ranks, of a denoiser that remembers half of the held-out patients: it knows nobody asked about.

    Training patients and the other half may differ in it by chance alone. Where they differ by more, by site say, the
    attack reads that as memory, or hides memory behind it.
    """
    inside, outside = patients.training, ~patients.training
    half = rng.permutation(np.flatnonzero(outside))[: int(outside.sum()) // 2]
    errors = denoising_errors(model, patients, plan, seed, denoise=remembering(patients.latents[half]))
    asked = outside.copy()
    asked[half] = False
    scores = standardised(errors, asked)
    p = float(stats.mannwhitneyu(scores[inside], scores[asked]).pvalue)
    return {**area(scores[inside], scores[asked])._asdict(), "p": p}


def _halves(scores: NDArray[np.float64], rng: np.random.Generator) -> float:
    mixed = rng.permutation(scores)
    return area(mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]).value
