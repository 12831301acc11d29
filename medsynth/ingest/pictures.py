"""A tree of class folders of PNG or JPEG: the folder is the class."""

import re
from pathlib import Path, PurePosixPath

from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import Inventory
from medsynth.ingest.nifti_folder import IMAGE_FOLDERS, LABEL_FOLDERS
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel

_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_MOST_CLASSES = 64


def plan_pictures(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None) -> Found:
    """Plan a case for each picture, its first folder as the attribute "class".

    Folders called train, val or test above the class are looked through: the source's
    own split is not used, because it need not be by patient. Pictures that lie in the
    source folder itself have no class.

    Raises:
        MedsynthError: so many folders that they look like one a patient.
    """
    deep = all(path.parts[0].lower() in _SPLIT_FOLDERS for path in inventory.pictures)
    level = 1 if deep else 0
    classes = {path.parts[level] for path in inventory.pictures if len(path.parts) > level + 1}
    if len(classes) > _MOST_CLASSES:
        raise MedsynthError(
            f"{folder} has pictures in {len(classes)} folders: more than {_MOST_CLASSES} look like patients, "
            "not classes, and their names would be written down; give a CSV with image, patient and class"
        )
    maps = sorted(name for name in classes if name.lower() in LABEL_FOLDERS)
    if maps and any(name.lower() in IMAGE_FOLDERS for name in classes):
        raise MedsynthError(
            f"{folder / maps[0]} looks like label maps, not like a class; give a CSV with the columns image and label"
        )
    cases = [_case(folder, path, level, pattern) for path in inventory.pictures]
    text = f"{len(cases)} pictures in {len(classes)} class folders" if classes else f"{len(cases)} pictures"
    return Found("pictures", cases, len(inventory.other), text)


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
