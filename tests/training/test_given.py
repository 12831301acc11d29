"""Given parts, style, text and numbers in a training's samples: there or their null, dropped, moved together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.dataset import Sample, TrainingSamples
from medsynth.data.nifti import read_nifti
from medsynth.data.prepared import PreparedCases
from medsynth.data.texts import TextPlan, embed_texts
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.nets.autoencoders import Haar
from medsynth.records import CaseRecord, read_records, write_records
from medsynth.training.assembly import build_model, fit_data
from medsynth.training.module import DiffusionModule
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan
from tests.small import NETWORK, WINDOW
from tests.training.mixed import PARTS, mixed_data
from tests.words import Letters


def samples_of(cases, data, objective=None):
    """The training samples and a module, as `train` makes them, without training."""
    fitted = fit_data(cases, data, cases.parent / "cache", progress=False)
    records = [*fitted.cases["train"].records, *fitted.cases["validation"].records]
    texts = embed_texts(data.text, Letters(), records)
    model = build_model(fitted, data, Haar(), NETWORK, ParametrisationPlan(modes=0), 0, Letters())
    training = TrainingSamples(
        fitted.cases["train"], fitted.slices["train"], model.conditioner, data.augmentation, 0, texts=texts
    )
    module = DiffusionModule(model, objective or Objective(), seed=0, batch_size=2, steps=1)
    return training, module


def batch_of(samples):
    return Sample(*(torch.stack(part) for part in zip(*samples, strict=True)))


@pytest.mark.parametrize("kind", ["3d", "2d", "slices"])
def test_every_part_is_there_or_its_null(cases, pictures, kind):
    folder = pictures if kind == "2d" else cases
    training, module = samples_of(folder, mixed_data(kind, augmentation=Augmentation()))
    conditioner, seen = module.model.conditioner, []
    for number in range(len(training.places)):
        record = training.cases.records[training.place(number)[0]]
        sample = training[number]
        there = {name: bool(sample.vector[part].any()) for name, part in conditioner.parts.items()}
        assert there["style"]
        assert there["class"]
        assert there["age"] == ("age" in record.attributes)
        assert there["text"] == ("report" in record.attributes)
        assert bool(sample.tokens.any()) == there["text"]
        assert sample.present.tolist() == ["pet" in record.channels, "label" in record.channels]
        pet, label = sample.given[:1], sample.given[1:]
        assert bool(pet.any()) == ("pet" in record.channels)
        assert bool(label.any()) == ("label" in record.channels)
        assert sample.x.shape == (1, *(8,) * (3 if kind == "3d" else 2))
        if "pet" in record.channels:  # the same scan upside down
            assert np.corrcoef(pet.flatten(), sample.x.flatten())[0, 1] < -0.95
        if (label[1] > 0).any():  # a slice above the ball has none of it
            assert sample.x[0][label[1] > 0].mean() > sample.x[0][label[1] < 0].mean() + 1
        seen.append((there["age"], there["text"], *sample.present.tolist()))
    assert all(len({row[place] for row in seen}) == 2 for place in range(4))  # each is missing somewhere


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_dropped_by_itself(cases, name):
    objective = Objective(drop_condition=0, drop_each={name: 1})
    training, module = samples_of(cases, mixed_data(augmentation=Augmentation()), objective)
    batch = batch_of([training[number] for number in range(len(training.places))])
    before = module.model.tell(batch.vector, batch.tokens, batch.given, batch.present)
    after = module.model.tell(*module.dropped(batch, batch.number.tolist()))
    parts = module.model.conditioner.parts
    for other, place in parts.items():
        same = torch.equal(before.vector[:, place], after.vector[:, place])
        assert same == (other != name), other
        assert other != name or not after.vector[:, place].any()
    assert torch.equal(before.tokens, after.tokens) == (name != "text")
    assert before.tokens.any()
    assert name != "text" or not after.tokens.any()
    width = module.model.autoencoder.latent_channels(1, 3) + 1
    for other, place in (("pet", slice(0, width)), ("label", slice(width, None))):
        assert torch.equal(before.spatial[:, place], after.spatial[:, place]) == (other != name), other
        assert other != name or not after.spatial[:, place].any()


def test_all_at_once_is_the_null_of_guidance(cases):
    training, module = samples_of(cases, mixed_data(augmentation=Augmentation()), Objective(drop_condition=1))
    batch = batch_of([training[number] for number in range(4)])
    null = module.model.condition([Asked()] * 4, dropped=True)
    for one, other in zip(module.model.tell(*module.dropped(batch, [0, 1, 2, 3])), null, strict=True):
        assert torch.equal(one, other)
        assert not one.any()


def test_which_sentence_is_said_is_a_function_of_the_samples_number(cases):
    said = {"a": ["a", "b", "c", "d"], "b": ["a cab", "bad", "dad"]}
    data = mixed_data(text=TextPlan(of="class", sentences=said))
    first, again = (samples_of(cases, data)[0] for _ in range(2))
    heard = []
    for number in range(60):
        tokens = first[number].tokens
        assert torch.equal(again[number].tokens, tokens)
        value = first.cases.records[first.place(number)[0]].attributes["class"]
        heard += [(value, one) for one in said[value] if torch.equal(Letters()([one]).tokens[0], tokens)]
    assert len(heard) == 60
    assert set(heard) == {(value, one) for value, sentences in said.items() for one in sentences}


def test_parts_that_training_drops_are_seen_by_name(cases):
    with pytest.raises(MedsynthError, match="it knows class, age, style, text, pet, label"):
        samples_of(cases, mixed_data(), Objective(drop_each={"mr": 0.1}))


@pytest.mark.parametrize("kind", ["3d", "2d"])
def test_what_is_given_moves_with_what_is_made(make_cases, tmp_path, kind):
    """The image is its label map here, so that any shift, turn or flip of one alone would part them."""
    shape = (12,) * (3 if kind == "3d" else 2)
    cases = make_cases(tmp_path / "cases", shape=shape, affine=np.eye(4), units="grey")
    exact(cases)
    moves = Augmentation(shift=2, rotate=25, scale=0.2, flip=(0, 1), probability=1)
    data = mixed_data(
        kind,
        images=(replace(WINDOW, low=0, high=100),),
        numbers=(),
        given=GivenPlan(label="label"),
        text=TextPlan(of="class"),
        augmentation=moves,
        label_reach=0.0,
    )
    fitted = fit_data(cases, data, tmp_path / "cache", progress=False)
    plan = fitted.plan.with_margin(2)
    prepared = PreparedCases(cases, fitted.cases["train"].records, plan, tmp_path / "cache")
    model = build_model(fitted, replace(data, text=TextPlan()), Haar(), NETWORK, ParametrisationPlan(), 0)
    training = TrainingSamples(prepared, fitted.slices["train"], model.conditioner, moves, 0)
    for number in range(12):
        sample = training[number]
        assert sample.x.shape == (1, *data.resampling.size)
        assert sample.x.min() < -0.9
        torch.testing.assert_close(sample.x[0], sample.given[1], rtol=0, atol=1e-5)


def exact(cases):
    """Make every image 100 in its ball and 0 elsewhere."""
    from medsynth.data.nifti import write_nifti
    from medsynth.files import sha256_file

    records = []
    for record in read_records(cases / "cases.jsonl", CaseRecord):
        array, geometry = read_nifti(cases / record.channels["label"].path)
        path = cases / record.channels["image"].path
        write_nifti(path, (array * 100).astype("int16"), geometry)
        image = replace(record.channels["image"], sha256=sha256_file(path))
        records.append(replace(record, channels={**record.channels, "image": image}))
    write_records(cases / "cases.jsonl", records)
