"""What the tests of resumed trainings share: a training that dies, and the weights that it ends in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from medsynth.models.sealed import read_sealed
from medsynth.training.module import DiffusionModule


class KilledError(Exception):
    pass


@contextmanager
def dying_after(step: int) -> Iterator[None]:
    """Every training in here dies right after that step."""
    original = DiffusionModule.optimizer_step

    def dying(self: DiffusionModule, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.global_step == step:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffusionModule, "optimizer_step", dying)
        yield


def weights(out: Path, name: str = "last") -> Any:
    return read_sealed(out / "weights" / f"{name}.ckpt").content["model"]
