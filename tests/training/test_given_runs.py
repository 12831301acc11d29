"""Runs that are told given parts, style, text and numbers: trained for a moment, gone on with, asked for."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.nifti import read_nifti
from medsynth.data.texts import TextPlan
from medsynth.errors import MedsynthError, RunError
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models import run as runs
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records, write_records
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan, Schedule
from tests.training.mixed import PARTS, PET, mixed_data, run
from tests.training.resumed import KilledError, dying_after, weights
from tests.words import TARGET, Letters

STEPS = SamplingPlan(steps=2)


@pytest.fixture(autouse=True)
def allow(monkeypatch):
    monkeypatch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})


@pytest.fixture(scope="module")
def whole(cases):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})
        run(cases, cases.parent / "whole", mixed_data(), steps=6)
    return cases.parent / "whole"


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
    made = {name: sample_latents(model, [0], [one], seed=0, plan=STEPS) for name, one in asked.items()}
    assert len({round(latent.sum().item(), 4) for latent in made.values()}) == len(asked)
    again = sample_latents(model, [0] * len(asked), list(asked.values()), seed=0, plan=STEPS)
    for one, other in zip(made.values(), again, strict=True):
        torch.testing.assert_close(one[0], other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_told_things_goes_on_in_the_same_bits(cases, whole, tmp_path, workers):
    with dying_after(5), pytest.raises(KilledError):
        run(cases, tmp_path / "run", mixed_data(), steps=6)
    report = run(cases, tmp_path / "run", mixed_data(), steps=6, workers=workers)
    assert report.resumed_from == 4
    for name in ("last", "best"):
        expected, got = weights(whole, name), weights(tmp_path / "run", name)
        assert all(torch.equal(expected[key], got[key]) for key in expected), name


def test_an_encoder_that_moved_goes_on_and_one_of_other_files_does_not(cases, whole, tmp_path, monkeypatch, capsys):
    """Its commit is a name; its files are what was trained with."""
    out = shutil.copytree(whole, tmp_path / "run")
    moved = {"text_encoder": Letters(salt="moved"), "progress": True}
    assert run(cases, out, mixed_data(), steps=6, **moved).resumed_from == 6
    assert "note: 4 of 4 texts are longer than text_encoder.length=5 tokens" in capsys.readouterr().out
    assert load_run(out).model.conditioner.text["spec"]["salt"] == "moved"
    monkeypatch.setattr(Letters, "sha256", "c" * 64)
    with pytest.raises(MedsynthError, match="choose another out"):
        run(cases, out, mixed_data(), steps=6)


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


def test_a_text_that_is_cut_is_said(cases, whole, tmp_path, capsys):
    words = {"condition": {"text": "a bad scan of a whole cab"}, "count": 2, "sampler": STEPS}
    generate(whole, tmp_path / "out", **words)
    assert "note: 1 of 1 texts are longer than the run's 5 tokens" in " ".join(capsys.readouterr().out.split())
    generate(whole, tmp_path / "short", **{**words, "condition": {"text": "a bad cab"}})
    assert "note:" not in capsys.readouterr().out


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


def test_a_given_image_in_other_units_is_refused(cases, whole, tmp_path):
    """By the record alone: the numbers of another unit are no less likely than its own."""
    assert load_run(whole).model.layout.given.images == {"pet": "arbitrary"}
    other = shutil.copytree(cases, tmp_path / "cases")
    records = []
    for record in read_records(other / "cases.jsonl", CaseRecord):
        channels = dict(record.channels)
        if "pet" in channels:
            channels["pet"] = replace(channels["pet"], units="SUV")
        records.append(replace(record, channels=channels))
    write_records(other / "cases.jsonl", records)
    settings = {"count": 2, "sampler": STEPS, "plan": EditPlan(take=("pet",)), "progress": False}
    with pytest.raises(MedsynthError, match="its pet is in SUV, the run's in arbitrary; take scans of the run's kind"):
        generate(whole, tmp_path / "out", parents=other, **settings)
    assert not (tmp_path / "out").exists()


def test_a_run_that_does_not_say_the_units_of_what_is_given_is_refused(whole, tmp_path):
    old = shutil.copytree(whole, tmp_path / "run")
    content = json.loads((old / "run.json").read_text())
    content["schema"] = "medsynth.run/4"
    content["layout"]["given"]["images"] = ["pet"]
    (old / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"run\.json: it was written before the units of what is given were recorded"):
        load_run(old)
