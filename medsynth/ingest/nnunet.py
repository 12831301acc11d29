"""nnU-Net's raw layout (Isensee et al. 2021): imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz and dataset.json."""

import dataclasses
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from medsynth.errors import MedsynthError
from medsynth.ingest.dataset_json import DATASET_FILE, channel_names, label_names, read_dataset
from medsynth.ingest.inventory import NIFTI_ENDINGS, PICTURE_ENDINGS, Inventory
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import TWO_FILES, Found, PlannedCase, PlannedChannel, Reader, modality_of, spoken

_PART = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_ENDINGS = sorted((*NIFTI_ENDINGS, *PICTURE_ENDINGS), key=len, reverse=True)


def plan_nnunet(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None) -> Found:
    """Plan a case for each NAME in imagesTr, NIfTI or PNG; imagesTs has no labels and is left aside.

    One channel is called "image"; several get the names that dataset.json gives them.

    Raises:
        MedsynthError: dataset.json is missing or not understood, or no file is called as it asks.
    """
    content = read_dataset(folder)
    named, labels = content.get("channel_names") or content.get("modality"), content.get("labels", {})
    if not isinstance(named, dict) or not isinstance(labels, dict) or not all(key.isdecimal() for key in named):
        raise MedsynthError(
            f"{folder / DATASET_FILE} is missing or does not name channel_names and labels as nnU-Net does; mend it, "
            "or give a CSV"
        )
    numbers = sorted(int(key) for key in named)
    texts = [str(named[str(number)]) for number in numbers]
    channels = dict(zip(numbers, zip(channel_names(texts), map(modality_of, texts), strict=True), strict=True))
    images, maps, doubled = _training_files(inventory)
    if not images:
        raise MedsynthError(
            f"{folder / DATASET_FILE} is nnU-Net's, but imagesTr holds no NAME_0000.nii.gz; name the files so, or "
            "give a CSV"
        )
    known = label_names(labels)
    cases = [
        _case(folder, name, images.get(name, {}), maps.get(name), channels, known, pattern)
        for name in sorted({*images, *maps})
    ]
    cases = [dataclasses.replace(case, refusal=TWO_FILES) if case.source in doubled else case for case in cases]
    text = f"an nnU-Net folder: {len(cases)} training cases, {spoken(texts)}"
    return Found("nnunet", cases, text)


def _training_files(
    inventory: Inventory,
) -> tuple[dict[str, dict[int, PurePosixPath]], dict[str, PurePosixPath], set[str]]:
    """Images by NAME and channel, label maps by NAME, and the NAMEs that have two files for one of them."""
    images: dict[str, dict[int, PurePosixPath]] = defaultdict(dict)
    maps: dict[str, PurePosixPath] = {}
    doubled: set[str] = set()
    for path in [*inventory.nifti, *inventory.pictures]:
        if len(path.parts) == 2 and path.parts[0].lower() == "imagestr" and (part := _PART.fullmatch(_stem(path))):
            if images[part["case"]].setdefault(int(part["channel"]), path) != path:
                doubled.add(part["case"])
        elif (
            len(path.parts) == 2 and path.parts[0].lower() == "labelstr" and maps.setdefault(_stem(path), path) != path
        ):
            doubled.add(_stem(path))
    return images, maps, doubled


def _case(
    folder: Path,
    name: str,
    images: dict[int, PurePosixPath],
    label: PurePosixPath | None,
    channels: dict[int, tuple[str, str | None]],
    labels: dict[int, str],
    pattern: re.Pattern[str] | None,
) -> PlannedCase:
    first = images[min(images)] if images else PurePosixPath(name)
    patient = patient_of(first if pattern else PurePosixPath(name), pattern)
    refusal = None if patient else "patient_pattern does not fit its name; mend the pattern"
    if sorted(images) != sorted(channels):
        lacking = ", ".join(f"_{index:04d}" for index in sorted(channels.keys() - images)) or "none"
        refusal = f"its images are not those that dataset.json names (missing: {lacking}); add them or remove the case"
    planned = [
        PlannedChannel(
            name=channels[index][0], reader=_reader(path), paths=(folder / path,), modality=channels[index][1]
        )
        for index, path in sorted(images.items())
        if index in channels
    ]
    if label is not None:
        planned.append(PlannedChannel(name="label", reader=_reader(label), paths=(folder / label,), kind="label"))
    return PlannedCase(
        source=name,
        patient=patient.identity if patient else None,
        patient_source=patient.source if patient else "presumed",
        channels=tuple(planned),
        labels=labels or None,
        refusal=refusal,
    )


def _reader(path: PurePosixPath) -> Reader:
    return "nifti" if path.name.lower().endswith(NIFTI_ENDINGS) else "picture"


def _stem(path: PurePosixPath) -> str:
    return path.name[: -len(next(ending for ending in _ENDINGS if path.name.lower().endswith(ending)))]
