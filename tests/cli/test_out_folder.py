import json
from pathlib import Path

import pytest

from medsynth.cli.inputs import cases_content, run_content
from medsynth.cli.out_folder import Stamp, claim
from medsynth.errors import MedsynthError
from tests.cli.conftest import Toy

STAMP = Stamp(verb="train", config={"steps": 1, "model": {"width": 8}}, inputs={"cases": "a" * 64, "init_from": None})


def begin(out: Path, stamp: Stamp = STAMP) -> bool:
    with claim(out, stamp) as resumed:
        (out / "work.bin").write_bytes(b"1")
    return resumed


def test_the_same_command_goes_on(tmp_path: Path) -> None:
    assert not begin(tmp_path / "out")
    assert begin(tmp_path / "out")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Stamp(verb="generate", config=STAMP.config, inputs=STAMP.inputs), "it was begun by `medsynth train`"),
        (Stamp(verb="train", config=STAMP.config, inputs=STAMP.inputs, sweep=True), "it was begun by `medsynth train`"),
        (Stamp(verb="train", config={"steps": 2, "model": {"width": 8}}, inputs=STAMP.inputs), "steps was 1 and is 2"),
        (
            Stamp(verb="train", config={"steps": 1, "model": {"width": 9}}, inputs=STAMP.inputs),
            "model.width was 8 and is 9",
        ),
        (Stamp(verb="train", config={"steps": 1}, inputs=STAMP.inputs), "model.width was 8 and is not set"),
        (
            Stamp(verb="train", config={**STAMP.config, "seed": 0}, inputs=STAMP.inputs),
            "seed is set to 0 and was not set",
        ),
        (
            Stamp(verb="train", config=STAMP.config, inputs={"cases": "b" * 64, "init_from": None}),
            "cases has another content",
        ),
        (
            Stamp(verb="train", config=STAMP.config, inputs={**STAMP.inputs, "init_from": "c" * 64}),
            "init_from has another content",
        ),
    ],
)
def test_another_command_is_refused_by_the_first_difference(tmp_path: Path, other: Stamp, said: str) -> None:
    begin(tmp_path / "out")
    with pytest.raises(MedsynthError) as refused:
        begin(tmp_path / "out", other)
    assert said in str(refused.value)


def test_foreign_and_broken_folders_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.docx").write_text("x")
    with pytest.raises(MedsynthError, match="holds other things"):
        begin(foreign)
    (tmp_path / "file").write_text("x")
    with pytest.raises(MedsynthError, match="out is a file"):
        begin(tmp_path / "file")
    begin(tmp_path / "out")
    for text, said in (("{", "cannot be read"), ("[]", "cannot be read"), ('{"schema": "x"}', "another version")):
        (tmp_path / "out" / "medsynth.json").write_text(text)
        with pytest.raises(MedsynthError, match=said):
            begin(tmp_path / "out")


def test_an_empty_folder_and_one_killed_before_its_stamp_are_taken(tmp_path: Path) -> None:
    (tmp_path / ".partial-x.json").write_text("{")
    assert not begin(tmp_path)


def test_a_failure_before_the_first_file_gives_the_folder_back(tmp_path: Path) -> None:
    def fail(out: Path, leave: bool) -> None:
        def work() -> None:
            with claim(out, STAMP, {"config.yaml": "x"}):
                (out / "deep" / "er").mkdir(parents=True, exist_ok=True)
                if leave:
                    (out / "deep" / "work.bin").write_bytes(b"1")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            work()

    fail(tmp_path / "new", leave=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    fail(tmp_path / "old", leave=False)
    assert list((tmp_path / "old").iterdir()) == []
    fail(tmp_path / "work", leave=True)
    assert begin(tmp_path / "work")
    fail(tmp_path / "work", leave=False)
    assert (tmp_path / "work" / "deep" / "work.bin").exists()


def test_what_changes_nothing_in_the_result_may_differ(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run("out=x", "progress=true") == 0
    assert toy.run("out=x", "progress=false") == 0
    assert "going on" in capsys.readouterr().err
    moved = toy.folder / "moved"
    toy.cases.rename(moved)
    assert toy.run("out=x", cases_from=moved) == 0
    (moved / "cases.jsonl").write_text("{}\n{}\n")
    assert toy.run("out=x", cases_from=moved) == 1
    assert "x belongs to another configuration: cases has another content" in capsys.readouterr().err


def test_what_is_finished_is_not_written_into(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run(f"out={toy.cases / 'sub'}") == 1
    assert "out lies inside cases" in capsys.readouterr().err
    assert not (toy.cases / "sub").exists()


def test_hashes_of_inputs(tmp_path: Path) -> None:
    with pytest.raises(MedsynthError, match="names no folder"):
        cases_content("cases", tmp_path / "x")
    with pytest.raises(MedsynthError, match=r"holds no cases\.jsonl"):
        cases_content("cases", tmp_path)
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    with pytest.raises(MedsynthError, match="no weights yet"):
        run_content("run", run)
    (run / "weights" / "best.ckpt").write_bytes(b"1")
    first = run_content("run", run)
    (run / "weights" / "best.ckpt").write_bytes(b"2")
    assert run_content("run", run) != first


def test_the_stamp_is_plain_json_with_a_schema(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "medsynth.json").read_text())
    assert content["schema"] == "medsynth.out/1"
    assert Stamp.read(tmp_path / "out") == STAMP
