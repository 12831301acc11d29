"""Conditions: one-hot, null where nothing is known, refused where the model cannot know."""

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.models.conditioner import ClassConditioner, batch_condition

TWO = ClassConditioner({"class": ["NORMAL", "PNEUMONIA"], "sex": ["F", "M", "1"]})


def test_one_hot_side_by_side():
    assert TWO.width == 5
    assert TWO.vector({"class": "PNEUMONIA", "sex": "F"}).tolist() == [0, 1, 1, 0, 0]
    assert TWO.vector({"sex": 1}).tolist() == [0, 0, 0, 0, 1]


def test_what_is_missing_is_the_null():
    for nothing in ({}, {"class": None}, {"age": 3}):
        assert TWO.vector(nothing).tolist() == [0] * 5
    assert ClassConditioner().vector({"class": "x"}).shape == (0,)


def test_what_the_model_does_not_know_is_refused():
    with pytest.raises(MedsynthError, match="condition class: the model knows NORMAL, PNEUMONIA"):
        TWO.vector({"class": "COVID"})
    with pytest.raises(MedsynthError, match="not conditioned on age; it knows class, sex"):
        TWO.check({"age": 3})
    with pytest.raises(MedsynthError, match="unconditional"):
        ClassConditioner().check({"class": "NORMAL"})
    TWO.check({"class": "NORMAL"})


def test_what_is_known_of_a_case():
    assert TWO.known({"class": "COVID", "sex": 1, "age": 3}) == {"sex": 1}
    assert TWO.known({"class": None}) == {}


@pytest.mark.parametrize("values", [[], ["a", "a"], [1, "1"]])
def test_classes_are_distinct(values):
    with pytest.raises(MedsynthError, match="not distinct"):
        ClassConditioner({"class": values})


def test_the_spec_makes_it_again():
    spec = dict(TWO.spec)
    assert spec.pop("_target_") == "medsynth.models.conditioner.ClassConditioner"
    assert ClassConditioner(**spec).classes == TWO.classes


def test_a_sample_is_not_augmented():
    assert batch_condition(torch.ones(2, 3), 2).vector.tolist() == [[1, 1, 1, 0, 0]] * 2
    assert batch_condition(torch.ones(2, 0), 0).vector is None
