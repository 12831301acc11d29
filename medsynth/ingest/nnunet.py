"""nnU-Net's raw layout (Isensee et al. 2021): imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz and dataset.json."""

import json
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import NIFTI_ENDINGS, Inventory
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel, channel_name, modality_of

_FILE = "dataset.json"
_PART = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def is_nnunet(folder: Path) -> bool:
    """Whether `folder` holds a dataset.json that names channels as nnU-Net's second version does."""
    try:
        content = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and isinstance(content.get("channel_names"), dict)


def plan_nnunet(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None) -> Found:
    """Plan a case for each NAME in imagesTr; imagesTs has no labels and is left aside.

    One channel is called "image"; several get the names that dataset.json gives them.
    Label names are dataset.json's; a region of several values has no value of its own
    and is left out.

    Raises:
        MedsynthError: dataset.json is missing or not understood.
    """
    try:
        content = json.loads((folder / _FILE).read_text())
        names = {int(index): str(name) for index, name in content["channel_names"].items()}
        labels = {value: str(name) for name, value in content["labels"].items() if isinstance(value, int) and value}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MedsynthError(
            f"{folder / _FILE} is missing or does not name channel_names and labels as nnU-Net does; mend it, or set "
            "layout=nifti"
        ) from None
    images: dict[str, dict[int, PurePosixPath]] = defaultdict(dict)
    maps: dict[str, PurePosixPath] = {}
    for path in inventory.nifti:
        if len(path.parts) == 2 and path.parts[0] == "imagesTr" and (part := _PART.fullmatch(_stem(path))):
            images[part["case"]][int(part["channel"])] = path
        elif len(path.parts) == 2 and path.parts[0] == "labelsTr":
            maps[_stem(path)] = path
    cases = [
        _case(folder, name, images.get(name, {}), maps.get(name), names, labels, pattern)
        for name in sorted({*images, *maps})
    ]
    used = sum(map(len, images.values())) + len(maps)
    text = f"an nnU-Net folder: {len(cases)} training cases, {', '.join(names.values())}"
    return Found("nnunet", cases, max(0, inventory.total - used - 1), text)


def _case(
    folder: Path,
    name: str,
    images: dict[int, PurePosixPath],
    label: PurePosixPath | None,
    names: dict[int, str],
    labels: dict[int, str],
    pattern: re.Pattern[str] | None,
) -> PlannedCase:
    patient = patient_of(PurePosixPath(f"{name}.nii.gz"), pattern)
    refusal = None if patient else "patient_pattern does not fit its name; mend the pattern"
    if sorted(images) != sorted(names):
        lacking = ", ".join(f"_{index:04d}" for index in sorted(set(names) - set(images))) or "none"
        refusal = f"its images are not those that dataset.json names (missing: {lacking}); add them or remove the case"
    channels = [
        PlannedChannel(
            name="image" if len(names) == 1 else channel_name(names[index]),
            reader="nifti",
            paths=(folder / path,),
            modality=modality_of(names[index]),
        )
        for index, path in sorted(images.items())
        if index in names
    ]
    if label is not None:
        channels.append(PlannedChannel(name="label", reader="nifti", paths=(folder / label,), kind="label"))
    return PlannedCase(
        source=name,
        patient=patient.identity if patient else None,
        patient_source=patient.source if patient else "presumed",
        channels=tuple(channels),
        labels=labels or None,
        refusal=refusal,
    )


def _stem(path: PurePosixPath) -> str:
    return path.name[: -len(next(end for end in (".nii.gz", *NIFTI_ENDINGS) if path.name.lower().endswith(end)))]
