"""Given parts, style, text and numbers: trained together for a moment, dropped, asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.dataset import Sample, TrainingSamples
from medsynth.data.nifti import read_nifti
from medsynth.data.prepared import PreparedCases
from medsynth.data.texts import TextPlan, embed_texts
from medsynth.errors import MedsynthError, RunError
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models import run as runs
from medsynth.models.conditioner import Asked
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.models.sealed import read_sealed
from medsynth.nets.autoencoders import Haar
from medsynth.records import CaseRecord, SampleRecord, read_records, write_records
from medsynth.training import module as modules
from medsynth.training.assembly import build_model, fit_data
from medsynth.training.module import DiffusionModule
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan, Schedule
from tests.small import NETWORK, WINDOW
from tests.training.mixed import PARTS, PET, mixed_cases, mixed_data, run
from tests.words import TARGET, Letters

STEPS = SamplingPlan(steps=2)


@pytest.fixture(autouse=True)
def allow(monkeypatch):
    monkeypatch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return mixed_cases(tmp_path_factory.mktemp("given") / "cases", make_cases)


@pytest.fixture(scope="module")
def pictures(make_cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "cases"
    return mixed_cases(folder, make_cases, shape=(8, 8), affine=np.eye(4), units="grey")


@pytest.fixture(scope="module")
def whole(cases):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})
        run(cases, cases.parent / "whole", mixed_data(), steps=6)
    return cases.parent / "whole"


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
    after = module.model.tell(*module._dropped(batch, batch.number.tolist()))
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
    for one, other in zip(module.model.tell(*module._dropped(batch, [0, 1, 2, 3])), null, strict=True):
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


@pytest.mark.parametrize("kind", ["3d", "2d", "slices"])
def test_a_run_that_is_told_everything_is_asked_everything(cases, pictures, tmp_path, kind):
    folder = pictures if kind == "2d" else cases
    drop = dict.fromkeys(PARTS, 0.2)
    every = Schedule(steps=2, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=2)
    run(folder, tmp_path / "run", mixed_data(kind), objective=Objective(drop_each=drop), trainer=every)
    assert (tmp_path / "run" / "previews" / "step-00000002.png").exists()  # of the null
    take = EditPlan(take=("pet", "label", "style"))
    words = {"text": "a cab", "age": 50}
    settings = {"sampler": replace(STEPS, guidance=2.0), "parents": folder, "progress": False}
    generate(tmp_path / "run", tmp_path / "plan", count=4, plan=take, condition=words, **settings)
    found = read_records(tmp_path / "plan" / "samples.jsonl", SampleRecord)
    assert all(record.condition.items() >= words.items() for record in found)
    assert all(record.parents and record.patient for record in found)
    table = tmp_path / "table.csv"
    ids = [record.id for record in read_records(folder / "cases.jsonl", CaseRecord)]
    table.write_text(
        "label,pet,style,age,text,class\n"
        f'{ids[0]},,,,,\n,{ids[1]},,,,\n,,{ids[2]},,,\n,,,61,,\n,,,,"a bad, cab",\n,,,,,b\n,,,,,\n'
    )
    generate(tmp_path / "run", tmp_path / "table", table=table, **settings)
    found = read_records(tmp_path / "table" / "samples.jsonl", SampleRecord)
    assert [dict(record.condition) for record in found[3:]] == [
        {"age": "61"},
        {"text": "a bad, cab"},
        {"class": "b"},
        {},
    ]
    assert [bool(record.parents) for record in found] == [True, True, True, False, False, False, False]


def test_each_part_changes_the_sample(cases, whole):
    """Of a network with some weight in its output; a trained one of six steps has hardly any."""
    model = load_run(whole, weights="last").model
    torch.manual_seed(0)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    given = model.layout.given
    shape = model.layout.grid.shape
    label = torch.ones(2, *shape)
    asked = {
        "null": Asked(),
        "pet": Asked(given=given.tell(shape, {"pet": torch.ones(1, *shape)})),
        "label": Asked(given=given.tell(shape, {"label": label})),
        "style": Asked(style=torch.ones(11)),
        "text": Asked({"text": "a bad cab"}),
        "class": Asked({"class": "a"}),
        "age": Asked({"age": 50}),
    }
    from medsynth.models.drawing import sample_latents

    made = {name: sample_latents(model, [0], [one], seed=0, plan=STEPS) for name, one in asked.items()}
    assert len({round(latent.sum().item(), 4) for latent in made.values()}) == len(asked)
    again = sample_latents(model, [0] * len(asked), list(asked.values()), seed=0, plan=STEPS)
    for one, other in zip(made.values(), again, strict=True):
        torch.testing.assert_close(one[0], other, rtol=1e-3, atol=1e-3)


class KilledError(Exception):
    pass


def weights(out, name="last"):
    return read_sealed(out / "weights" / f"{name}.ckpt").content["model"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_told_things_goes_on_in_the_same_bits(cases, whole, tmp_path, workers, monkeypatch):
    original = modules.DiffusionModule.optimizer_step

    def dying(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if self.global_step == 5:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(modules.DiffusionModule, "optimizer_step", dying)
        with pytest.raises(KilledError):
            run(cases, tmp_path / "run", mixed_data(), steps=6)
    report = run(cases, tmp_path / "run", mixed_data(), steps=6, workers=workers)
    assert report.resumed_from == 4
    for name in ("last", "best"):
        expected, got = weights(whole, name), weights(tmp_path / "run", name)
        assert all(torch.equal(expected[key], got[key]) for key in expected), name


@pytest.mark.parametrize(
    "changes",
    [
        {"text": TextPlan(of="class")},
        {"given": GivenPlan(label="label")},
        {"given": GivenPlan(label="label", images=(replace(PET, high=95),))},
        {"style": False},
        {"text": TextPlan(of="class", sentences={"a": ["a cab"]})},
    ],
)
def test_a_training_that_is_told_other_things_does_not_go_on_in_the_folder(cases, whole, changes):
    with pytest.raises(MedsynthError, match="choose another out"):
        run(cases, whole, mixed_data(**changes), steps=6)


def test_the_words_of_a_run_are_its_encoders_alone(cases, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(Letters, "sha256", "c" * 64)
    generate(whole, tmp_path / "mute", count=1, sampler=STEPS, progress=False)
    with pytest.raises(RunError, match="other weights"):
        generate(whole, tmp_path / "out", count=1, sampler=STEPS, condition={"text": "a"}, progress=False)


def test_a_given_part_alone_and_a_style_alone(cases, tmp_path):
    """Nothing but a label map is given: samples carry it, in the place of the scan that it is of."""
    plain = {"style": False, "text": TextPlan(), "conditions": (), "numbers": ()}
    run(cases, tmp_path / "run", mixed_data(given=GivenPlan(label="label"), **plain))
    model = load_run(tmp_path / "run").model
    assert model.conditional
    assert model.conditioner.width == 0
    with_label = [r for r in read_records(cases / "cases.jsonl", CaseRecord) if "label" in r.channels][:1]
    table = tmp_path / "table.csv"
    table.write_text(f"label,seed\n{with_label[0].id},3\n")
    generate(tmp_path / "run", tmp_path / "out", table=table, parents=cases, sampler=STEPS, progress=False)
    (made,) = read_records(tmp_path / "out" / "samples.jsonl", SampleRecord)
    got, place = read_nifti(tmp_path / "out" / made.channels["label"].path)
    expected, there = read_nifti(cases / with_label[0].channels["label"].path)
    assert np.array_equal(got, expected)
    assert place.is_close(there, 1e-3)
    run(cases, tmp_path / "look", mixed_data(**{**plain, "style": True, "given": GivenPlan()}))
    take = EditPlan(take=("style",))
    generate(tmp_path / "look", tmp_path / "seen", count=2, plan=take, parents=cases, sampler=STEPS, progress=False)
    assert load_run(tmp_path / "look").model.conditioner.names == ()
