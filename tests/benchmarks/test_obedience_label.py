"""Of patients on both sides the same are drawn: what they share cancels in the ratio."""

import importlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def obedience_label(monkeypatch):
    """The script, which imports its neighbours by name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("obedience_label")


@pytest.fixture
def judged(obedience_label):
    return lambda dice, owners: obedience_label.Judged(np.array(dice)[:, None], np.array(owners))


def test_a_shared_patients_share_is_exact(obedience_label, judged):
    rng = np.random.default_rng(0)
    own = rng.uniform(0.4, 0.95, 40)
    names = [f"p{number:02d}" for number in rng.permutation(40)]
    (row,) = obedience_label.rows_of("x", judged(0.88 * own, names), judged(own, names), ["a"], 0)
    assert row.against == pytest.approx((0.88, 0.88, 0.88), abs=1e-6)


def test_other_patients_are_drawn_apart(obedience_label, judged):
    rng = np.random.default_rng(1)
    one, two = rng.uniform(0.4, 0.95, (2, 400))
    sides = judged(one, [f"a{k}" for k in range(400)]), judged(two, [f"b{k}" for k in range(400)])
    (row,) = obedience_label.rows_of("x", *sides, ["a"], 0)
    spread = np.sqrt(one.var() / one.mean() ** 2 / 400 + two.var() / two.mean() ** 2 / 400)
    low, high = (np.log(end) for end in row.against[1:])
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.1)
