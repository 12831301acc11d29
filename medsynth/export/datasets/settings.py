"""How a data set is named and divided: the choices, valid once made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from medsynth.errors import MedsynthError

DatasetFormat = Literal["nnunet", "decathlon", "bids", "monai"]
DATASET_FORMATS: tuple[DatasetFormat, ...] = get_args(DatasetFormat)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,39}\Z")
_SUFFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,19}\Z")
_LARGEST = 999


@dataclass(frozen=True)
class DatasetSettings:
    """What the records do not say.

    Args:
        name: of the data set.
        number: of it, 1 to 999: nnU-Net's DatasetNNN, the Decathlon's TaskNNN.
        validation: "keep" or "leave_out" real cases of the generator's validation patients; None keeps them where the
            format has a place of its own for them, which nnU-Net has not: there "keep" makes them the one fold.
        test: the same of its test patients; None is "keep", for every format has a place for them.
        folds: into which nnU-Net's training patients are dealt; None for none.
        suffix: BIDS suffix by image channel ("T1w", "FLAIR"), where neither units nor the channel's name tell.
        skull_stripped: what BIDS sidecars say of the images, which they must.

    Raises:
        MedsynthError: a name, number or choice that there is not.
    """

    name: str = "Medsynth"
    number: int = 900
    validation: str | None = None
    test: str | None = None
    folds: int | None = 5
    suffix: Mapping[str, str] | None = None
    skull_stripped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffix", MappingProxyType(dict(self.suffix or {})))
        if not _NAME.match(self.name):
            raise MedsynthError("dataset.name is 1 to 40 letters and digits, a letter first")
        if not 1 <= self.number <= _LARGEST:
            raise MedsynthError(f"dataset.number is 1 to {_LARGEST}")
        for key in ("validation", "test"):
            if getattr(self, key) not in (None, "keep", "leave_out"):
                raise MedsynthError(f"dataset.{key} is keep, leave_out or null")
        if self.folds is not None and self.folds < 2:
            raise MedsynthError("dataset.folds is 2 or more, or null")
        if not all(_SUFFIX.match(suffix) for suffix in self.suffixes.values()):
            raise MedsynthError("dataset.suffix names BIDS suffixes, letters and digits: {image: T1w}")

    @property
    def suffixes(self) -> Mapping[str, str]:
        """BIDS suffix by channel, as far as it is set."""
        return self.suffix or {}

    def keeps(self, split: str, kind: DatasetFormat) -> bool:
        """Whether real cases of a split go out."""
        asked = {"validation": self.validation, "test": self.test}.get(split, "keep")
        return asked == "keep" or (asked is None and (split, kind) != ("validation", "nnunet"))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "number": self.number,
            "validation": self.validation,
            "test": self.test,
            "folds": self.folds,
            "suffix": dict(self.suffixes),
            "skull_stripped": self.skull_stripped,
        }
