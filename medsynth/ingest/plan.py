"""What a layout found: cases to be read, none of them opened yet."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from medsynth.errors import MedsynthError
from medsynth.identity.shapes import judge
from medsynth.ingest.series_rule import Seen
from medsynth.records import Attribute, Split

Reader = Literal["nifti", "picture", "dicom", "dicom_labels"]
TWO_FILES = "two files for one channel (such as x.nii beside x.nii.gz, or two label maps); remove one of them"
"""Refusal of a case where one of two files would be left out without a word."""
_KNOWN_UNITS = {"CT": "HU"}
_MODALITY_NAMES = {
    "ct": "CT",
    "mr": "MR",
    "mri": "MR",
    "pet": "PT",
    "pt": "PT",
    "t1": "MR",
    "t1w": "MR",
    "t1ce": "MR",
    "t1gd": "MR",
    "t2": "MR",
    "t2w": "MR",
    "flair": "MR",
    "adc": "MR",
    "pd": "MR",
    "pdw": "MR",
    "t2starw": "MR",
}


@dataclass(frozen=True, kw_only=True)
class PlannedChannel:
    """One channel to be read.

    Args:
        name: of the channel.
        reader: which kind of file it is.
        paths: one file, or all files of a DICOM series.
        kind: "image" or "label".
        modality: DICOM code where the layout knows it; DICOM files say it themselves.
        index: which part of a 4D NIfTI file, None for a file of one volume.
        volume: which volume of a DICOM series, see `medsynth.data.dicom_volumes`; None where it has one.
        tilt: what becomes of a DICOM series with gantry tilt, "refuse" or "resample".
    """

    name: str
    reader: Reader
    paths: tuple[Path, ...]
    kind: Literal["image", "label"] = "image"
    modality: str | None = None
    index: int | None = None
    volume: str | None = None
    tilt: str = "refuse"


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    """One case to be read.

    Args:
        source: where it lies in the source, for the owner's eyes alone.
        patient: what identifies the patient, not yet a pseudonym; None when not known.
        patient_source: one of `medsynth.records.PATIENT_SOURCES`.
        channels: to be read, at least one image.
        labels: names of the label map's values where the source names them.
        attributes: what the source says of the case.
        split: fixed by the source, or None.
        refusal: why the case cannot be taken, where that is known already.
    """

    source: str
    patient: str | None
    patient_source: str
    channels: tuple[PlannedChannel, ...]
    labels: Mapping[int, str] | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    split: Split | None = None
    refusal: str | None = None

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        double = sorted({name for name in names if names.count(name) > 1})
        if double and self.refusal is None:
            raise MedsynthError("two channels of one case have one name; give the second another name")


def spoken(names: Sequence[str]) -> str:
    """Names of channels for the eye, those with words that are not known left out: they may be somebody's.

    >>> spoken(["image", "Ottilie", "t1w"])
    'image, t1w and another'
    """
    fine = [name for name in names if not judge(name.replace("_", " "))]
    rest = len(names) - len(fine)
    return ", ".join(fine or ["unknown names"]) + (
        f" and {'another' if rest == 1 else f'{rest} others'}" if rest and fine else ""
    )


class Found(NamedTuple):
    """What a source holds: `text` says it in a few words, `aside` counts the files left aside by their ending.

    `seen` are the volumes and pictures of a DICOM tree, chosen or not.
    """

    layout: str
    cases: list[PlannedCase]
    text: str
    aside: Mapping[str, int] = MappingProxyType({})
    seen: tuple[Seen, ...] = ()

    @property
    def skipped(self) -> int:
        """How many files were left aside."""
        return sum(self.aside.values())


def channel_name(text: str) -> str:
    """A plain channel name from a folder's, column's or modality's name.

    >>> channel_name("T1-weighted (post)")
    't1-weighted_post'
    """
    plain = re.sub(r"[^a-z0-9.-]+", "_", text.lower()).strip("_.-")
    return plain[:64] or "image"


def modality_of(name: str) -> str | None:
    """DICOM modality code that a channel's name stands for, None when it stands for none."""
    return _MODALITY_NAMES.get(name.lower())


def units_of(modality: str | None) -> str:
    """Units of a NIfTI image of `modality`."""
    return _KNOWN_UNITS.get(modality or "", "arbitrary")
