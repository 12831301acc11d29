"""Generation: the same sample alone, in a batch, after a stop, in a notebook; the right place and units."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

import medsynth
from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError, RunError
from medsynth.generation import run as generation
from medsynth.generation.run import generate
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.sampling import SAMPLERS, SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records

PLAN = SamplingPlan(steps=4)


@pytest.fixture(scope="module")
def run(trained):
    return trained("joint")


@pytest.fixture(scope="module")
def samples(run):
    generate(run, run.parent / "samples", count=5, seed=3, sampler=PLAN, batch_size=2, progress=False)
    return run.parent / "samples"


def volumes(folder):
    records = read_records(folder / "samples.jsonl", SampleRecord)
    return [
        {name: read_nifti(folder / channel.path).array for name, channel in record.channels.items()}
        for record in records
    ]


def assert_same(first, second):
    """Equal but for whole numbers whose value before rounding lay at a half."""
    for one, other in zip(first, second, strict=True):
        for name in one:
            apart = np.abs(one[name].astype(float) - other[name])
            assert apart.max() <= 1, name
            assert (apart > 0).mean() < 0.01, name


def test_a_sample_alone_equals_the_same_sample_in_a_batch(run, samples, tmp_path):
    generate(run, tmp_path / "alone", count=5, seed=3, sampler=PLAN, batch_size=1, progress=False)
    generate(run, tmp_path / "together", count=5, seed=3, sampler=PLAN, batch_size=5, progress=False)
    assert_same(volumes(samples), volumes(tmp_path / "alone"))
    assert_same(volumes(samples), volumes(tmp_path / "together"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_do_not_depend_on_the_batch(run, sampler):
    model, plan = medsynth.load_run(run).model, SamplingPlan(name=sampler, steps=4)
    latents = {
        size: torch.cat(
            [
                sample_latents(model, range(s, min(s + size, 5)), [Asked()] * min(size, 5 - s), seed=3, plan=plan)
                for s in range(0, 5, size)
            ]
        )
        for size in (1, 2, 5)
    }
    scale = latents[1].abs().max()
    assert (latents[1] - latents[2]).abs().max() < 1e-3 * scale
    assert (latents[1] - latents[5]).abs().max() < 1e-3 * scale


def test_noise_of_a_stochastic_sampler_ends_where_it_is_told(run):
    model = medsynth.load_run(run).model

    def made(**plan):
        return sample_latents(model, [0, 3], [Asked()] * 2, seed=3, plan=SamplingPlan(steps=4, **plan))

    noisy = {calm: made(name="dpmpp_2m_sde", options={"calm": calm}) for calm in (0.0, 10.0, 80.0)}
    assert torch.equal(noisy[80.0], made(name="dpmpp_2m"))
    assert not torch.allclose(noisy[0.0], made(name="dpmpp_2m"), atol=0.1)
    assert not torch.equal(noisy[0.0], noisy[10.0])


def test_a_notebook_gets_the_same(run, samples):
    loaded = medsynth.load_run(run)
    made = loaded.sample(1, seed=3, first=2, condition={"class": "a"}, steps=4)
    expected = volumes(samples)[2]
    assert np.abs(made[0].images["image"].astype(float) - expected["image"]).max() <= 1
    assert np.array_equal(made[0].label, expected["label"])
    in_turn = loaded.sample(5, seed=3, sampler=PLAN)
    assert_same([{**one.images, "label": one.label} for one in in_turn], volumes(samples))


def test_other_seeds_and_indices_give_other_samples(run, samples, tmp_path):
    generate(run, tmp_path / "other", count=2, seed=4, sampler=PLAN, progress=False)
    here, there = volumes(samples), volumes(tmp_path / "other")
    assert not np.array_equal(here[0]["image"], there[0]["image"])
    assert not np.array_equal(here[0]["image"], here[2]["image"])


def test_classes_in_turn_or_as_asked(run, samples, tmp_path):
    records = read_records(samples / "samples.jsonl", SampleRecord)
    assert [record.condition["class"] for record in records] == ["a", "b", "a", "b", "a"]
    generate(run, tmp_path / "b", count=2, sampler=PLAN, condition={"class": "b"}, progress=False)
    records = read_records(tmp_path / "b" / "samples.jsonl", SampleRecord)
    assert [record.condition["class"] for record in records] == ["b", "b"]
    for wrong in ({"class": "c"}, {"age": 3}):
        with pytest.raises(MedsynthError, match=r"condition"):
            generate(run, tmp_path / "wrong", count=2, condition=wrong, progress=False)


def test_geometry_is_that_of_the_training_scans(run, samples):
    """Oblique, anisotropic scans give samples of the same directions, spacing and middle."""
    case = read_records(run.parent / "cases" / "cases.jsonl", CaseRecord)[0]
    for record in read_records(samples / "samples.jsonl", SampleRecord):
        assert record.geometry.shape == (8, 8, 12)
        assert record.geometry.spacing == pytest.approx(case.geometry.spacing, abs=1e-4)
        assert record.geometry.direction == pytest.approx(case.geometry.direction, abs=1e-4)
        assert record.geometry.centre == pytest.approx(case.geometry.centre, abs=1e-4)
        for channel in record.channels.values():
            assert read_nifti(samples / channel.path).geometry.is_close(record.geometry)
            image = sitk.ReadImage(str(samples / channel.path))
            place = record.geometry.to_lps()
            assert image.GetSize() == record.geometry.shape
            assert image.GetOrigin() == pytest.approx(place.origin, abs=1e-4)
            assert image.GetSpacing() == pytest.approx(place.spacing, abs=1e-4)
            assert image.GetDirection() == pytest.approx(place.direction.ravel(), abs=1e-4)


def test_units_and_provenance(run, samples):
    record = read_records(samples / "samples.jsonl", SampleRecord)[0]
    image, label = (read_nifti(samples / record.channels[name].path).array for name in ("image", "label"))
    assert record.channels["image"].units == "HU"
    assert image.dtype == np.int16
    assert image.min() >= -50
    assert image.max() <= 250
    assert set(np.unique(label)) <= {0, 1}
    assert record.labels == {0: "background", 1: "ball"}
    assert record.overrides == ("identity=trust", "uncleared=i_accept")
    assert record.identity == "trusted"
    assert record.parents == ()
    assert record.checkpoint == medsynth.load_run(run).checkpoint
    for channel in record.channels.values():
        assert bytes(nib.load(samples / channel.path).header["descrip"]).startswith(b"synthetic")
    assert (samples / "contact_sheet.png").stat().st_size > 1000


def test_stopped_and_called_again_repeats_nothing(run, samples, tmp_path, monkeypatch):
    out = tmp_path / "out"
    original = generation._Job._write
    calls = []

    def dying(job, row, *rest):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(row.index)
        return original(job, row, *rest)

    monkeypatch.setattr(generation._Job, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        generate(run, out, count=5, seed=3, sampler=PLAN, batch_size=2, progress=False)
    assert not (out / "samples.jsonl").exists()
    monkeypatch.setattr(
        generation._Job, "_write", lambda job, row, *rest: (calls.append(row.index), original(job, row, *rest))[1]
    )
    report = generate(run, out, count=5, seed=3, sampler=PLAN, batch_size=2, progress=False)
    assert (report.samples, report.made) == (5, 2)
    assert calls == [0, 1, 2, 3, 4]
    assert (out / "samples.jsonl").read_text() == (samples / "samples.jsonl").read_text()
    assert not (out / ".parts").exists()
    assert generate(run, out, count=5, seed=3, sampler=PLAN, batch_size=2, progress=False).made == 0


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"sampler": SamplingPlan(steps=5)}, {"weights": "last"}, {"condition": {"class": "b"}}]
)
def test_samples_of_another_plan_are_not_taken_for_ones_own(run, samples, tmp_path, change):
    shutil.copytree(samples, tmp_path / "out")
    with pytest.raises(MedsynthError, match="another run or plan; choose another out"):
        generate(run, tmp_path / "out", **{"count": 5, "seed": 3, "sampler": PLAN, "progress": False, **change})
    assert (tmp_path / "out" / "samples.jsonl").read_text() == (samples / "samples.jsonl").read_text()


def test_a_volume_cut_short_is_made_again(run, samples, tmp_path):
    out = tmp_path / "out"
    generate(run, out, count=2, seed=3, sampler=PLAN, progress=False)
    before = (out / "samples.jsonl").read_text()
    victim = next((out / "volumes").glob("000001_*"))
    victim.write_bytes(victim.read_bytes()[:50])
    assert generate(run, out, count=2, seed=3, sampler=PLAN, progress=False).made == 1
    assert (out / "samples.jsonl").read_text() == before


def test_a_list_of_samples_that_was_cut_is_noticed(run, samples, tmp_path, capsys):
    """At the end of a line: what is left is a list of fewer samples."""
    out = shutil.copytree(samples, tmp_path / "out")
    whole = (out / "samples.jsonl").read_text()
    (out / "samples.jsonl").write_text("".join(whole.splitlines(keepends=True)[:3]))
    settings = {"count": 5, "seed": 3, "sampler": PLAN, "batch_size": 2, "progress": False}
    assert generate(run, out, **settings).made == 2
    assert "note: samples.jsonl lacks 2 of its 5 samples: it was cut short" in capsys.readouterr().out
    assert (out / "samples.jsonl").read_text() == whole
    assert generate(run, out, **settings).made == 0
    assert capsys.readouterr().out == ""


def test_untrained_control_differs_and_says_so(run, tmp_path):
    generate(run, tmp_path / "out", count=1, seed=3, sampler=PLAN, weights="untrained", progress=False)
    record = read_records(tmp_path / "out" / "samples.jsonl", SampleRecord)[0]
    assert record.sampler["weights"] == "untrained"


@pytest.mark.parametrize("damage", ["cut", "flip", "target", "extra", "missing"])
def test_a_damaged_or_hostile_run_is_refused(run, tmp_path, damage):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    weights, description = copy / "weights" / "best.ckpt", copy / "run.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "flip":
        raw = bytearray(weights.read_bytes())
        raw[len(raw) // 2] ^= 1
        weights.write_bytes(bytes(raw))
    elif damage == "missing":
        description.unlink()
    else:
        content = json.loads(description.read_text())
        if damage == "target":
            content["network"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'owned'}"}
        else:
            content["surprise"] = 1
        description.write_text(json.dumps(content))
    with pytest.raises(RunError):
        generate(copy, tmp_path / "out", count=1, sampler=PLAN, progress=False)
    assert not (tmp_path / "owned").exists()


def test_a_full_disk_is_one_clear_line(run, tmp_path, monkeypatch):
    import errno
    import os

    real = os.fsync

    def full(descriptor):
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).endswith(".nii.gz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MedsynthError, match="no space left"):
        generate(run, tmp_path / "out", count=1, sampler=PLAN, progress=False)
    assert not list((tmp_path / "out" / "volumes").iterdir())
