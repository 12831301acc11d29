"""A BIDS folder: sub-XX/[ses-YY/]anat/*.nii.gz, what is known of the patients in participants.tsv."""

import csv
import dataclasses
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np

from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import Inventory
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import TWO_FILES, Found, PlannedCase, PlannedChannel, channel_name, modality_of
from medsynth.ingest.table import attribute
from medsynth.records import Attribute

_LABEL_SUFFIXES = {"dseg", "mask"}
_NAME = re.compile(
    r"(?P<entities>sub-[A-Za-z0-9]+(?:_[A-Za-z0-9]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)\.nii(\.gz)?\Z"
)


def is_bids(inventory: Inventory) -> bool:
    """Whether some NIfTI file lies in sub-XX/[ses-YY/]anat."""
    return any(_in_anat(path) for path in inventory.nifti)


def plan_bids(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None) -> Found:
    """Plan the anatomical scans: files that differ in their suffix alone and share a grid are one case.

    The channel is the suffix in small letters ("t1w", "flair"), the label map `_dseg` or
    `_mask`. Columns of participants.tsv and the session become attributes. Everything
    outside anat, derivatives included, is left aside. A case with two files for one
    channel is refused.

    Raises:
        MedsynthError: participants.tsv has no participant_id.
    """
    people = _participants(folder)
    groups: dict[str, dict[str, PurePosixPath]] = defaultdict(dict)
    doubled: set[PurePosixPath] = set()
    for path in inventory.nifti:
        match = _NAME.match(path.name)
        if _in_anat(path) and match:
            kept = groups[f"{path.parent.as_posix()}/{match['entities']}"].setdefault(match["suffix"], path)
            doubled |= {kept} - {path}
    cases = []
    for key, files in sorted(groups.items()):
        for number, grid in enumerate(_by_grid(folder, files)):
            case = _case(folder, key if number == 0 else f"{key}#{number}", grid, people, pattern)
            cases.append(dataclasses.replace(case, refusal=TWO_FILES) if doubled & {*grid.values()} else case)
    subjects = {key.split("/")[0] for key in groups}
    text = f"a BIDS folder: {len(cases)} anatomical cases of {len(subjects)} subjects"
    return Found("bids", cases, text)


def _in_anat(path: PurePosixPath) -> bool:
    return len(path.parts) in (3, 4) and path.parts[0].startswith("sub-") and path.parent.name == "anat"


def _by_grid(folder: Path, files: dict[str, PurePosixPath]) -> list[dict[str, PurePosixPath]]:
    """Part the files of one acquisition by grid; the label maps stay with an image on theirs."""
    grids: list[tuple[object, dict[str, PurePosixPath]]] = []
    for suffix, path in sorted(files.items(), key=lambda item: (item[0] in _LABEL_SUFFIXES, item[0])):
        grid = _grid(folder / path)
        same = next((group for other, group in grids if other == grid), None)
        if same is None and suffix in _LABEL_SUFFIXES and grids:
            same = grids[0][1]  # on no image's grid: reading the case will say so
        if same is None:
            grids.append((grid, {suffix: path}))
        else:
            same[suffix] = path
    return [group for _, group in grids]


def _grid(path: Path) -> object:
    try:
        image = nib.load(path)
        return image.shape[:3], tuple(np.round(image.affine, 3).ravel().tolist())
    except Exception:  # any damage: a case of its own, which reading will refuse
        return path


def _case(
    folder: Path,
    key: str,
    files: dict[str, PurePosixPath],
    people: dict[str, dict[str, Attribute]],
    pattern: re.Pattern[str] | None,
) -> PlannedCase:
    first = next(iter(files.values()))
    subject = first.parts[0]
    given = patient_of(first, pattern) if pattern else None
    session = {"session": first.parts[1].removeprefix("ses-")} if first.parts[1].startswith("ses-") else {}
    channels = []
    for suffix, path in files.items():
        label = suffix in _LABEL_SUFFIXES
        channels.append(
            PlannedChannel(
                name="label" if label else channel_name(suffix),
                reader="nifti",
                paths=(folder / path,),
                kind="label" if label else "image",
                modality=None if label else modality_of(suffix),
            )
        )
    refusal = None
    if pattern and given is None:
        refusal = "patient_pattern does not fit its name; mend the pattern"
    elif all(channel.kind == "label" for channel in channels):
        refusal = "a label map without an image on its grid; add the image or remove the label map"
    elif len({channel.name for channel in channels}) < len(channels):
        refusal = TWO_FILES
    return PlannedCase(
        source=key,
        # As patient_of reads it off a file's name: one subject is one patient in whichever layout.
        patient=given.identity if given else f"sub:{subject.removeprefix('sub-').lower()}",
        patient_source="pattern" if given else "bids",
        channels=tuple(channels),
        attributes={**people.get(subject, {}), **session},
        refusal=refusal,
    )


def _participants(folder: Path) -> dict[str, dict[str, Attribute]]:
    path = folder / "participants.tsv"
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise MedsynthError(f"{path} cannot be read as a table; mend it") from None
    if rows and "participant_id" not in rows[0]:
        raise MedsynthError(f"{path} has no column participant_id; mend it")
    return {
        row["participant_id"]: {
            name: attribute(value) for name, value in row.items() if name and name != "participant_id"
        }
        for row in rows
    }
