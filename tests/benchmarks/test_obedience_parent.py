"""Skill has the sizes of theory, a swap never leaves a patient its own, and the nearest parent is found."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medsynth.errors import MedsynthError


@pytest.fixture
def parent(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("obedience_parent")


def pairs(parent, rng, error=0.5, patients=60, each=2, width=50):
    """Parents of N(0, 1) in every voxel, shown with an error of N(0, error)."""
    owners = np.repeat(np.arange(patients), each).astype(str)
    wanted = rng.normal(0, 1, (patients, width)).repeat(each, axis=0)
    return parent.Pairs(wanted + rng.normal(0, error, wanted.shape), wanted, owners)


def test_skill_has_the_size_of_theory(parent):
    row = parent.row("samples", pairs(parent, np.random.default_rng(0)), guess=1.0, least=0.5, seed=0)
    assert row.value.value == pytest.approx(0.75, abs=0.01)
    assert row.value.low < 0.75 < row.value.high
    assert row.met
    assert row.owners == 60


def test_parents_of_others_are_worse_than_the_mean_for_all(parent):
    rng = np.random.default_rng(1)
    swapped = pairs(parent, rng).swapped(rng)
    row = parent.row("control", swapped, guess=1.0, least=0.5, seed=0)
    assert row.value.value == pytest.approx(1 - 2.25, abs=0.08)
    assert row.missed


def test_the_mean_for_all_misses_the_bar(parent):
    rng = np.random.default_rng(2)
    given = pairs(parent, rng)
    row = parent.row("control", given._replace(shown=np.zeros_like(given.wanted)), guess=1.0, least=0.5, seed=0)
    assert row.value.value == pytest.approx(0, abs=0.05)
    assert row.missed


def test_a_swap_never_leaves_a_patient_its_own(parent):
    rng = np.random.default_rng(3)
    given = pairs(parent, rng, patients=3, each=4)
    for _ in range(20):
        assert not (given.swapped(rng).wanted == given.wanted).all(1).any()
    with pytest.raises(MedsynthError, match="one patient alone"):
        pairs(parent, rng, patients=1).swapped(rng)


def test_the_nearest_is_ones_own_where_it_is_shown_and_by_chance_where_it_is_not(parent):
    rng = np.random.default_rng(4)
    given = pairs(parent, rng)
    assert given.nearest() == 120
    assert given.swapped(rng).nearest() == 0
    assert given._replace(shown=rng.normal(0, 1, given.shown.shape)).nearest() < 12


def test_a_sample_of_another_parent_is_named(parent):
    case = SimpleNamespace(record=SimpleNamespace(sha256="a"))
    assert parent.only_parent("s1", ["a"], {"a": case}) is case
    for parents in ([], ["b"], ["a", "a2"]):
        with pytest.raises(MedsynthError, match="sample s1 has no one parent"):
            parent.only_parent("s1", parents, {"a": case})
