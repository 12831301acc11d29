import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsynth import __version__
from medsynth.cli.main import main
from medsynth.cli.verbs import VERBS
from tests.cli.conftest import Toy

HOSTILE = [
    "a b",
    " lead and trail ",
    "(x)",
    "x=y",
    "a,b",
    "~x",
    "#1",
    "it's",
    '"quoted"',
    "Jörg ä",
    "{x}",
    "${x}",
    "${oc.env:HOME}",
    "$x",
    "007",
    "1e5",
    "null",
    "true",
    "[1,2]",
    "a\\",
    "a\\'b",
    "line\nbreak",
    "a:b",
    "*?!%@&;|",
    "--help",
]


def calls(out: Path) -> list[str]:
    return (out / "calls.txt").read_text().splitlines()


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_any_folder_name_works(toy: Toy, name: str) -> None:
    cases, out = toy.folder / "in" / name, toy.folder / "out" / name
    cases.mkdir(parents=True)
    (cases / "cases.jsonl").write_text("{}\n")
    assert toy.run(f"cases={cases}", f"out={out}", f"note={name}x", cases_from=None) == 0
    assert (out / "calls.txt").read_text() == f"{cases}|1|Grid(shape=(2, 2), spacing=1.0)|None|{name}x\n"
    assert toy.run(f"cases={cases}", f"out={out}", f"note={name}x", cases_from=None) == 0


def test_relative_names_with_meaning_to_hydra_work(toy: Toy) -> None:
    for name in ("007", "true", "a,b", "~x", "1.5"):
        assert toy.run(f"out={name}") == 0
        assert (toy.folder / "cwd" / name / "calls.txt").is_file()


def test_nothing_is_left_beside_out_and_no_path_inside(toy: Toy) -> None:
    secret = toy.folder / "DOE^JANE"
    secret.mkdir()
    (secret / "cases.jsonl").write_text("x")
    assert toy.run(f"out={toy.folder / 'out'}", f"extra={secret}", "steps=3") == 0
    assert listing(toy.folder / "cwd") == []
    files = sorted(str(p.relative_to(toy.folder / "out")) for p in (toy.folder / "out").rglob("*") if p.is_file())
    assert files == [".hydra/config.yaml", ".hydra/overrides.yaml", "calls.txt", "medsynth.json"]
    for name in (".hydra/config.yaml", ".hydra/overrides.yaml", "medsynth.json"):
        text = (toy.folder / "out" / name).read_text()
        assert "DOE" not in text
        assert str(toy.folder) not in text
        assert "steps" in text
    assert "extra: <path>" in (toy.folder / "out" / ".hydra" / "config.yaml").read_text()


def test_the_users_own_experiment(toy: Toy) -> None:
    assert toy.run(f"out={toy.folder / 'out'}", "experiment=long", "grid.spacing=2") == 0
    assert calls(toy.folder / "out") == [f"{toy.cases}|7|Grid(shape=(4, 4, 4), spacing=2.0)|None|None"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["step=2"], 2, "unknown key step: nothing reads it; did you mean steps?"),
        (["grid.spacng=2"], 2, "unknown key grid.spacng: nothing reads it; did you mean grid.spacing?"),
        (["+foo=1"], 2, "unknown key foo: nothing reads it"),
        (["++stepss=1"], 2, "unknown key stepss: nothing reads it; did you mean steps?"),
        (["+grid.foo=1"], 2, "unknown key grid.foo: nothing reads it"),
        (["experiment=typo"], 2, "unknown key stepz: nothing reads it; did you mean steps?"),
        (["experiment=logn"], 2, "there is no experiment 'logn'; there are: "),
        (["experiment=broken"], 2, "a configuration file is no YAML: line 2"),
        (["mode=(x"], 2, "cannot read 'mode=(x' as key=value"),
        (["+steps=2"], 2, "steps is set already"),
        (["steps=many"], 2, "steps: 'many' does not fit; expected a whole number"),
        (["steps=1.5"], 2, "steps: 1.5 does not fit; expected a whole number"),
        (["progress=3"], 2, "progress: 3 does not fit; expected true or false"),
        (["mode=loud"], 2, "mode: 'loud' does not fit; expected write or refuse"),
        (["grid.shape=[1,x]"], 2, "grid.shape[1]: 'x' does not fit; expected a whole number"),
        (["grid=3"], 2, "grid: 3 does not fit; expected a group of keys"),
        (["grid.shape.first=3"], 2, "a key goes through a list by number"),
        (["steps=${nothing}"], 2, "nothing"),
        (["optimizer={_target_:os.system,command:ls}"], 2, "optimizer._target_ names nothing that a configuration may"),
        (["optimizer={_target_:medsynth.data.nifti.gzip.open,filename:x}"], 2, "is not a class of the packages"),
        (["optimizer={_target_:medsynth.data.nifti.write_nifti}"], 2, "is not a class of the packages"),
        (["optimizer={_target_:torch.optim.Nadamm}"], 2, "there is no torch.optim.Nadamm"),
        (["optimizer={_target_:torch.optim.AdamW,_partial_:true,lrr:1}"], 2, "unknown key optimizer.lrr"),
        (["optimizer={_target_:torch.optim.AdamW,lr:1}"], 2, "optimizer.params has to be given"),
        (["mode=refuse"], 1, "case 0012: slice gap 5.10 mm"),
        (["mode=full"], 1, "no space left on the disk"),
        (["mode=bug"], 1, "a bug: ValueError in"),
        (["mode=stop"], 130, "stopped; the same command goes on where it was"),
        (["extra=nowhere"], 1, "extra names no folder: nowhere"),
    ],
)
def test_a_failure_is_one_line_and_leaves_no_folder(
    toy: Toy, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert toy.run(f"out={toy.folder / 'out'}", *words) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(lines(printed.err)) == 1
    assert printed.err.startswith("medsynth: ")
    assert said in printed.err
    assert "DOE" not in printed.err
    assert not (toy.folder / "out").exists()
    assert listing(toy.folder / "cwd") == []


def test_missing_keys_are_named(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run() == 2
    assert "out has to be given: out=..." in capsys.readouterr().err
    assert toy.run("out=x", cases_from=None) == 2
    assert "cases has to be given: cases=..." in capsys.readouterr().err


def test_a_bug_shows_its_traceback_when_asked(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSYNTH_DEBUG", "1")
    assert toy.run("out=x", "mode=bug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_verbs_own_exit_status(toy: Toy) -> None:
    assert toy.run("out=x", "mode=status") == 1
    assert (toy.folder / "cwd" / "x" / "calls.txt").exists()


def test_allowed_targets_are_built(toy: Toy) -> None:
    assert toy.run("out=x", "optimizer={_target_:torch.optim.AdamW,_partial_:true,lr:0.1}") == 0


def test_the_configuration_is_printed_and_nothing_done(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run("out=${x}", "experiment=long", "--cfg", "job") == 0
    printed = capsys.readouterr().out
    assert "steps: 7" in printed
    assert "out: ${x}" in printed
    assert listing(toy.folder / "cwd") == []
    assert toy.run("out=x", "--cfg", "job", "--package", "nothing") == 2


def test_a_sweep_has_a_folder_a_job_and_outlives_a_failing_job(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    out = toy.folder / "a,b ${x}"
    words = [f"out={out}", "steps=1,2", "mode=write,refuse", "-m"]
    assert toy.run(*words) == 1
    said = capsys.readouterr().err
    assert "4 jobs, 2 failed: 1, 3" in said
    assert str(toy.folder) not in said
    assert sorted(p.name for p in out.iterdir()) == ["0", "2", "medsynth.json"]
    assert [calls(out / number)[0].split("|")[1] for number in ("0", "2")] == ["1", "2"]
    assert str(toy.folder) not in (out / "0" / ".hydra" / "overrides.yaml").read_text()
    assert listing(toy.folder / "cwd") == []
    assert toy.run(*words) == 1
    assert len(calls(out / "0")) == 2
    capsys.readouterr()
    assert toy.run(f"out={out}") == 1
    assert "it was begun by `medsynth toy -m`" in capsys.readouterr().err
    assert toy.run(f"out={toy.folder}", "steps=1,2", "-m") == 1
    assert toy.run(f"out={toy.folder / 'new'}", "steps=1,many", "-m") == 2
    assert toy.run(f"out={toy.folder / 'all'}", "steps=1,2", "-m") == 0
    assert toy.run(f"out={toy.folder / 'none'}", "mode=refuse,bug", "-m") == 1
    assert toy.run(f"out={toy.folder / 'none'}", "steps=few,many", "-m") == 2
    assert not (toy.folder / "none").exists()


def test_ctrl_c_stops_a_sweep(toy: Toy) -> None:
    assert toy.run("out=x", "mode=stop,write", "-m") == 130
    assert not (toy.folder / "cwd" / "x" / "1").exists()


def test_the_users_own_hydra_settings_cannot_bring_paths_into_a_run(toy: Toy) -> None:
    (toy.conf / "toy.yaml").write_text(
        (toy.conf / "toy.yaml").read_text() + "hydra: {output_subdir: .hydra2, run: {dir: stray}, job: {chdir: true}}\n"
    )
    assert toy.run("out=x") == 0
    assert listing(toy.folder / "cwd") == ["x"]
    assert not (toy.folder / "cwd" / "x" / ".hydra2").exists()


@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["--help"], 0, "medsynth VERB key=value", ""),
        (["--version"], 0, f"medsynth {__version__}", ""),
        (["trian"], 2, "", "there is no verb 'trian'; did you mean train?"),
        ([], 2, "", "which verb?"),
        (["train", "--help"], 0, "cases (has to be given)", ""),
        (["train", "--hepl"], 2, "", "unknown flag --hepl; did you mean --help?"),
    ],
)
def test_help_and_mistakes_are_quick(words: list[str], status: int, out: str, err: str) -> None:
    watch = (
        "import sys, runpy\nsys.argv = ['medsynth'] + sys.argv[1:]\ncode = None\n"
        "try: runpy.run_module('medsynth', run_name='__main__')\nexcept SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'monai'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", watch, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert out in done.stdout
    assert err in done.stderr
    assert bool(done.stderr) == bool(err)
    assert len(lines(done.stderr)) == 1


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable!r} -m medsynth ingest --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_prints_its_configuration(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--cfg", "job"]) == 0
    printed = capsys.readouterr().out
    assert {"check": "out: null", "view": "samples: null"}.get(name, "out: ???") in printed


def test_main_leaves_the_process_as_it_was(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    before = list(sys.argv)
    assert toy.run("out=x", "mode=refuse") == 1
    assert sys.argv == before
    assert "HYDRA_FULL_ERROR" not in os.environ
    assert toy.run("out=y") == 0
    assert json.loads(Path("y/medsynth.json").read_text())["verb"] == "toy"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "objective.drop_each={age: 0.2}"],
            "drop_each has no entry age yet: write +objective.drop_each.age=",
        ),
        (
            ["generate", "sampler.options={calm: 1.0}"],
            "options has no entry calm yet: write +sampler.options.calm",
        ),
    ],
)
def test_a_new_entry_of_an_open_key_says_how(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "cases=x" if words[0] == "train" else "run=x", "out=y"]) == 2
    assert said in capsys.readouterr().err
