"""Damaged runs and samples through the real command: one clear line, status 1 or 2."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medsynth.cli.main import main
from tests.cli.bad_input import FEW, Refused, command, copied


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "pickle", "target", "name", "version", "json", "gone"])
def test_runs_that_are_damaged_or_hostile(refused: Refused, run: Path, tmp_path: Path, damage: str) -> None:
    copy = copied(run, tmp_path / "run")
    weights, description = copy / "weights" / "best.ckpt", copy / "run.json"
    content, raw = json.loads(description.read_text()), weights.read_bytes()
    expected = "cut short or altered"
    if damage == "cut":
        weights.write_bytes(raw[: len(raw) // 2])
    elif damage == "flip":
        weights.write_bytes(raw[:-1000] + bytes([raw[-1000] ^ 1]) + raw[-999:])
    elif damage == "empty":
        weights.write_bytes(b"")
        expected = "no medsynth checkpoint"
    elif damage == "pickle":
        torch.save({"model": {}}, weights)
        expected = "no medsynth checkpoint"
    elif damage == "gone":
        weights.unlink()
        expected = "best.ckpt is missing"
    elif damage == "json":
        description.write_text(description.read_text()[:-9])
        expected = "run.json of the run is cut short or no JSON"
    else:
        if damage == "target":
            content["network"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'owned'}"}
            expected = "not on medsynth's allow-list"
        elif damage == "name":
            content["layout"]["images"][0]["name"] = "/../../../owned"
            expected = "a channel's name has letters"
        else:
            content["schema"] = "medsynth.run/1"
            expected = "another version"
        description.write_text(json.dumps(content))
    assert expected in refused("generate", f"run={copy}", f"out={tmp_path / 'out'}", *FEW)
    assert not list(tmp_path.glob("owned*"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["count=0"], "count and batch_size are at least 1"),
        (["condition={class: a}"], "not conditioned on class; it knows nothing (it is unconditional)"),
        (["sampler=eiler"], "there is no sampler 'eiler'; there are: ancestral, dpmpp_2m, dpmpp_2m_sde, euler, heun"),
        (["sampler=ancestral", "sampler.steps=1001"], "the model's schedule has 1000"),
        (["sampler=unipc", "sampler.options.order=0"], "sampler.options.order is at least 1"),
        (["sampler=heun", "sampler.options.churn=x"], "sampler.options.churn is of another kind than 0.0"),
        (["sampler.steps=0"], "steps is at least 1"),
        (["sampler.guidance=nan"], "sampler.guidance: NaN, infinity"),
        (["weights=newest"], "weights is one of best, last, untrained"),
        (["device=tpu"], "device is auto, cpu or cuda"),
    ],
)
def test_samples_that_cannot_be_made(refused: Refused, run: Path, tmp_path: Path, words: list[str], said: str) -> None:
    assert said in refused(*command("generate", f"run={run}", f"out={tmp_path / 'out'}", *FEW, *words))
    assert not (tmp_path / "out").exists()


def test_a_seed_of_samples_may_be_any_whole_number(run: Path, tmp_path: Path) -> None:
    for seed in (-1, 1):
        assert main(["generate", f"run={run}", f"out={tmp_path / str(seed)}", *FEW, f"seed={seed}"]) == 0
    voxels = [(tmp_path / seed / "volumes").glob("*_image.nii.gz") for seed in ("-1", "1")]
    assert all(one.read_bytes() != other.read_bytes() for one, other in zip(*map(sorted, voxels), strict=True))


def test_samples_of_another_configuration(refused: Refused, run: Path, samples: Path) -> None:
    words = ["generate", f"run={run}", f"out={samples}", *FEW]
    assert "belongs to another configuration: seed was 0 and is 1" in refused(*words, "seed=1")
    assert "belongs to another configuration: count was 2 and is 3" in refused(*command(*words, "count=3"))


@pytest.mark.parametrize("damage", ["other cases", "sample", "volume", "preparation"])
def test_evaluations_that_would_mislead(
    refused: Refused, make_cases: Any, cases: Path, samples: Path, tmp_path: Path, damage: str
) -> None:
    copy = copied(samples, tmp_path / "samples")
    if damage == "other cases":
        cases = make_cases(tmp_path / "cases", patients=7)
        expected = "not the cases that the model was trained on"
    elif damage == "sample":
        text = (copy / "samples.jsonl").read_text()
        (copy / "samples.jsonl").write_text(text.replace('"seed": 0', '"seed": 1', 1))
        expected = "line 1: its content hash does not fit"
    elif damage == "volume":
        volume = next((copy / "volumes").glob("*_image.nii.gz"))
        volume.write_bytes(next((copy / "volumes").glob("*_label.nii.gz")).read_bytes())
        expected = ""
    else:
        (copy / "preparation.json").write_text("{")
        expected = "preparation.json is cut short"
    words = [f"samples={copy}", f"cases={cases}", f"out={tmp_path / 'out'}", "progress=false"]
    assert expected in refused("evaluate", *words)


def test_an_evaluation_with_a_seed_below_0(refused: Refused, cases: Path, samples: Path, tmp_path: Path) -> None:
    words = [f"samples={samples}", f"cases={cases}", f"out={tmp_path / 'out'}", "progress=false", "seed=-1"]
    assert "error: seed is 0 or more" in refused("evaluate", *words)
    assert not (tmp_path / "out").exists()
