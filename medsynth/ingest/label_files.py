"""Which label file (SEG, RTSTRUCT) of a DICOM tree belongs to which case."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from medsynth.data.dicom_labels import LabelHeader, agreed_values
from medsynth.ingest.plan import PlannedCase, PlannedChannel
from medsynth.ingest.series_rule import Seen

_SEVERAL = "{} label files (SEG or RTSTRUCT) for one series; remove all but one"


class LabelFile(NamedTuple):
    """A label file: where it is, its kind for the table, and what it says of itself."""

    path: Path
    kind: str
    header: LabelHeader


class Origin(NamedTuple):
    """Series and SOP Instance UID of an image file."""

    series: str
    instance: str


class Labelled(NamedTuple):
    """Cases with their label channels, and a line of the table for each label file."""

    cases: list[PlannedCase]
    seen: list[Seen]


def with_labels(
    cases: Sequence[PlannedCase],
    files: Sequence[LabelFile],
    origins: Mapping[Path, Origin],
    names: Mapping[int, str] | None = None,
) -> Labelled:
    """Give each case the label file that was drawn on it, as its channel "label".

    A file that names its images belongs to the volumes that hold one of them, another one to all volumes of the series
    that it refers to. Values mean the same in all cases: see `medsynth.data.dicom_labels.agreed_values`.

    Args:
        cases: of one image channel each.
        files: label files of the tree.
        origins: of the files of the cases.
        names: value and name of the structures that are wanted; None for all.
    """
    belonging = [[file for file in files if _belongs(file.header, case, origins)] for case in cases]
    used = {file.path for some in belonging for file in some}
    values = dict(names) if names else agreed_values([file.header.names for file in files if file.path in used])
    labelled = [_labelled(case, some, values) for case, some in zip(cases, belonging, strict=True)]
    seen = [
        Seen(file.kind, None, "" if file.path in used else "the series that it refers to is not there or not chosen")
        for file in files
    ]
    return Labelled(labelled, seen)


def _belongs(label: LabelHeader, case: PlannedCase, origins: Mapping[Path, Origin]) -> bool:
    own = [origins[path] for channel in case.channels for path in channel.paths if path in origins]
    if label.instances:
        return any(origin.instance in label.instances for origin in own)
    return any(origin.series in label.series for origin in own)


def _labelled(case: PlannedCase, files: Sequence[LabelFile], values: Mapping[int, str]) -> PlannedCase:
    if not files:
        return case
    if len(files) > 1:
        return replace(case, refusal=case.refusal or _SEVERAL.format(len(files)))
    label = PlannedChannel(name="label", reader="dicom_labels", paths=(files[0].path,), kind="label")
    return replace(case, channels=(*case.channels, label), labels=values)
