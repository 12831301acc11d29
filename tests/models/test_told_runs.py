"""A run that is told things is loaded with them, and altered ones are refused."""

import json
from dataclasses import replace

import pytest
import torch

from medsynth.errors import RunError
from medsynth.models import run as runs
from medsynth.models.conditioner import Asked
from medsynth.models.layout import Given, Layout
from medsynth.models.run import load_run, save_run, save_weights
from medsynth.models.sample_model import told_widths
from medsynth.models.sampling import SamplingPlan
from tests.models.told import ENCODER, GIVEN, INFO, LABEL, TEXT, layout, model, told
from tests.words import TARGET, Letters


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})
    made = model()
    save_run(tmp_path / "run", made, INFO)
    save_weights(tmp_path / "run", "best", made, {"step": 3, "validation_loss": 0.5})
    return tmp_path / "run"


def test_a_run_is_loaded_with_all_it_can_be_told(run):
    loaded = load_run(run).model
    assert loaded.layout.given == GIVEN
    assert told_widths(loaded) == told_widths(model())
    asked = [Asked({"class": "b", "age": 61, "text": "a bad cab"}, torch.ones(11), told(pet=torch.ones(1, 8, 8)))]
    for one, other in zip(loaded.condition(asked), model().condition(asked), strict=True):
        assert torch.equal(one, other)
    plan = SamplingPlan(steps=2)
    first, again = (each.sample(1, condition={"text": "a"}, sampler=plan) for each in (loaded, model()))
    assert (first[0].images["ct"] == again[0].images["ct"]).all()


def test_the_encoder_is_read_when_a_text_is_asked_for_and_has_to_be_the_runs(run, monkeypatch):
    monkeypatch.setattr(Letters, "sha256", "c" * 64)
    loaded = load_run(run).model
    loaded.sample(1, sampler=SamplingPlan(steps=2), condition={"age": 40})
    with pytest.raises(RunError, match="other weights than the one the run was trained with"):
        loaded.sample(1, sampler=SamplingPlan(steps=2), condition={"text": "a"})


def altered(run, part, **changes):
    content = json.loads((run / "run.json").read_text())
    content[part] = {**content[part], **changes}
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize("target", ["medsynth.nets.text.HuggingFace", "os.system", "tests.words.other_weights", None])
def test_an_encoder_off_the_list_is_not_made(run, target):
    altered(run, "conditioner", text={**TEXT, "spec": {"_target_": target, "name": "owner/name", "download": True}})
    loaded = load_run(run).model
    with pytest.raises(RunError, match="allow-list"):
        loaded.condition([Asked({"text": "a"})])


@pytest.mark.parametrize(
    "text",
    [
        {**TEXT, "spec": {"_target_": "medsynth.nets.unet.UNet", "rank": 2, "channels": 1}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.autoencoders.Identity"}},
        {**TEXT, "spec": {**ENCODER.spec, "length": 9}},
        {**TEXT, "spec": {**ENCODER.spec, "more": 9}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.text.CachedHuggingFace", "name": "../../x"}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.text.MiniLM", "length": 10**9}},
    ],
)
def test_another_thing_in_the_encoders_place_is_refused_when_a_text_is_asked(run, text):
    altered(run, "conditioner", text=text)
    loaded = load_run(run).model
    with pytest.raises(RunError):
        loaded.condition([Asked({"text": "a"})])


@pytest.mark.parametrize(
    "changes",
    [
        *({"style": style} for style in ("x", -1, 10**9, 12, 0, True, None, 1.5, [11])),
        *({"text": text} for text in ("x", 3, [], {}, {"width": 4}, None)),
        *({"text": {**TEXT, "width": wrong}} for wrong in ("x", 0, -4, 5, 10**9, None, True)),
        *({"text": {**TEXT, "length": wrong}} for wrong in ("x", 0, -4, 10**9, None, 2.5)),
        *({"text": {**TEXT, "sha256": wrong}} for wrong in (None, 3, [])),
        *({"text": {**TEXT, "spec": wrong}} for wrong in (None, 3, "os.system", [])),
        {"numbers": {"age": "ab"}},
        {"numbers": {"age": [1]}},
        {"numbers": {"age": [1, 0]}},
        {"numbers": {"age": [1, "nan"]}},
        {"numbers": {}},
        {"classes": {"class": ["a"]}},
        {"classes": {"text": ["a", "b"]}},
    ],
)
def test_altered_conditions_are_refused(run, changes):
    altered(run, "conditioner", **changes)
    with pytest.raises(RunError):
        load_run(run)


WRITTEN = GIVEN.to_json()


@pytest.mark.parametrize(
    "given",
    [
        *(None, 3, "x", [], {}, {**WRITTEN, "more": 1}),
        *({**WRITTEN, "images": images} for images in (None, "pet", 3, {}, {"pet": 1}, [], [None], [3], [[]], ["pet"])),
        *(
            {**WRITTEN, "images": [{"name": name, "units": "arbitrary"} for name in names]}
            for names in (["pet", "mr"], ["pet", "pet"], ["ct"], [None], [3], ["../pet"], ["age"], ["text"], ["organs"])
        ),
        *({**WRITTEN, "images": [{"name": "pet", "units": units}]} for units in (None, 3, "", "a\nb", "x" * 65, [])),
        *({**WRITTEN, "images": [{"name": "pet", **more}]} for more in ({}, {"units": "arbitrary", "low": 0})),
        *({**WRITTEN, "label": label} for label in (None, 3, "x", [1], {"name": "organs"})),
        {**WRITTEN, "label": {**WRITTEN["label"], "values": {"0": "background", "1": "ball"}}},
        {**WRITTEN, "label": {**WRITTEN["label"], "values": {"0": "background", str(10**20): "x", "2": "y"}}},
        {**WRITTEN, "label": {**WRITTEN["label"], "reach": "far"}},
        {**WRITTEN, "label": {**WRITTEN["label"], "reach": float("inf")}},
    ],
)
def test_altered_given_parts_are_refused(run, given):
    altered(run, "layout", given=given)
    with pytest.raises(RunError):
        load_run(run)


def test_a_style_of_other_images_is_refused_though_the_network_takes_it(run):
    content = json.loads((run / "run.json").read_text())
    altered(run, "conditioner", style=22)
    altered(run, "network", vector=content["network"]["vector"] + 11)
    with pytest.raises(RunError, match="do not fit each other"):
        load_run(run)


def test_a_layout_with_given_parts_is_read_back():
    for given in (GIVEN, Given(), Given(label=LABEL), Given(images={"b": "HU", "a": "arbitrary"})):
        one = layout(given=given)
        assert Layout.from_json(json.loads(json.dumps(one.to_json()))).to_json() == one.to_json()
        assert replace(one, given=Given()).to_json() == layout(given=Given()).to_json()
