"""nnU-Net's own check and the BIDS validator, which live apart from medsynth's environment: tests/peers.txt."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("MEDSYNTH_PEERS", ROOT / ".peers"))
_CHECK = """
import contextlib, io, itertools, json, multiprocessing, sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
class Here:
    Pool = staticmethod(lambda count: contextlib.nullcontext(itertools))
multiprocessing.get_context = lambda *_: Here  # a process a check would import torch each time
found = {}
for folder in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            verify_dataset_integrity(folder, 1)
            fine = True
        except (AssertionError, RuntimeError) as error:
            print(error)
            fine = False
    found[folder] = (fine, said.getvalue())
print(json.dumps(found))
"""


def require(name: str) -> None:
    if not (FOLDER / name).is_dir():
        pytest.skip(f"{name} is not in {FOLDER.name}: pip install --no-deps --target .peers -r tests/peers.txt")


def nnunet_says(folders: Iterable[Path]) -> dict[Path, tuple[bool, str]]:
    """Whether nnU-Net's verify_dataset_integrity accepts each folder, and its words."""
    require("nnunetv2")
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", _CHECK, *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    return {Path(folder): tuple(found) for folder, found in json.loads(done.stdout.splitlines()[-1]).items()}


def bids_says(folder: Path) -> list[dict[str, str]]:
    """Errors of the BIDS validator."""
    require("bids_validator_deno")
    deno = FOLDER / "bin" / "deno"
    bundle = FOLDER / "bids_validator_deno" / "bids-validator.js"
    if not deno.is_file() and shutil.which("deno") is None:
        pytest.skip("there is no deno to run the BIDS validator")
    words = [str(deno) if deno.is_file() else "deno", "run", "--allow-read", "--allow-env", str(bundle)]
    done = subprocess.run([*words, "--json", str(folder)], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    found = [issue for issue in issues if issue["severity"] == "error"]
    assert bool(found) == bool(done.returncode)
    return found
