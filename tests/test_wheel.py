"""The wheel alone, in an environment that has the dependencies and no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from medsynth.cli.verbs import VERBS
from medsynth.errors import MedsynthError
from medsynth.view.niivue import SCRIPT, script

ROOT = Path(__file__).parent.parent
SITE = Path(sysconfig.get_path("purelib"))
VIEWER = f"medsynth/{SCRIPT.relative_to(ROOT / 'medsynth').as_posix()}"
WATCHED = """
import json, sys
root, site, words = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
seen = []
def watch(event, details):
    if event == "open" and isinstance(details[0], str) and details[0].startswith(root + "/"):
        seen.append(details[0])
sys.addaudithook(watch)
from medsynth.cli.main import main
status = main(words)
foreign = [name for name in seen if not name.startswith((site, sys.prefix))]
import medsynth, medsynth.conf
home = [module.__file__ for module in (medsynth, medsynth.conf)]
print("\\n" + json.dumps({"status": status, "foreign": foreign, "home": home, "prefix": sys.prefix}))
"""


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it may name a checkout
    done = subprocess.run([str(w) for w in words], cwd=cwd, env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing of an earlier build gets in."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("medsynth", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, cwd=source)
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of an empty environment with the wheel; it borrows the dependencies, not this checkout."""
    folder = tmp_path_factory.mktemp("environment") / "with blank"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (own_site,) = folder.glob("lib/python*/site-packages")
    # A .pth inside SITE (that of an editable install) is not followed from here.
    (own_site / "borrowed.pth").write_text(f"{SITE}\n")
    return folder / "bin"


def test_every_file_of_the_package_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        prefix + path.relative_to(ROOT / top).as_posix()
        for top, prefix in (("medsynth", "medsynth/"), ("conf", "medsynth/conf/"))
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # A checkout may lack the viewer's script; the build fetches it.
    assert packed == here | ({VIEWER} & packed)


def test_the_viewers_script_and_its_licence_are_in_the_wheel(wheel: Path) -> None:
    try:
        script()
    except MedsynthError as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.getinfo("medsynth/view/static/niivue.js").file_size > 1_000_000
    assert "medsynth/view/static/niivue-LICENSE.txt" in names
    assert any(name.endswith(".dist-info/licenses/medsynth/view/static/niivue-LICENSE.txt") for name in names)


def test_the_command_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "medsynth", "--help", cwd=tmp_path).stdout
    assert all(verb in said for verb in VERBS)
    said = run(installed / "medsynth", "train", "--cfg", "job", "cases=a,b", cwd=tmp_path).stdout
    assert "cases: a,b" in said
    assert "has to be given" in run(installed / "python", "-m", "medsynth", "train", "--help", cwd=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[verb, "--cfg", "job"] for verb in VERBS] + [["train", "--help"]])
def test_no_file_outside_the_wheel_is_used(installed: Path, tmp_path: Path, words: list[str]) -> None:
    arguments = [str(ROOT), str(SITE), json.dumps(words)]
    done = run(installed / "python", "-P", "-c", WATCHED, *arguments, cwd=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == 0
    assert found["foreign"] == []
    assert all(home.startswith(found["prefix"]) for home in found["home"])
