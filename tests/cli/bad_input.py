"""What the tests of bad input share: small commands and copies of folders."""

import shutil
from collections.abc import Callable
from pathlib import Path

Refused = Callable[..., str]


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
    "uncleared=i_accept",
    "precision=fp32",
    "progress=false",
]


FEW = ["count=2", "sampler.steps=2", "device=cpu", "progress=false"]


def command(*words: str) -> list[str]:
    """Words of which a later key=value takes the place of an earlier one."""
    given = {word.partition("=")[0]: word for word in words}
    return list(given.values())


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to
