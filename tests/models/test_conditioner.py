"""Conditions: one-hot, null where nothing is known, refused where the model cannot know."""

import itertools
import math

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Conditioner

TWO = Conditioner({"class": ["NORMAL", "PNEUMONIA"], "sex": ["F", "M", "1"]})


def test_one_hot_side_by_side():
    assert TWO.width == 5
    assert TWO.vector({"class": "PNEUMONIA", "sex": "F"}).tolist() == [0, 1, 1, 0, 0]
    assert TWO.vector({"sex": 1}).tolist() == [0, 0, 0, 0, 1]


def test_what_is_missing_is_the_null():
    for nothing in ({}, {"class": None}, {"age": 3}):
        assert TWO.vector(nothing).tolist() == [0] * 5
    assert Conditioner().vector({"class": "x"}).shape == (0,)


def test_what_the_model_does_not_know_is_refused():
    with pytest.raises(MedsynthError, match="does not know; it knows NORMAL, PNEUMONIA") as error:
        TWO.vector({"class": "COVID"})
    assert "COVID" not in str(error.value)
    with pytest.raises(MedsynthError, match="not conditioned on age; it knows class, sex"):
        TWO.check({"age": 3})
    with pytest.raises(MedsynthError, match="unconditional"):
        Conditioner().check({"class": "NORMAL"})
    TWO.check({"class": "NORMAL"})


def test_every_combination_in_turn():
    three = Conditioner({"sex": ["F", "M"], "class": ["a", "b", "c"], "side": ["left", "right"]})
    wanted = [dict(zip(three.classes, values, strict=True)) for values in itertools.product(*three.classes.values())]
    assert [three.in_turn(index, {}) for index in range(24)] == wanted * 2
    assert [three.in_turn(index, {"class": "c"})["side"] for index in range(3)] == ["left", "right", "left"]
    assert three.in_turn(5, {"sex": "F", "class": "a", "side": "left"}) == {"sex": "F", "class": "a", "side": "left"}
    assert Conditioner().in_turn(3, {}) == {}


def test_more_combinations_than_any_memory_holds_are_taken_in_turn():
    many = Conditioner({f"c{number:02d}": [str(value) for value in range(50)] for number in range(40)})
    assert list(many.in_turn(50**39, {}).values()) == ["1"] + ["0"] * 39
    assert list(many.in_turn(50**40 - 1, {}).values()) == ["49"] * 40


def test_what_is_known_of_a_case():
    assert TWO.known({"class": "COVID", "sex": 1, "age": 3}) == {"sex": 1}
    assert TWO.known({"class": None}) == {}


@pytest.mark.parametrize("values", [[], ["a", "a"], [1, "1"]])
def test_classes_are_distinct(values):
    with pytest.raises(MedsynthError, match="not distinct"):
        Conditioner({"class": values})


def test_the_spec_makes_it_again():
    spec = dict(TWO.spec)
    assert spec.pop("_target_") == "medsynth.models.conditioner.Conditioner"
    assert Conditioner(**spec).classes == TWO.classes


def test_an_encoder_is_known_by_its_files_and_not_by_where_they_lie():
    def told(revision, sha256="a" * 64, **more):
        spec = {"_target_": "medsynth.nets.text.CachedHuggingFace", "name": "acme/tiny", "revision": revision}
        return Conditioner({"sex": ["F"]}, text={"spec": spec, "sha256": sha256, "width": 8, "length": 5, **more})

    assert told("one").same_as(told("two"))
    assert Conditioner({"sex": ["F"]}).same_as(Conditioner({"sex": ["F"]}))
    for other in (told("one", "b" * 64), told("one", length=6), Conditioner({"sex": ["F"]})):
        assert not told("one").same_as(other)
        assert not other.same_as(told("one"))
    assert not TWO.same_as(Conditioner({"class": ["NORMAL", "PNEUMONIA"]}))


AGED = Conditioner({"sex": ["F", "M"]}, {"age": (50.0, 10.0)})


def test_numbers_are_waves_behind_the_classes():
    assert AGED.width == 12
    assert AGED.parts == {"sex": slice(0, 2), "age": slice(2, 12)}
    at_mean = AGED.vector({"age": 50}).tolist()
    assert at_mean == [0, 0, 1, 0, *[0, 1] * 4]
    waves = [f(w * 1.5) for w in (0.5, 1.0, 2.0, 4.0) for f in (math.sin, math.cos)]
    assert AGED.vector({"sex": "M", "age": "65"}).tolist() == pytest.approx([0, 1, 1, 1.5, *waves])


def test_a_missing_number_is_its_null_and_no_number_is_refused():
    assert AGED.vector({"sex": "F", "age": None}).tolist() == [1, *[0] * 11]
    assert AGED.known({"sex": "F", "age": "unknown"}) == {"sex": "F"}
    assert AGED.known({"age": float("nan")}) == {}
    assert AGED.in_turn(1, {}) == {"sex": "M"}
    with pytest.raises(MedsynthError, match="condition age is a number, and what it has is none"):
        AGED.check({"age": "old"})


def test_numbers_far_away_are_the_farthest():
    assert torch.equal(AGED.vector({"age": 90}), AGED.vector({"age": 1000}))
    assert not torch.equal(AGED.vector({"age": 89}), AGED.vector({"age": 90}))


def test_ages_of_a_life_are_told_apart():
    """Any two whole years differ by more than float32 rounding, and near ones are near."""
    vectors = torch.stack([AGED.vector({"age": age}) for age in range(12, 89)])
    apart = torch.cdist(vectors, vectors) + torch.eye(len(vectors)) * 9
    assert apart.min() > 0.05
    assert (apart.diagonal(1) < apart.diagonal(20).min()).all()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"sex": (0, 1)}, "either a class or a number"),
        ({"age": (1, 0)}, "one value"),
        ({"age": (1, math.inf)}, "value"),
    ],
)
def test_numbers_that_tell_nothing(numbers, said):
    with pytest.raises(MedsynthError, match=said):
        Conditioner({"sex": ["F", "M"]}, numbers)


def test_the_spec_makes_numbers_again():
    spec = dict(AGED.spec)
    assert spec.pop("_target_") == "medsynth.models.conditioner.Conditioner"
    assert Conditioner(**spec).numbers == AGED.numbers


def test_what_is_missing_is_open_though_a_class_is_called_none():
    conditioner = Conditioner({"diagnosis": ["AD", "None"]}, {"age": (50, 10)})
    assert conditioner.known({}) == {}
    assert conditioner.known({"diagnosis": None, "age": 10**400}) == {}
    assert conditioner.known({"diagnosis": "None"}) == {"diagnosis": "None"}
