"""Bad input through the real command: one clear line, status 1 or 2, and nobody's name in it."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsynth.cli.main import main
from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, read_records, write_records
from tests.cli.bad_input import FEW, SMALL, Refused, command, copied
from tests.conftest import small_disk

GRID = Geometry.centred((8, 8, 8), (1, 1, 1))


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
