"""dataset.json, which the Decathlon and nnU-Net write beside their folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsynth.errors import MedsynthError
from medsynth.files import inside
from medsynth.ingest.plan import channel_name

DATASET_FILE = "dataset.json"
_KEYS = {"training", "channel_names", "modality", "labels", "numTraining"}


def read_dataset(folder: Path) -> dict[str, Any]:
    """Content of `folder`/dataset.json; empty where there is none or it cannot be understood."""
    try:
        content = json.loads((folder / DATASET_FILE).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def layout_of(folder: Path) -> str | None:
    """Whose dataset.json it is: "decathlon", "nnunet" or, where it is neither or absent, None.

    nnU-Net's second version names `channel_names`. Its first lists `training` as the
    Decathlon does, but the files it lists are called NAME_0000.nii.gz.
    """
    content = read_dataset(folder)
    if isinstance(content.get("channel_names"), dict):
        return "nnunet"
    training = content.get("training")
    if not isinstance(training, list):
        return None
    first = training[0] if training else None
    named = first.get("image") if isinstance(first, dict) else first
    if isinstance(named, str) and named.lower().endswith(".nii.gz"):
        try:
            listed, numbered = inside(folder, named), inside(folder, f"{named[:-7]}_0000.nii.gz")
        except MedsynthError:
            return "decathlon"
        if numbered.is_file() and not listed.exists():
            return "nnunet"
    return "decathlon"


def is_broken(folder: Path) -> bool:
    """Whether there is a dataset.json that cannot be read, or that has the datasets' keys but is neither's."""
    path = folder / DATASET_FILE
    if not (path.is_file() or path.is_symlink()) or layout_of(folder) is not None:
        return False
    content = read_dataset(folder)
    return not content or not _KEYS.isdisjoint(content)


def channel_names(names: Sequence[str]) -> list[str]:
    """A channel name each: "image" for one alone; equal names, and "label", get their number behind.

    >>> channel_names(["T1", "MRI", "mri"])
    ['t1', 'mri_1', 'mri_2']
    """
    if len(names) == 1:
        return ["image"]
    plain = [channel_name(name) for name in names]
    return [f"{name}_{index}" if name == "label" or plain.count(name) > 1 else name for index, name in enumerate(plain)]


def label_names(labels: Mapping[str, Any]) -> dict[int, str]:
    """Name of each value without background, from {"1": "liver"} or {"liver": 1}.

    A region of several values, {"whole": [1, 2]}, has no value of its own: values that
    only regions name are called "label 1" and so on.

    Raises:
        MedsynthError: a value that is no whole number of 0 or more, or nnU-Net's "ignore".
    """
    named: dict[int, str] = {}
    in_regions: set[int] = set()
    for key, value in labels.items():
        if str(key).lower() == "ignore":
            raise MedsynthError(
                f"{DATASET_FILE} has the label ignore: voxels of no known label cannot be learnt; label them, and take "
                "it out"
            )
        if isinstance(value, list) and len(value) != 1:
            in_regions.update(_whole(part) for part in value)
            continue
        value = value[0] if isinstance(value, list) else value
        reverse = isinstance(value, str) and not value.strip().isdecimal()
        named[_whole(key if reverse else value)] = str(value if reverse else key)
    named |= {value: f"label {value}" for value in sorted(in_regions - named.keys())}
    return {value: name for value, name in named.items() if value}


def _whole(value: Any) -> int:
    try:
        number = int(value)
        if number != float(value) or number < 0 or isinstance(value, bool):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise MedsynthError(
            f"{DATASET_FILE} has a label that is no whole number of 0 or more; mend its labels"
        ) from None
    return number
