"""From folders to utility.json, in small: stopped and resumed, both tasks, nobody named."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.utility import arms, run
from medsynth.evidence.utility.run import measure_utility
from medsynth.evidence.utility.tasks import Budget
from medsynth.files import sha256_file

QUICK = {"budget": Budget(steps=3, batch=4), "resamples": 100, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def samples(write_draws, tmp_path_factory):
    return write_draws(tmp_path_factory.mktemp("draws"), draws=2)


@pytest.fixture(scope="module")
def one_draw(write_draws, tmp_path_factory):
    return write_draws(tmp_path_factory.mktemp("one"), draws=1)


@pytest.fixture(scope="module")
def quick(samples, blob_cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, measure_utility(samples, blob_cases.path, out, **QUICK)


def test_the_file_says_what_was_done_and_names_nobody(quick):
    out, found = quick
    text = (out / "utility.json").read_text()
    content = json.loads(text)
    assert content == found.content
    assert content["schema"] == "medsynth.utility/1"
    assert content["verdict"] == "not measurable"
    (row,) = content["rows"]
    assert (row["patients"], row["draws"], row["seeds"], row["test_patients"]) == (12, 2, 2, 15)
    assert "name their runs" in row["reason"]
    assert [arm["name"] for arm in row["arms"]] == [*arms.ARMS, *arms.controls_of(False)]
    assert row["images"] == {"real": [12] * 2, "others": [33] * 2, "synthetic": [16] * 2}
    assert "probability 0.5" in content["settings"]["mixing"]
    assert not re.search(r"patient\d|case\d|sample\d|/tmp", text)
    assert (out / "utility.png").read_bytes()[:4] == b"\x89PNG"
    assert "synthetic data beat ordinary augmentation: not measurable" in found.summary


def test_arms_begin_alike_and_only_again_has_other_seeds(quick):
    of = {arm["name"]: arm["scores"] for arm in quick[1].content["rows"][0]["arms"]}
    assert of[arms.AUGMENTED] != of[arms.AGAIN]
    assert of[arms.AUGMENTED] != of[arms.REAL]


def test_a_stopped_command_goes_on_with_the_same_bytes(one_draw, blob_cases, tmp_path, monkeypatch):
    measure_utility(one_draw, blob_cases.path, tmp_path / "whole", seeds=1, **QUICK)
    trained = []
    whole = run.Segmentation.outcome

    def stopping(self, *arguments):
        trained.append(1)
        if len(trained) == 5:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(run.Segmentation, "outcome", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_utility(one_draw, blob_cases.path, tmp_path / "stopped", seeds=1, **QUICK)
    assert len(list((tmp_path / "stopped" / "results").iterdir())) == 4
    assert not (tmp_path / "stopped" / "utility.json").exists()
    measure_utility(one_draw, blob_cases.path, tmp_path / "stopped", seeds=1, **QUICK)
    assert len(trained) == 9 + 1
    for name in ("utility.json", "utility.png"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_results_of_other_settings_are_not_taken(quick, samples, blob_cases):
    out, _ = quick
    with pytest.raises(MedsynthError, match="other samples, cases or settings"):
        measure_utility(samples, blob_cases.path, out, **{**QUICK, "budget": Budget(steps=4, batch=4)})
    kept = next((out / "results").iterdir())
    whole = kept.read_bytes()
    kept.write_bytes(whole[:30])
    with pytest.raises(MedsynthError, match="cannot be read; delete it"):
        measure_utility(samples, blob_cases.path, out, **QUICK)
    kept.write_bytes(whole)


def test_another_generator_is_measured_with_the_real_arms_of_the_first(
    quick, write_draws, blob_cases, tmp_path, monkeypatch
):
    out, first = quick
    other = write_draws(tmp_path / "other", draws=2, count=20)
    trained = []
    whole = run.Segmentation.outcome
    monkeypatch.setattr(run.Segmentation, "outcome", lambda self, *given: trained.append(1) or whole(self, *given))
    found = measure_utility(other, blob_cases.path, tmp_path / "second", reuse=out, **QUICK)
    assert len(trained) == 2 * 2 * 5
    anew = measure_utility(other, blob_cases.path, tmp_path / "anew", **QUICK)
    said, unsaid = found.content.pop("settings"), anew.content.pop("settings")
    assert found.content == anew.content
    assert said == {**unsaid, "reuse": sha256_file(out / run.UTILITY_FILE)}
    assert unsaid["reuse"] is None
    of = {arm["name"]: arm["scores"] for arm in first.content["rows"][0]["arms"]}
    same = {arm["name"] for arm in found.content["rows"][0]["arms"] if arm["scores"] == of[arm["name"]]}
    assert same >= {arms.REAL, arms.AUGMENTED, arms.AGAIN, arms.MORE}
    assert arms.SYNTHETIC not in same


def test_what_cannot_be_reused_is_refused(quick, samples, blob_cases, tmp_path):
    changed = {**QUICK, "budget": Budget(steps=4, batch=4)}
    with pytest.raises(MedsynthError, match=r"reuse holds results of other .* choose another reuse"):
        measure_utility(samples, blob_cases.path, tmp_path / "a", reuse=quick[0], **changed)
    with pytest.raises(MedsynthError, match=r"reuse holds no n12-draw0-seed2-real\.json: measure without reuse"):
        measure_utility(samples, blob_cases.path, tmp_path / "b", seeds=3, reuse=quick[0], **QUICK)


@pytest.mark.parametrize(("split", "settings"), [({"seed": 1}, {}), ({}, {"seed": 1}), ({}, {"of": "kind"})])
def test_networks_of_other_patients_or_settings_are_not_reused(
    quick, write_draws, blob_cases, tmp_path, split, settings
):
    samples = write_draws(tmp_path / "s", draws=2, **split)
    with pytest.raises(MedsynthError, match=r"reuse holds results of other samples, cases or settings"):
        measure_utility(samples, blob_cases.path, tmp_path / "out", reuse=quick[0], **{**QUICK, **settings})


def test_networks_of_another_version_are_not_reused(quick, samples, blob_cases, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "__version__", "0.0.0")
    with pytest.raises(MedsynthError, match=r"reuse holds results of .* another version"):
        measure_utility(samples, blob_cases.path, tmp_path / "out", reuse=quick[0], **QUICK)


def test_a_draw_that_reuse_lacks_is_told_before_anything_is_trained(quick, write_draws, blob_cases, tmp_path):
    samples = write_draws(tmp_path / "s", draws=3)
    with pytest.raises(MedsynthError, match=r"reuse holds no n12-draw2-seed0-"):
        measure_utility(samples, blob_cases.path, tmp_path / "out", reuse=quick[0], **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_reuse_that_never_came_to_its_end_is_told_before_anything_is_trained(
    quick, write_draws, blob_cases, tmp_path
):
    stopped = shutil.copytree(quick[0], tmp_path / "stopped")
    (stopped / run.UTILITY_FILE).unlink()
    other = write_draws(tmp_path / "s", draws=2, count=20)
    with pytest.raises(MedsynthError, match=r"reuse holds no utility\.json: name the out of a measurement that came"):
        measure_utility(other, blob_cases.path, tmp_path / "out", reuse=stopped, **QUICK)
    assert not (tmp_path / "out").exists()


def test_classification_without_label_maps(write_draws, blob_cases, tmp_path):
    samples = write_draws(tmp_path / "s", labels=False, draws=1)
    quick = {**QUICK, "budget": Budget(steps=40, batch=8), "augmentation": Augmenter(shift=0, scale=0)}
    found = measure_utility(samples, blob_cases.path, tmp_path / "out", seeds=1, **quick)
    assert found.content["task"] == {"name": "classification", "score": "AUC", "parts": ["a", "b"]}
    (row,) = found.content["rows"]
    scores = {arm["name"]: arm["score"]["value"] for arm in row["arms"]}
    assert scores[arms.MIXED] > 0.9
    assert "1 draws" in row["reason"]
    with pytest.raises(MedsynthError, match="needs samples with label maps"):
        measure_utility(samples, blob_cases.path, tmp_path / "x", task="segmentation", **QUICK)
    with pytest.raises(MedsynthError, match="two classes"):
        measure_utility(samples, blob_cases.path, tmp_path / "x", of="sex", **QUICK)


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"seeds": 0}, {"resamples": 10}, {"seed": -1}, {"device": "tpu"}])
def test_settings_that_make_no_sense_are_refused(samples, blob_cases, tmp_path, wrong):
    with pytest.raises(MedsynthError):
        measure_utility(samples, blob_cases.path, tmp_path, **{**QUICK, **wrong})
    with pytest.raises(MedsynthError):
        replace(QUICK["budget"], steps=0)


def test_shuffled_labels_hurt_a_network_that_learns(one_draw, blob_cases, tmp_path):
    found = measure_utility(
        one_draw, blob_cases.path, tmp_path, seeds=1, **{**QUICK, "budget": Budget(steps=60, batch=4)}
    )
    (row,) = found.content["rows"]
    score = {arm["name"]: arm["score"]["value"] for arm in row["arms"]}
    assert score[arms.MIXED] > 0.85
    assert score[arms.SHUFFLED] < score[arms.MIXED] - 0.01
