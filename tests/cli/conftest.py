"""A small verb of its own through the real command and the real Hydra; a small run for bad input."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from medsynth.cli.inputs import cases_content
from medsynth.cli.main import main
from medsynth.cli.verbs import Verb
from tests.cli.bad_input import FEW, SMALL, Refused

MODULE = """
import errno
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

from medsynth.errors import MedsynthError


@dataclass(frozen=True)
class Grid:
    shape: tuple[int, ...] = (2, 2)
    spacing: float = 1.0


def toy(
    cases: Path, out: Path, *, steps: int = 1,
    mode: Literal["write", "refuse", "full", "bug", "stop", "status"] = "write",
    grid: Grid = Grid(), extra: Path | None = None, optimizer: object = None, note: str | None = None,
    progress: bool = True,
) -> object:
    if mode == "refuse":
        raise MedsynthError("case 0012: slice gap 5.10 mm after slice 14, expected 2.50; re-export the series")
    if mode == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/scans/DOE^JANE")
    if mode == "bug":
        raise ValueError("/scans/DOE^JANE")
    if mode == "stop":
        raise KeyboardInterrupt
    with (out / "calls.txt").open("a") as file:
        file.write(f"{cases}|{steps}|{grid}|{extra}|{note}\\n")
    return SimpleNamespace(exit_code=1 if mode == "status" else 0)
"""


CONFIG = """
defaults:
  - _self_
  - experiment: null
# Cases.
cases: ???
# Folder.
out: ???
# Steps.
steps: 1
mode: write
grid:
  shape: [2, 2]
  spacing: 1.0
extra: null
optimizer: null
note: null
progress: true
"""


class Toy(NamedTuple):
    """The command with the verb `toy`; `cases` is a finished folder, `conf` the user's own."""

    run: Callable[..., int]
    cases: Path
    conf: Path
    folder: Path


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    modules, conf, cases = tmp_path / "modules", tmp_path / "my conf (1)", tmp_path / "cases"
    for folder in (modules, conf / "experiment", cases, tmp_path / "cwd"):
        folder.mkdir(parents=True)
    (modules / "toy_verb.py").write_text(MODULE)
    (conf / "toy.yaml").write_text(CONFIG)
    experiment = "# @package _global_\nsteps: 7\ngrid:\n  shape: [4, 4, 4]\n"
    (conf / "experiment" / "long.yaml").write_text(experiment)
    (conf / "experiment" / "typo.yaml").write_text("# @package _global_\nstepz: 7\n")
    (conf / "experiment" / "broken.yaml").write_text("steps: [1\nmode: x")
    (cases / "cases.jsonl").write_text("{}\n")
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.delitem(sys.modules, "toy_verb", raising=False)
    monkeypatch.chdir(tmp_path / "cwd")
    verb = Verb(
        name="toy",
        summary="for tests",
        function="toy_verb:toy",
        inputs={"cases": cases_content, "extra": cases_content},
        texts=frozenset({"note"}),
    )

    def run(*words: str, cases_from: Path | None = cases) -> int:
        given = [] if cases_from is None else [f"cases={cases_from}"]
        return main(["toy", f"--config-dir={conf}", *given, *words], {"toy": verb})

    return Toy(run, cases, conf, tmp_path)


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


@pytest.fixture(scope="session")
def cases(make_cases: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = make_cases(tmp_path_factory.mktemp("bad input") / "cases")
    return folder


@pytest.fixture(scope="session")
def run(cases: Path) -> Path:
    out = cases.parent / "run"
    assert main(["train", f"cases={cases}", f"out={out}", f"cache={cases.parent / 'cache'}", *SMALL]) == 0
    return out


@pytest.fixture(scope="session")
def samples(run: Path) -> Path:
    out = run.parent / "samples"
    assert main(["generate", f"run={run}", f"out={out}", *FEW]) == 0
    return out
