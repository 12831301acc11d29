"""A tree of class folders of PNG or JPEG: the folder is the class."""

import re
from pathlib import Path, PurePosixPath

from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import Inventory
from medsynth.ingest.nifti_folder import IMAGE_FOLDERS, LABEL_FOLDERS
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel

_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_MOST_CLASSES = 12
_LEAST_PICTURES = 5  # a class, on average
_MOST_VOUCHED_CLASSES = 64


def plan_pictures(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None, *, vouched: bool) -> Found:
    """Plan a case for each picture, its first folder as the attribute "class".

    Folders called train, val or test above the class are looked through: the source's
    own split is not used, because it need not be by patient. Pictures that lie in the
    source folder itself have no class.

    Args:
        folder: the source.
        inventory: of it.
        pattern: gives the patient; None for the known ones.
        vouched: the user says that these are class folders, by layout=pictures.

    Raises:
        MedsynthError: folders that look like one a patient: many of them, or few pictures in each.
    """
    deep = all(path.parts[0].lower() in _SPLIT_FOLDERS for path in inventory.pictures)
    level = 1 if deep else 0
    classes = {path.parts[level] for path in inventory.pictures if len(path.parts) > level + 1}
    maps = sorted(name for name in classes if name.lower() in LABEL_FOLDERS)
    if maps and any(name.lower() in IMAGE_FOLDERS for name in classes):
        raise MedsynthError(
            f"{folder / maps[0]} looks like label maps, not like a class; give a CSV with the columns image and label"
        )
    in_classes = sum(len(path.parts) > level + 1 for path in inventory.pictures)
    _require_classes(folder, len(classes), in_classes, vouched)
    cases = [_case(folder, path, level, pattern) for path in inventory.pictures]
    text = f"{len(cases)} pictures in {len(classes)} class folders" if classes else f"{len(cases)} pictures"
    return Found("pictures", cases, text)


def _require_classes(folder: Path, folders: int, pictures: int, vouched: bool) -> None:
    """A class's name is written into the records, a patient's must not be."""
    many = folders > (_MOST_VOUCHED_CLASSES if vouched else _MOST_CLASSES)
    few = not vouched and pictures < _LEAST_PICTURES * folders
    if not many and not few:
        return
    ways = "give a CSV with the columns image, patient and class"
    if folders <= _MOST_VOUCHED_CLASSES:
        ways = f"set layout=pictures if each folder is a class, or {ways}"
    raise MedsynthError(
        f"{folder} has {pictures} pictures in {folders} folders, which may be patients, not classes (more than "
        f"{_MOST_CLASSES} folders, or fewer than {_LEAST_PICTURES} pictures in each on average), and their names "
        f"would be written down; {ways}"
    )


def _case(folder: Path, path: PurePosixPath, level: int, pattern: re.Pattern[str] | None) -> PlannedCase:
    patient = patient_of(path, pattern)
    return PlannedCase(
        source=path.as_posix(),
        patient=patient.identity if patient else None,
        patient_source=patient.source if patient else "presumed",
        channels=(PlannedChannel(name="image", reader="picture", paths=(folder / path,)),),
        attributes={"class": path.parts[level]} if len(path.parts) > level + 1 else {},
        refusal=None if patient else "patient_pattern does not fit its name; mend the pattern",
    )
