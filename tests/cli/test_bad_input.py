"""Bad input through the real command: one clear line, status 1 or 2, and nobody's name in it."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medsynth.cli.main import main
from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, read_records, write_records
from tests.conftest import small_disk

Refused = Callable[..., str]
GRID = Geometry.centred((8, 8, 8), (1, 1, 1))
SMALL = [
    "experiment=phantom_3d",
    "data.resampling.spacing=null",
    "data.resampling.size=[8,8,8]",
    "data.batch_size=2",
    "model.features=[8,8]",
    "model.head_channels=8",
    "model.norm_groups=4",
    "trainer.steps=2",
    "trainer.validate_every=1",
    "trainer.checkpoint_every=1",
    "trainer.preview_every=2",
    "trainer.preview_count=0",
    "device=cpu",
    "precision=fp32",
    "progress=false",
]
FEW = ["count=2", "sampler.steps=2", "device=cpu", "progress=false"]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail: its one line."""

    def run(*words: str) -> str:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert main(words) in (1, 2)
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = [line for line in printed.err.splitlines() if not line.endswith("same command: going on")]
        assert len(lines) == 1, printed.err
        assert lines[0].startswith("medsynth: ")
        assert "a bug" not in lines[0]
        assert not [secret for secret in ("DOE", "Traceback") if secret in lines[0]]
        return lines[0]

    return run


@pytest.fixture(scope="module")
def cases(make_cases: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = make_cases(tmp_path_factory.mktemp("bad input") / "cases")
    return folder


@pytest.fixture(scope="module")
def run(cases: Path) -> Path:
    out = cases.parent / "run"
    assert main(["train", f"cases={cases}", f"out={out}", f"cache={cases.parent / 'cache'}", *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def samples(run: Path) -> Path:
    out = run.parent / "samples"
    assert main(["generate", f"run={run}", f"out={out}", *FEW]) == 0
    return out


def command(*words: str) -> list[str]:
    """Words of which a later key=value takes the place of an earlier one."""
    given = {word.partition("=")[0]: word for word in words}
    return list(given.values())


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


# ingest


def scans(folder: Path, damage: str, whole: int) -> Path:
    """Images and labels beside each other; `whole` good ones and one that is damaged."""
    rng = np.random.default_rng(0)
    for number in range(whole + 1):
        image = rng.normal(size=GRID.shape).astype(np.float32)
        label, place = (image > 0).astype(np.uint8), GRID
        if number == whole and damage == "nan":
            image[2, 2, 2] = np.nan
        if number == whole and damage == "shape":
            label, place = label[:-1], Geometry.centred((7, 8, 8), (1, 1, 1))
        write_nifti(folder / "imagesTr" / f"DOE_{number}.nii.gz", image, GRID)
        write_nifti(folder / "labelsTr" / f"DOE_{number}.nii.gz", label, place)
        if number == whole and damage == "cut":
            path = folder / "imagesTr" / f"DOE_{number}.nii.gz"
            path.write_bytes(path.read_bytes()[:-200])
    return folder


@pytest.mark.parametrize("damage", ["nan", "shape", "cut"])
@pytest.mark.parametrize("whole", [0, 2])
def test_scans_that_cannot_be_used(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, whole: int
) -> None:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "secret.key"))
    source = scans(tmp_path / "source", damage, whole)
    line = refused("ingest", f"source={source}", f"out={tmp_path / 'out'}", "identity=trust", "progress=false")
    assert "refused" in line
    reasons = (tmp_path / "out" / "refused.jsonl").read_text()
    assert "DOE" not in reasons
    assert {"nan": "NaN", "shape": "grid|shape", "cut": "cut short"}[damage].split("|")[0] in reasons
    assert (tmp_path / "out" / "cases.jsonl").exists() == bool(whole)
    if whole:
        assert len(read_records(tmp_path / "out" / "cases.jsonl", CaseRecord)) == whole


# train


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=phantom_4d"], "there is no experiment 'phantom_4d'; there are: chest_xray_2d"),
        (["data.size=[8,8,8]"], "unknown key data.size"),
        (["data.resampling.spacing=[1,1]"], "data.resampling.spacing has 2 values, the scans have 3 axes"),
        (["data.resampling.size=[6,8,8]"], "make every side a multiple of 4"),
        (["data.resampling.size=[8,8]"], "data.resampling.size has 2 sides"),
        (["data.resampling.orientation=XYZ"], "orientation names one of R L"),
        (["data.resampling.slices={plane:oblique}"], "plane"),
        (["data.label=spleen"], "no case has the channels image, spleen; they have image, label"),
        (["data.label=image"], "data.images and data.label"),
        (["data.images=[]"], "images names a channel"),
        (["data.conditions=[age]"], "no training case has the attribute age"),
        (["data.split.validation=0"], "set data.split.validation above 0"),
        (["data.split.validation=0.7", "data.split.test=0.4"], "leave some for training"),
        (["data.images=[{name:image,kind:window,low:5000,high:6000}]", "data.label=null"], "one value everywhere"),
        (["data.images=[{name:image,kind:window,low:5,high:5}]"], "low must be below high"),
        (["seed=-1"], "error: seed and workers are 0 or more"),
        (["data.split.seed=-1"], "data.split.seed is 0 or more"),
        (["data.augmentation.flip=[-1]"], "data.augmentation.flip names axes from 0 on, each once"),
        (["data.augmentation.flip=[5]"], "data.augmentation.flip: a sample has the axes 0 to 2"),
        (["trainer.validate_every=3"], "multiples of validate_every"),
        (["model.features=[12,12]"], "must divide every entry of model.features=[12, 12]"),
        (["init_from=nowhere"], "init_from names no folder"),
        (["precision=fp8"], "precision is auto, bf16 or fp32"),
    ],
)
def test_plans_that_do_not_fit(refused: Refused, cases: Path, tmp_path: Path, words: list[str], said: str) -> None:
    where = [f"cases={cases}", f"out={tmp_path / 'out'}", f"cache={cases.parent / 'cache'}"]
    assert said in refused(*command("train", *where, *SMALL, *words))
    assert not (tmp_path / "out").exists()


def test_fewer_patients_than_a_split_needs(refused: Refused, make_cases: Any, tmp_path: Path) -> None:
    cases = make_cases(tmp_path / "cases", patients=2, scans=3)
    line = refused("train", f"cases={cases}", f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", *SMALL)
    assert "2 patients cannot fill 3 splits (train, validation, test): add scans of at least 1 more" in line


def test_another_source_into_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "secret.key"))
    words = ["ingest", f"out={tmp_path / 'out'}", "identity=trust"]
    for name in ("a", "b"):
        scans(tmp_path / name, "none", 1)
    assert main([*words, f"source={tmp_path / 'a'}"]) == 0
    capsys.readouterr()
    assert main([*words, f"source={tmp_path / 'b'}"]) == 1
    said = f"medsynth: error: {tmp_path / 'out'} was begun with another source; choose another out\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("damage", ["record", "path", "volume", "gone", "link"])
def test_cases_that_were_altered(refused: Refused, cases: Path, tmp_path: Path, damage: str) -> None:
    copy = copied(cases, tmp_path / "cases")
    records = read_records(copy / "cases.jsonl", CaseRecord)
    volume = copy / records[0].channels["image"].path
    if damage == "record":
        text = (copy / "cases.jsonl").read_text()
        (copy / "cases.jsonl").write_text(text.replace('"trusted"', '"cleared"', 1))
    elif damage == "path":
        text = (copy / "cases.jsonl").read_text()
        (copy / "cases.jsonl").write_text(text.replace("volumes/case000_image", "../../DOE/case000_image", 1))
    elif damage == "volume":
        volume.write_bytes(volume.read_bytes()[:-30])
    elif damage == "gone":
        volume.unlink()
    else:
        (tmp_path / "DOE.nii.gz").write_bytes(volume.read_bytes())
        volume.unlink()
        volume.symlink_to(tmp_path / "DOE.nii.gz")
    line = refused("train", f"cases={copy}", f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", *SMALL)
    expected = {"record": "line 1: its content hash", "path": "line 1: ", "link": "not inside its folder"}
    assert expected.get(damage, "case case000: channel image is missing or was changed since ingest") in line


def test_a_scan_in_other_units_or_another_direction(refused: Refused, make_cases: Any, tmp_path: Path) -> None:
    cases = make_cases(tmp_path / "cases")
    records = read_records(cases / "cases.jsonl", CaseRecord)
    odd = replace(
        records[3], channels={**records[3].channels, "image": replace(records[3].channels["image"], units="SUV")}
    )
    write_records(cases / "cases.jsonl", [odd if record.id == odd.id else record for record in records])
    line = refused("train", f"cases={cases}", f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", *SMALL)
    assert "several units among the cases (HU, SUV)" in line


def test_training_states_that_were_altered(refused: Refused, cases: Path, run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path / "run")
    words = ["train", f"cases={cases}", f"out={copy}", f"cache={cases.parent / 'cache'}", *SMALL]
    assert "trainer.steps was 2 and is 4" in refused(*command(*words, "trainer.steps=4"))
    assert "seed was 0 and is 1; choose another out" in refused(*words, "seed=1")
    for state in (copy / "checkpoints").glob("*.ckpt"):
        raw = bytearray(state.read_bytes())
        raw[len(raw) // 2] ^= 1
        state.write_bytes(bytes(raw))
    assert "every training state of the run was cut short or altered" in refused(*words)


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_a_cache_that_is_no_folder(refused: Refused, cases: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    words = [f"cases={cases}", f"out={tmp_path / 'out'}", f"cache={tmp_path / 'file' / below}", *SMALL]
    assert "cannot be a folder: it is a file or lies below one; choose another" in refused("train", *words)
    assert not (tmp_path / "out").exists()


# generate


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


# evaluate


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


# places that cannot be


def test_folders_below_a_file(refused: Refused, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "secret.key"))
    source = scans(tmp_path / "source", "none", 1)
    ingest = ["ingest", f"source={source}", "identity=trust", "progress=false"]
    (tmp_path / "file").touch()
    for below in ("sub", "sub/sub"):
        place = tmp_path / "file" / below
        for words in (
            [*ingest, f"out={place}"],
            [*ingest, f"out={tmp_path / 'out'}", f"key={place}"],
            ["generate", f"run={run}", f"out={place}", *FEW],
        ):
            assert "cannot be a folder: it is a file or lies below one; choose another" in refused(*words)
            assert not (tmp_path / "out").exists()


def test_names_that_are_too_long(refused: Refused, cases: Path, run: Path, tmp_path: Path) -> None:
    long, out = tmp_path / ("x" * 300), f"out={tmp_path / 'out'}"
    for words in (
        ["ingest", f"source={long}", out, "identity=trust"],
        ["ingest", f"source={cases}", f"out={long}", "identity=trust"],
        ["train", f"cases={cases}", out, f"cache={long}", *SMALL],
        ["generate", f"run={run}", f"out={long}", *FEW],
        ["generate", f"run={long}", out, *FEW],
        ["generate", f"run={run}", f"out={long / 'sub'}", *FEW],
    ):
        assert "a name that is longer than the disk allows; choose a shorter one" in refused(*words)
        assert not (tmp_path / "out").exists()


# full disks


def test_a_disk_that_fills(refused: Refused, cases: Path, run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "secret.key"))
    source = scans(tmp_path / "source", "none", 1)
    with small_disk(tmp_path / "disk", kilobytes=20) as disk:
        train = ["train", f"cases={cases}", *SMALL]
        commands = {
            "cache": [*train, f"out={tmp_path / 'a'}", f"cache={disk / 'cache'}"],
            "run": [*train, f"out={disk / 'run'}", f"cache={cases.parent / 'cache'}"],
            "samples": command("generate", f"run={run}", f"out={disk / 'samples'}", *FEW, "count=40"),
            "cases": ["ingest", f"source={source}", f"out={disk / 'cases'}", "identity=trust", "progress=false"],
        }
        for name, words in commands.items():
            assert "no space left on the disk" in refused(*words), name
            for path in list(disk.iterdir()):
                shutil.rmtree(path)
            if name == "run":  # a process of its own: what threads and exits print too
                done = subprocess.run([sys.executable, "-m", "medsynth", *words], capture_output=True, text=True)
                assert done.returncode == 1
                assert len(done.stderr.splitlines()) == 1, done.stderr
                assert "no space left on the disk" in done.stderr
                shutil.rmtree(disk / "run")
