"""The run folder of a training that is called again: what is kept, and what is refused."""

import os
import shutil
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.split import SplitPlan
from medsynth.errors import MedsynthError, Terminated
from medsynth.models.run import load_run
from medsynth.models.sealed import read_sealed
from medsynth.training.plan import Schedule
from tests.small import NETWORK, small_data, train_small

DATA = small_data()
SCHEDULE = {"steps": 6, "validate_every": 2, "checkpoint_every": 8, "preview_every": 2, "preview_count": 0}


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return make_cases(tmp_path_factory.mktemp("folder") / "cases")


def run(cases, out, data=DATA, snapshot_every=None, trainer=None, **settings):
    trainer = trainer or Schedule(**SCHEDULE, snapshot_every=snapshot_every)
    return train_small(cases, out, data, trainer, **settings)


@pytest.fixture(scope="module")
def finished(cases):
    run(cases, cases.parent / "run")
    return cases.parent / "run"


def test_the_last_step_has_a_state_whatever_the_distance_between_states(cases, finished):
    assert [path.name for path in (finished / "checkpoints").iterdir()] == ["step-00000006.ckpt"]
    before = load_run(finished)
    assert run(cases, finished).resumed_from == 6
    assert load_run(finished).checkpoint == before.checkpoint


@pytest.mark.parametrize(
    "change",
    [
        {"data": replace(DATA, split=SplitPlan(seed=7, validation=0.2, test=0.2))},
        {"data": replace(DATA, validation_most=2)},
        {"seed": 1},
    ],
    ids=["split", "validation", "seed"],
)
@pytest.mark.parametrize("begun", [False, True], ids=["finished", "before its first state"])
def test_another_training_is_refused(cases, finished, tmp_path, change, begun):
    """Another split would train on patients that are held out."""
    out = finished
    if begun:
        out = tmp_path / "begun"
        out.mkdir()
        for name in ("run.json", "preparation.json"):
            (out / name).write_bytes((finished / name).read_bytes())
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(MedsynthError, match="other cases or with other settings; choose another out"):
        run(cases, out, **change)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"threads": 0}, {"threads": -1}])
def test_numbers_of_processes_and_threads(cases, tmp_path, wrong):
    with pytest.raises(MedsynthError, match="seed and workers are 0 or more, threads 1 or more, or null"):
        run(cases, tmp_path / "out", **wrong)


@pytest.mark.parametrize("wrong", [{"head_channels": 0}, {"norm_groups": 0}, {"features": ()}, {"res_blocks": 0}])
def test_networks_of_nothing_are_one_line(cases, tmp_path, wrong):
    with pytest.raises(MedsynthError, match="model: features, res_blocks, norm_groups and head_channels are at least"):
        run(cases, tmp_path / "out", model=partial(NETWORK, **wrong))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"data": replace(DATA, resampling=replace(DATA.resampling, size=(6, 8, 8)))},
            "make every side a multiple of 4",
        ),
        ({"data": replace(DATA, resampling=replace(DATA.resampling, size=(4096,) * 3))}, "no memory holds"),
        ({"data": replace(DATA, augmentation=Augmentation(shift=8))}, "moves all of a sample"),
        ({"data": replace(DATA, conditions=("age",))}, "no training case has the attribute age"),
        ({"model": partial(NETWORK, features=(12, 12))}, "norm_groups=4 and model.head_channels=8 must divide"),
        ({"device": "tpu"}, "device is auto, cpu or cuda"),
    ],
)
def test_settings_are_checked_before_a_scan_is_prepared(cases, tmp_path, monkeypatch, wrong, said):
    def prepared(*_):
        raise AssertionError("a scan was prepared")

    monkeypatch.setattr("medsynth.data.dataset.PreparedCases.__getitem__", prepared)
    with pytest.raises(MedsynthError, match=said):
        run(cases, tmp_path / "out", **wrong)


def test_fine_tuning_keeps_the_split_of_its_parent(cases, finished, tmp_path):
    """Another split would hold out patients that the parent was trained on."""
    other = replace(DATA, split=SplitPlan(seed=7, validation=0.2, test=0.2))
    with pytest.raises(MedsynthError, match=r"held out now; set data\.split\.seed=0, data\.split\.validation=0\.2"):
        run(cases, tmp_path / "out", data=other, init_from=finished)


def test_ct_without_its_modality_is_noted(make_cases, tmp_path, capsys):
    cases = make_cases(tmp_path / "cases", units="arbitrary")
    run(cases, tmp_path / "out", progress=True)
    assert "ingest them with modality=CT" in capsys.readouterr().out


def test_sigterm_is_told_from_an_interrupt(cases, tmp_path, monkeypatch):
    from medsynth.training import module

    def terminated(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return self.model.network.unet.out[-1].conv.weight.sum()

    monkeypatch.setattr(module.DiffusionModule, "training_step", terminated)
    with pytest.raises(Terminated):
        run(cases, tmp_path / "out")


def test_snapshots_give_averages_of_other_widths(cases, tmp_path):
    out = tmp_path / "run"
    run(cases, out, snapshot_every=2)
    kept = sorted(path.name for path in (out / "weights" / "averages").iterdir())
    assert kept == ["step-00000002.ckpt", "step-00000004.ckpt", "step-00000006.ckpt"]
    trained = load_run(out, weights="last").model.state_dict()
    own, narrower = (load_run(out, weights="last", ema=ema).model.state_dict() for ema in (0.1, 0.02))
    assert all(torch.allclose(own[name], trained[name], atol=1e-5) for name in trained)
    changed = {name for name in trained if not torch.equal(narrower[name], trained[name])}
    assert changed
    assert all(name.startswith("network.") for name in changed)
    checkpoints = {load_run(out, weights="last", ema=ema).checkpoint for ema in (None, 0.05, 0.02)}
    (out / "weights" / "averages" / kept[0]).unlink()
    assert len(checkpoints | {load_run(out, weights="last", ema=0.02).checkpoint}) == 4
    with pytest.raises(MedsynthError, match="set weights=last"):
        load_run(out, ema=0.05)


def test_the_second_average_resumes_in_the_same_bits(cases, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    schedule = Schedule(
        steps=4, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=0, snapshot_every=4
    )
    for out in (whole, parted):
        run(cases, out, trainer=schedule)
    (parted / "checkpoints" / "step-00000004.ckpt").unlink()
    shutil.rmtree(parted / "weights" / "averages")
    assert run(cases, parted, trainer=schedule).resumed_from == 2
    first, second = (read_sealed(out / "weights/averages/step-00000004.ckpt").content for out in (whole, parted))
    for one, other in zip(first["networks"], second["networks"], strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
