"""Skill has the sizes of theory, its interval covers, and every slice has its own place."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medsynth.data.preparation import PreparedCase
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry


@pytest.fixture
def number(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("obedience_number")


def seen(number, rng, off=0.0, patients=40, each=3, spread=1.0):
    """Numbers of N(0, 10), answered with an error of N(off, spread) that a patient's images share."""
    wanted = rng.normal(0, 10, patients * each)
    error = np.repeat(rng.normal(off, spread, patients), each)
    return number.Seen(wanted, wanted + error, np.repeat(np.arange(patients), each).astype(str))


GUESS = 10 * np.sqrt(2 / np.pi)
"""Mean absolute error of answering 0."""


def test_the_skill_of_answers_that_are_as_good_meets_the_bar_and_has_the_size_of_theory(number):
    rng = np.random.default_rng(0)
    row = number.Bar("age", GUESS).row("samples", seen(number, rng, patients=4000), seen(number, rng, patients=4000))
    assert row.value.value == pytest.approx(0.9, abs=0.005)
    assert row.against.value == pytest.approx(0, abs=0.005)
    assert row.met
    assert row.images == 12000
    assert row.owners == 4000


def test_shuffled_numbers_are_worse_than_a_guess_by_theory(number):
    """The difference of two such numbers is sqrt(2) wider than one."""
    rng = np.random.default_rng(1)
    real = seen(number, rng, patients=4000)
    row = number.Bar("age", GUESS).row("shuffled", real.shuffled(rng), real)
    assert row.value.value == pytest.approx(1 - np.sqrt(2), abs=0.02)
    assert row.missed


def test_a_constant_offset_is_seen_though_the_answers_still_follow_the_numbers(number):
    rng = np.random.default_rng(2)
    row = number.Bar("age", GUESS).row("samples", seen(number, rng, off=4), seen(number, rng))
    assert row.against.value == pytest.approx(-0.4, abs=0.03)
    assert row.missed


def test_the_interval_takes_a_patients_images_together(number):
    rng = np.random.default_rng(3)
    bar, covered = number.Bar("age", GUESS), 0
    real = seen(number, rng, patients=4000)
    for _ in range(100):
        row = bar.row("samples", seen(number, rng), real)
        covered += row.value.low <= 0.9 <= row.value.high
    assert covered >= 88  # of a binomial of 100 and 0.95 less than that comes once in a thousand; 3 images as 1


def test_every_slice_has_its_place_and_an_attribute_of_the_case_is_that_of_all_its_slices(number):
    cut = SlicePlan(plane="axial", low=0.2, high=0.8)
    plan = Resampling(orientation="RAS", spacing=(1, 1, 1), size=(8, 8), slices=cut)
    preparation = SimpleNamespace(resampling=plan)
    grid = Geometry.centred((8, 8, 8), (1, 1, 1))
    records = [
        SimpleNamespace(id=name, attributes={"age": age}, geometry=grid) for name, age in (("a", 3), ("b", None))
    ]
    cases = [PreparedCase(records[at], "test", {}, None) for at in (0, 0, 0, 1)]
    assert number.numbers_of(cases, preparation, "slice_position") == pytest.approx([0.3, 0.5, 0.7, 0.5])
    assert number.numbers_of(cases, preparation, "age") == [3, 3, 3, None]


def test_a_sample_that_was_not_asked_is_named(number):
    records = [SimpleNamespace(id="s1", condition={"age": 4}), SimpleNamespace(id="s2", condition={"age": None})]
    with pytest.raises(MedsynthError, match="sample s2 was not asked for a number age"):
        number.asked_for(SimpleNamespace(records=records), "age")
