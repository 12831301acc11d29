"""The real verbs through the command, on scans made here."""

import json
from pathlib import Path

import numpy as np
import pytest

from medsynth.cli.main import main
from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, read_records


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "key" / "secret.key"))
    folder = tmp_path / "Jörg's (scans), ${x} = ~#1"
    for number in range(3):
        values = np.random.default_rng(number).normal(size=(6, 6, 6)).astype(np.float32)
        write_nifti(folder / f"DOE_{number}.nii.gz", values, Geometry.centred((6, 6, 6), (1, 1, 1)))
    return folder


def ingest(scans: Path, out: Path, *words: str) -> int:
    return main(["ingest", f"source={scans}", f"out={out}", "identity=trust", "progress=false", *words])


def test_ingest_goes_on_and_another_configuration_is_refused(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "${cases}, 1"
    assert ingest(scans, out, r"patient_pattern=_(\d)", "licence=CC BY (4.0)") == 0
    records = read_records(out / "cases.jsonl", CaseRecord)
    assert [record.licence for record in records] == ["CC BY (4.0)"] * 3
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert ingest(scans, out, r"patient_pattern=_(\d)", "licence=CC BY (4.0)", "workers=1") == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before
    capsys.readouterr()
    assert ingest(scans, out, r"patient_pattern=_(\d)") == 1
    assert capsys.readouterr().err.endswith("licence was CC BY (4.0) and is null; choose another out\n")
    for path in out.rglob("*"):
        assert not path.is_file() or b"DOE" not in path.read_bytes()
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()


def test_a_refused_case_is_said_and_mended_by_the_same_command(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (scans / "DOE_1.nii.gz").read_bytes()
    (scans / "DOE_1.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert ingest(scans, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.startswith("medsynth: some cases were refused")
    assert len(read_records(tmp_path / "out" / "cases.jsonl", CaseRecord)) == 2
    (scans / "DOE_1.nii.gz").write_bytes(whole)
    assert ingest(scans, tmp_path / "out") == 0
    assert len(read_records(tmp_path / "out" / "cases.jsonl", CaseRecord)) == 3


@pytest.mark.parametrize("content", [None, {}, {"notes.txt": "hello"}])
def test_a_source_without_scans_is_one_line_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: dict[str, str] | None
) -> None:
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "secret.key"))
    source = tmp_path / "source"
    if content is not None:
        source.mkdir()
        for name, text in content.items():
            (source / name).write_text(text)
    assert ingest(source, tmp_path / "out") in (1, 2)
    printed = capsys.readouterr()
    assert printed.err.startswith("medsynth: error: ")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_sweep_of_ingest(scans: Path, tmp_path: Path) -> None:
    assert ingest(scans, tmp_path / "out", "layout=auto,bids", "-m") == 1
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["0", "medsynth.json"]
    assert json.loads((tmp_path / "out" / "0" / "medsynth.json").read_text())["config"]["layout"] == "auto"


@pytest.mark.parametrize("verb", ["train", "generate", "evaluate", "export"])
def test_a_folder_of_another_kind_is_one_line(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = {"train": ["cases"], "generate": ["run"], "evaluate": ["samples", "cases"], "export": ["samples"]}[verb]
    words = [f"{key}={tmp_path / 'nothing'}" for key in folders]
    experiment = ["experiment=phantom_3d"] if verb == "train" else []
    assert main([verb, *words, f"out={tmp_path / 'out'}", *experiment]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"medsynth: error: {folders[0]} names no folder")
    assert not (tmp_path / "out").exists()
