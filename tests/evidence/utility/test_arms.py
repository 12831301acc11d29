"""What each arm is made of, and in which shares."""

import numpy as np
import pytest
import torch

from medsynth.evidence.utility import arms
from medsynth.evidence.utility.arms import Pools, make_arm
from medsynth.evidence.utility.tasks import Material


def material(count, first, patients=None):
    numbers = np.arange(first, first + count)
    owners = np.array([f"p{n // (count // patients) if patients else n}" for n in numbers])
    return Material(torch.from_numpy(numbers).float()[:, None, None], numbers % 2, owners)


POOLS = Pools(material(10, 0, 5), material(20, 100), material(30, 200))


def made(name, classes=False, seed=0):
    return make_arm(name, POOLS, 0.25, classes, np.random.default_rng(seed))


@pytest.mark.parametrize("name", [*arms.ARMS, *arms.controls_of(True), *arms.controls_of(False)])
def test_shares_sum_to_one_and_the_mixing_rule_holds(name):
    arm = made(name)
    numbers = arm.material.images.flatten().numpy()
    assert arm.shares.sum() == pytest.approx(1)
    assert arm.augmented == (name in (arms.AUGMENTED, arms.MIXED_AUGMENTED, arms.AGAIN))
    expected = {arms.SYNTHETIC: 1.0}.get(name, 0.25 if "synthetic" in name else 0.0)
    assert arm.shares[numbers >= 200].sum() == pytest.approx(expected)


def test_every_arm_has_the_rows_real_cases_and_only_the_upper_reference_others():
    for name in (*arms.ARMS, *arms.controls_of(False)):
        numbers = set(made(name).material.images.flatten().int().tolist())
        assert set(range(10)) <= numbers or name == arms.SYNTHETIC
        assert bool(numbers & set(range(100, 120))) == (name == arms.MORE)


def test_the_upper_reference_adds_as_many_patients_or_halves_them():
    more = made(arms.MORE).material
    assert len(set(more.owners)) == 5 + 5
    half = made(arms.HALF).material
    assert len(set(half.owners)) == 2
    assert len(half.images) == 4  # both images of each


def test_shuffled_samples_all_have_another_samples_target():
    arm = made(arms.SHUFFLED)
    pools = POOLS._replace(synthetic=POOLS.synthetic._replace(targets=np.arange(30)))
    arm = make_arm(arms.SHUFFLED, pools, 0.5, False, np.random.default_rng(0))
    assert (arm.material.targets[10:] != np.arange(30)).all()
    assert sorted(arm.material.targets[10:]) == list(range(30))
    assert torch.equal(arm.material.images[10:], POOLS.synthetic.images)


def test_the_repeated_case_is_one_or_one_of_each_class():
    assert made(arms.REPEATED).material.images[10:].flatten().tolist() == [200]
    assert made(arms.REPEATED, classes=True).material.images[10:].flatten().tolist() == [200, 201]
