"""Training: resumed in the same bits, from any worker count; damaged states; fine-tuning."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.resampling import Resampling
from medsynth.errors import MedsynthError, RunError
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import load_run
from medsynth.models.sealed import read_sealed
from medsynth.records import CaseRecord, read_records, write_records
from medsynth.training.objective import Objective
from medsynth.training.plan import Schedule
from tests.small import NETWORK, list_cleared, small_data, train_small
from tests.training.resumed import KilledError, dying_after, weights

DATA = small_data(label="label", conditions=("class",), augmentation=Augmentation(shift=1, rotate=5, scale=0.1))


def run(cases, out, steps=6, data=DATA, **settings):
    trainer = Schedule(steps=steps, validate_every=2, checkpoint_every=2, preview_every=6, preview_count=1)
    return train_small(cases, out, data, trainer, **settings)


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    # 18 patients to train on: enough for a mode in the prior
    return make_cases(tmp_path_factory.mktemp("training") / "cases", patients=30)


@pytest.fixture(scope="module")
def whole(cases):
    out = cases.parent / "whole"
    run(cases, out)
    return out


def test_the_prior_is_measured_and_kept_with_the_weights(whole):
    prior = load_run(whole).model.prior
    assert len(prior.modes) == 1
    assert prior.modes.square().sum().item() == pytest.approx(1, rel=1e-4)
    assert prior.mean_map.any()
    assert json.loads((whole / "run.json").read_text())["parametrisation"]["modes"] == 1


@pytest.mark.parametrize("modes", [2, -1])
def test_more_modes_than_the_patients_carry_are_refused(cases, tmp_path, modes):
    with pytest.raises(MedsynthError, match=f"parametrisation.modes={modes}: 18 training patients carry 0 to 1"):
        run(cases, tmp_path / "out", parametrisation=ParametrisationPlan(modes=modes))


def test_modes_that_no_memory_holds_are_one_line(cases, tmp_path, monkeypatch):
    monkeypatch.setattr("medsynth.diffusion.gaussian._LARGEST", 0)
    with pytest.raises(
        MedsynthError, match=r"modes=1: too many for sides that do not halve; .*parametrisation.modes=0"
    ):
        run(cases, tmp_path / "out")


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_training_ends_in_the_same_bits(cases, whole, tmp_path, workers):
    with dying_after(5), pytest.raises(KilledError):  # a step that no state holds
        run(cases, tmp_path / "run", workers=workers)
    report = run(cases, tmp_path / "run", workers=workers)
    assert report.resumed_from == 4
    for name in ("last", "best"):
        expected, got = weights(whole, name), weights(tmp_path / "run", name)
        assert all(torch.equal(expected[key], got[key]) for key in expected), name
    states = [
        read_sealed(folder / "checkpoints" / "step-00000006.ckpt").content for folder in (whole, tmp_path / "run")
    ]
    assert all(
        torch.equal(states[0]["state_dict"][key], states[1]["state_dict"][key]) for key in states[0]["state_dict"]
    )
    moments = [state["optimizer_states"][0]["state"] for state in states]
    assert all(torch.equal(moments[0][i]["exp_avg_sq"], moments[1][i]["exp_avg_sq"]) for i in moments[0])


def test_an_interrupt_stays_an_interrupt(cases, tmp_path, monkeypatch):
    from medsynth.training import module

    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.DiffusionModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(cases, tmp_path / "run")


def test_another_seed_gives_other_weights(cases, whole, tmp_path):
    run(cases, tmp_path / "run", seed=1)
    assert not all(
        torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(tmp_path / "run").values(), strict=True)
    )


def test_finished_training_is_left_alone(cases, whole):
    before = (whole / "weights" / "last.ckpt").stat().st_mtime_ns
    assert run(cases, whole).resumed_from == 6
    assert (whole / "weights" / "last.ckpt").stat().st_mtime_ns == before


def test_newest_whole_state_is_resumed(cases, tmp_path, capsys):
    out = tmp_path / "run"
    run(cases, out)
    newest = out / "checkpoints" / "step-00000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert capsys.readouterr().out == ""
    assert run(cases, out).resumed_from == 4
    said = capsys.readouterr().out
    assert said == (
        "note: step-00000006.ckpt was cut short or altered and is left aside; "
        "training goes on from step-00000004.ckpt\n"
    )
    for state in (out / "checkpoints").glob("*.ckpt"):
        state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(RunError, match="cut short or altered"):
        run(cases, out)


def test_run_names_no_patient_and_no_path(cases, whole):
    keys = [json.loads(line) for line in (cases / "cases.jsonl").read_text().splitlines()]
    secrets = {record["patient"] for record in keys} | {record["id"] for record in keys} | {str(cases)}
    for path in whole.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path


def test_run_says_where_it_comes_from(whole):
    info = load_run(whole).info
    assert info.identity == "trusted"
    assert info.overrides == ("identity=trust", "uncleared=i_accept")
    assert info.patients == {"train": 18, "validation": 6, "test": 6}
    assert [entry["threads"] for entry in info.training["environments"]] == [1]


def test_loss_falls(cases, tmp_path):
    run(cases, tmp_path / "run", steps=60)
    rows = next((tmp_path / "run" / "logs").rglob("metrics.csv")).read_text().splitlines()
    column = rows[0].split(",").index("validation/loss")
    losses = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert losses[-1] < 0.95 * losses[0]


def test_best_weights_are_those_of_the_lowest_loss(cases, tmp_path):
    report = run(cases, tmp_path / "run", steps=12)
    assert load_run(tmp_path / "run").facts["step"] == report.best_step
    assert load_run(tmp_path / "run").facts["validation_loss"] == report.best_loss


def test_init_from_starts_from_that_runs_weights(cases, whole, tmp_path):
    run(cases, tmp_path / "tuned", data=replace(DATA, conditions=()), steps=2, seed=5, init_from=whole)
    run(cases, tmp_path / "fresh", data=replace(DATA, conditions=()), steps=2, seed=5)
    names = [name for name in weights(whole) if name.endswith("weight") and "class_embedding" not in name]
    moved = {
        out: sum((weights(tmp_path / out)[name] - weights(whole)[name]).abs().sum().item() for name in names)
        for out in ("tuned", "fresh")
    }
    assert moved["tuned"] < 0.5 * moved["fresh"]
    with pytest.raises(RunError, match="less than half"):
        run(cases, tmp_path / "other", model=partial(NETWORK, features=(16, 16)), steps=2, init_from=whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "other"}, "no case has the channels image, other"),
        ({"conditions": ("age",)}, "no training case has the attribute age"),
        ({"resampling": Resampling(orientation=None, spacing=None, size=(6, 8, 8))}, "multiple of 4"),
        ({"resampling": Resampling(orientation=None, spacing=None, size=(8, 8))}, "3 axes"),
    ],
)
def test_plans_that_do_not_fit(cases, tmp_path, change, message):
    with pytest.raises(MedsynthError, match=message):
        run(cases, tmp_path / "run", data=replace(DATA, **change))


def test_too_few_patients(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", patients=2)
    with pytest.raises(MedsynthError, match="2 patient"):
        run(cases, tmp_path / "run")


def test_changed_scan_is_noticed(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases")
    *victims, other = sorted((cases / "volumes").glob("*_image.nii.gz"))
    for victim in victims:
        victim.write_bytes(other.read_bytes())
    with pytest.raises(MedsynthError, match="changed since ingest"):
        run(cases, tmp_path / "run")


def test_a_resume_elsewhere_is_recorded(cases, tmp_path, capsys):
    out = tmp_path / "run"
    run(cases, out)
    (out / "checkpoints" / "step-00000006.ckpt").unlink()
    run(cases, out, threads=2, progress=True)
    torch.set_num_threads(1)
    environments = load_run(out).info.training["environments"]
    assert [(entry["from_step"], entry["threads"]) for entry in environments] == [(0, 1), (4, 2)]
    assert "resumed with another threads" in capsys.readouterr().out


def test_a_fine_tuned_run_carries_what_its_parent_carried(make_cases, cases, tmp_path):
    """Cases that the gate cleared do not clear a model that has seen others before them."""
    parent = make_cases(tmp_path / "parent" / "cases")
    trusted = read_records(parent / "cases.jsonl", CaseRecord)
    odd = [replace(record, licence="CC-BY-4.0", patient_source="presumed") for record in trusted]
    write_records(parent / "cases.jsonl", odd)
    run(parent, tmp_path / "first", steps=2)
    own = make_cases(tmp_path / "own" / "cases")
    cleared = [replace(record, identity="cleared", licence="CC0-1.0") for record in trusted]
    write_records(own / "cases.jsonl", cleared)
    list_cleared(own)
    run(own, tmp_path / "alone", steps=2)
    run(own, tmp_path / "tuned", steps=2, init_from=tmp_path / "first")
    alone, tuned = load_run(tmp_path / "alone").info, load_run(tmp_path / "tuned").info
    assert (alone.identity, alone.overrides, alone.licences) == ("cleared", (), ("CC0-1.0",))
    assert not alone.patient_keys_presumed
    assert (tuned.identity, tuned.overrides) == ("trusted", ("identity=trust", "uncleared=i_accept"))
    assert tuned.licences == ("CC-BY-4.0", "CC0-1.0")
    assert tuned.patient_keys_presumed
    assert tuned.training["init_from"] == load_run(tmp_path / "first").checkpoint


@pytest.mark.parametrize("change", ["seed", "steps", "cases", "model", "objective"])
def test_another_training_does_not_go_on_in_the_folder(make_cases, cases, whole, tmp_path, change):
    before = (whole / "run.json").read_bytes()
    settings = {"seed": {"seed": 1}, "steps": {"steps": 8}, "model": {"model": partial(NETWORK, features=(16, 16))}}
    if change == "cases":
        cases = make_cases(tmp_path / "cases", patients=7)
    if change == "objective":
        settings["objective"] = {"objective": Objective(warmup=3)}
    with pytest.raises(MedsynthError, match="other cases or with other settings; choose another out"):
        run(cases, whole, **settings.get(change, {}))
    assert (whole / "run.json").read_bytes() == before


def test_bf16_where_its_gradients_can_be_trusted(cases, tmp_path):
    """Volumes of 2 voxels a side in the coarsest level: torch's bf16 gradients there are of unwritten memory."""
    if torch.cuda.is_available() or not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("bf16 on the CPU needs AVX512-BF16")
    with pytest.raises(MedsynthError, match="bf16 on a CPU needs more than 2 voxels"):
        run(cases, tmp_path / "run", precision="bf16")
    run(cases, tmp_path / "auto", steps=2, precision="auto")
    assert load_run(tmp_path / "auto").info.training["environments"][0]["precision"] == "fp32"
    larger = replace(DATA, resampling=replace(DATA.resampling, size=(16, 16, 16)))
    for out in ("first", "again"):
        run(cases, tmp_path / out, steps=2, precision="auto", data=larger)
        assert load_run(tmp_path / out).info.training["environments"][0]["precision"] == "bf16"
    first, again = weights(tmp_path / "first"), weights(tmp_path / "again")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_training_that_diverges_stops_with_one_line(cases, tmp_path, monkeypatch):
    from medsynth.training import module

    monkeypatch.setattr(module, "denoising_loss", lambda *_: torch.full((2,), float("nan"), requires_grad=True))
    with pytest.raises(MedsynthError, match="the loss is no number after step 2"):
        run(cases, tmp_path / "run")


def test_cases_that_no_gate_cleared_are_refused_before_they_are_read(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases")
    records = read_records(cases / "cases.jsonl", CaseRecord)
    write_records(cases / "cases.jsonl", [replace(records[0], identity="cleared"), *records[1:]])
    with pytest.raises(
        MedsynthError, match=r"6 of 6 cases were not cleared .* train with uncleared=i_accept, which is"
    ):
        run(cases, tmp_path / "run", steps=2, uncleared=None)
    assert not (tmp_path / "run").exists()
    write_records(cases / "cases.jsonl", [replace(record, identity="cleared") for record in records])
    with pytest.raises(MedsynthError, match="6 of 6 cases were not cleared"):  # a word in a file is no clearance
        run(cases, tmp_path / "run", steps=2, uncleared=None)
    list_cleared(cases)
    run(cases, tmp_path / "run", steps=2, uncleared=None)
    assert load_run(tmp_path / "run").info.overrides == ()
