"""Verdicts on outcomes of which it is known what they must be."""

import re

import numpy as np
import pytest

from medsynth.evidence.utility import arms
from medsynth.evidence.utility.comparison import Outcomes, judge
from medsynth.evidence.utility.tasks import Classification, Segmentation

TASK = Segmentation((0, 1, 2), ("front", "back"))
GAINS = {
    arms.REAL: 0.0,
    arms.AUGMENTED: 0.02,
    arms.SYNTHETIC: -0.05,
    arms.MIXED: 0.06,
    arms.MIXED_AUGMENTED: 0.07,
    arms.AGAIN: 0.02,
    arms.SHUFFLED: -0.1,
    arms.REPEATED: -0.01,
    arms.MORE: 0.08,
}


def outcomes(gains, draws=3, seeds=2, patients=40, noise=0.005):
    """Dice of two labels: patients differ by 0.05, draws by 0.01, all else by `noise`."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 0.05, (1, 1, patients, 1)) + rng.normal(0, 0.01, (draws, 1, 1, 1))
    shape = (draws, seeds, patients, 2)
    found = {arm: 0.7 + gain + hard + rng.normal(0, noise, shape) for arm, gain in gains.items()}
    return Outcomes(found, np.zeros((patients, 1), dtype=np.int32), np.array([f"p{n}" for n in range(patients)]))


def judged(changes=None, whole=False, known=True, **settings):
    return judge(outcomes({**GAINS, **(changes or {})}, **settings), TASK, whole, known, 400, 0)


def test_a_gain_above_augmentation_is_met_with_its_interval():
    found = judged()
    assert (found.verdict, found.reason) == ("met", "")
    headline = found.differences[0]
    assert (headline.first, headline.second) == (arms.MIXED, arms.AUGMENTED)
    assert headline.interval.low < 0.04 < headline.interval.high
    assert all(control.holds for control in found.controls)
    assert set(found.by_part[arms.REAL]) == {"front", "back"}


def test_differences_are_paired_by_patient():
    found = judged()
    spread = found.scores[arms.MIXED].error
    assert spread > 0.007  # 0.05 between 40 patients, 0.01 between 3 draws
    assert found.differences[0].interval.error < 0.25 * spread


def test_no_gain_is_missed():
    assert judged({arms.MIXED: 0.02}).verdict == "missed"
    assert judged({arms.MIXED: 0.0}).verdict == "missed"


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({arms.MORE: 0.0}, {}, "'real \\+ other real' less 'real' must be above 0 and does not"),
        ({arms.SHUFFLED: 0.06}, {}, "'real \\+ shuffled synthetic' less 'real \\+ synthetic' must be below 0"),
        ({arms.REPEATED: 0.06}, {}, "'real \\+ one synthetic case' less 'real \\+ augmentation' must not be above 0"),
        ({arms.AGAIN: 0.06}, {}, "again' less 'real \\+ augmentation' must not be above 0 and is"),
        ({}, {"draws": 2}, "2 draws, 3 are the least"),
        ({}, {"seeds": 1}, "1 seeds, 2 are the least"),
        ({}, {"patients": 7}, "7 tested patients"),
        ({}, {"known": False}, "name their runs"),
    ],
)
def test_what_the_controls_deny_is_not_measurable(changes, settings, said):
    found = judged(changes, **settings)
    assert found.verdict == "not measurable"
    assert re.search(said, found.reason)


def test_a_row_of_all_patients_asks_what_half_of_them_lack():
    gains = {**GAINS, arms.HALF: -0.06}
    del gains[arms.MORE]
    found = judge(outcomes(gains), TASK, True, True, 400, 0)
    assert found.verdict == "met"
    assert (found.controls[0].first, found.controls[0].second) == (arms.REAL, arms.HALF)


def test_images_of_one_patient_are_not_independent():
    rng = np.random.default_rng(1)
    base = outcomes(GAINS, patients=10, noise=0.0)
    once = judge(base, TASK, False, True, 800, 0).scores[arms.REAL]
    repeated = {arm: np.repeat(found, 20, axis=2) for arm, found in base.outcomes.items()}
    owners = np.repeat(base.owners, 20)
    order = rng.permutation(200)
    repeated = {arm: found[:, :, order] for arm, found in repeated.items()}
    again = judge(Outcomes(repeated, np.zeros((200, 1)), owners[order]), TASK, False, True, 800, 0).scores[arms.REAL]
    assert again.value == pytest.approx(once.value)
    assert again.error == pytest.approx(once.error, rel=1e-6)


def test_a_patient_counts_once_however_many_images():
    base = outcomes(GAINS, patients=10, noise=0.0)
    often = np.repeat(np.arange(10), [31, *[1] * 9])
    found = {arm: one[:, :, often] for arm, one in base.outcomes.items()}
    more = Outcomes(found, np.zeros((40, 1)), base.owners[often])
    one, other = (judge(each, TASK, False, True, 200, 0).scores[arms.REAL] for each in (base, more))
    assert other.value == pytest.approx(one.value)
    assert other.error == pytest.approx(one.error, rel=1e-6)


def test_classes_are_scored_by_area_under_the_curve():
    truth = np.arange(40) % 2
    rng = np.random.default_rng(0)
    found = {}
    for arm, gain in GAINS.items():
        logit = rng.normal(size=(3, 2, 40)) + (1 + 8 * gain) * (2 * truth - 1)
        chance = 1 / (1 + np.exp(-logit))
        found[arm] = np.stack([1 - chance, chance], axis=-1)
    tested = Outcomes(found, truth, np.array([f"p{n}" for n in range(40)]))
    result = judge(tested, Classification(("a", "b")), False, True, 200, 0)
    assert 0.8 < result.scores[arms.REAL].value < 1
    assert result.by_part[arms.REAL]["a"].value == pytest.approx(result.by_part[arms.REAL]["b"].value)
