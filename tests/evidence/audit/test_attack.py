import numpy as np
import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.evidence.audit.attack import attack, denoising_errors, read_patients, remembering
from medsynth.evidence.audit.plan import MembershipPlan
from medsynth.models.run import load_run

PLAN = MembershipPlan(levels=(0.3, 1.0), draws=2)


def test_the_denoiser_that_remembers_is_the_posterior_mean_of_the_training_set() -> None:
    training = torch.tensor([[[0.0]], [[2.0]]])
    sigma = torch.tensor([1.0])
    found = remembering(training)(torch.tensor([[[1.5]]]), sigma, Condition())
    weights = np.exp([-(1.5**2) / 2, -(0.5**2) / 2])
    assert float(found) == np.float32(2 * weights[1] / weights.sum())


def test_a_run_that_learnt_nothing_tells_nobody_and_the_control_tells_everybody(house) -> None:
    model = load_run(house.run).model
    patients = read_patients(model, house.cases, house.preparation, PLAN, house.settings["cache"], 0)
    assert patients.training.sum() == 44
    assert (~patients.training).sum() == 28  # test patients alone: they are enough
    found = attack(model, patients, PLAN, 0)
    assert found["area"]["low"] < 0.5 < found["area"]["high"]
    assert found["controls"]["remembering"]["value"] == 1.0
    low, high = found["controls"]["held_out_halves"]
    assert low < 0.5 < high
    assert found["controls"]["strangers"]["p"] > 0.01
    assert [rate["at"] for rate in found["rates"]] == [0.1]


@pytest.mark.parametrize("of", [True, False])
def test_patients_of_another_kind_show_in_a_denoiser_that_knows_nobody(house, of) -> None:
    """One side has half the contrast: strangers help more with one than with the other, whatever a model remembers."""
    model = load_run(house.run).model
    patients = read_patients(model, house.cases, house.preparation, PLAN, house.settings["cache"], 0)
    latents = patients.latents.clone()
    latents[torch.from_numpy(patients.training) == of] *= 0.5
    strangers = attack(model, patients._replace(latents=latents), PLAN, 0)["controls"]["strangers"]
    assert strangers["p"] < 1e-3


def test_errors_do_not_depend_on_the_batch(house) -> None:
    model = load_run(house.run).model
    patients = read_patients(model, house.cases, house.preparation, PLAN, house.settings["cache"], 0)
    one, five = (
        denoising_errors(model, patients, MembershipPlan(levels=(0.3, 1.0), batch_size=size), 0) for size in (1, 5)
    )
    assert np.allclose(one, five, atol=1e-4)
