"""The result of every training, written as soon as it is there: a stopped command goes on behind it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.files import write_json

PARTS = "results"


class Key(NamedTuple):
    """Which training: the row's size, the place of its folder in the row, the seed's number, the arm."""

    row: int
    draw: int
    seed: int
    arm: str

    def path(self, out: Path) -> Path:
        """Its file."""
        arm = re.sub(r"[^a-z]+", "-", self.arm.lower()).strip("-")
        return out / PARTS / f"n{self.row}-draw{self.draw}-seed{self.seed}-{arm}.json"


def write_result(out: Path, key: Key, binding: str, outcome: NDArray[np.float64]) -> None:
    """Keep an outcome (N, K) with the hash of all that it depends on."""
    rows = [[None if not np.isfinite(value) else float(value) for value in row] for row in outcome]
    write_json(key.path(out), {"schema": "medsynth.utility_result/1", "binding": binding, "outcome": rows})


def read_result(
    out: Path, key: Key, binding: str, shape: Sequence[int] | None, called: str = "out"
) -> NDArray[np.float64] | None:
    """An outcome that was kept; None where there is none.

    `shape` is what it has to be, None where that is not known yet; `called` is the key that names the folder.

    Raises:
        MedsynthError: it is of another command or version, or cannot be read.
    """
    path = key.path(out)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        outcome = np.array(content["outcome"], dtype=np.float64)
        same = content["schema"] == "medsynth.utility_result/1" and content["binding"] == binding
    except (OSError, ValueError, KeyError, TypeError):
        raise MedsynthError(f"{path.name} in {called} cannot be read; delete it, and it is made anew") from None
    if not same or (shape is not None and outcome.shape != tuple(shape)):
        raise MedsynthError(
            f"{called} holds results of other samples, cases or settings, or of another version of medsynth; choose "
            f"another {called}"
        )
    return outcome
