"""A training of a moment: the same small network and plan in every room that needs a run."""

from functools import partial
from pathlib import Path
from typing import Any

from medsynth.data.resampling import Resampling
from medsynth.data.split import SplitPlan
from medsynth.files import write_json
from medsynth.nets.autoencoders import Haar
from medsynth.nets.unet import UNet
from medsynth.records import CaseRecord, read_records
from medsynth.training.objective import Objective
from medsynth.training.plan import DataPlan, ImageInput, Schedule, TrainReport
from medsynth.training.run import train

NETWORK = partial(UNet, features=(8, 8), head_channels=8, norm_groups=4)
WINDOW = ImageInput(name="image", kind="window", low=-50, high=250)
SPLIT = SplitPlan(validation=0.2, test=0.2)


def list_cleared(cases: Path) -> None:
    """Write what the identity gate leaves beside cases that say they were cleared."""
    records = read_records(cases / "cases.jsonl", CaseRecord)
    hashes = [record.sha256 for record in records if record.identity == "cleared"]
    write_json(cases / "identity.json", {"schema": "medsynth.clearance/1", "content": hashes})


def small_data(**changes: Any) -> DataPlan:
    """The image alone of the cases that `make_cases` writes, on their own grid."""
    settings = {
        "images": (WINDOW,),
        "label": None,
        "resampling": Resampling(orientation=None, spacing=None, size=(8, 8, 8)),
        "split": SPLIT,
        "batch_size": 2,
    }
    return DataPlan(**{**settings, **changes})


def train_small(cases: Path, out: Path, data: DataPlan, trainer: Schedule, **settings: Any) -> TrainReport:
    """Train on one thread, in fp32, with the cache beside the cases; `settings` replace what is set here."""
    small = {
        "autoencoder": Haar(),
        "model": NETWORK,
        "objective": Objective(warmup=2),
        "cache": cases.parent / "cache",
        "precision": "fp32",
        "threads": 1,
        "uncleared": "i_accept",
        "progress": False,
    }
    return train(cases, out, data=data, trainer=trainer, **{**small, **settings})
