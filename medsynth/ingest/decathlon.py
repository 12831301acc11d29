"""The Medical Segmentation Decathlon's layout: dataset.json names images, labels and modalities."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from medsynth.errors import MedsynthError
from medsynth.files import inside
from medsynth.ingest.dataset_json import DATASET_FILE, channel_names, label_names, read_dataset
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel, modality_of, spoken


def plan_decathlon(folder: Path, pattern: re.Pattern[str] | None) -> Found:
    """Plan a case for each entry of "training"; images of "test" have no labels and are left aside.

    One modality gives the channel "image"; several give one channel each, from the parts
    of a 4D file. Label names are dataset.json's, without the background.

    Raises:
        MedsynthError: dataset.json is missing or not understood.
    """
    content = read_dataset(folder)
    try:
        modalities = [str(name) for _, name in sorted(content["modality"].items(), key=lambda item: int(item[0]))]
        labels = label_names(content.get("labels", {}))
        pairs = [_pair(entry) for entry in content["training"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MedsynthError(
            f"{folder / DATASET_FILE} is missing or does not name modality and training as the Decathlon does; "
            "mend it, or set layout=nifti"
        ) from None
    cases = [_case(folder, image, label, modalities, labels, pattern) for image, label in pairs]
    text = f"a Decathlon folder: {len(cases)} training cases, {spoken(modalities)}"
    return Found("decathlon", cases, text)


def _pair(entry: Any) -> tuple[str, str | None]:
    if isinstance(entry, str):
        return entry, None
    label = entry.get("label")
    return str(entry["image"]), None if label is None else str(label)


def _case(
    folder: Path,
    image: str,
    label: str | None,
    modalities: list[str],
    labels: dict[int, str],
    pattern: re.Pattern[str] | None,
) -> PlannedCase:
    relative = PurePosixPath(image)
    patient = patient_of(relative, pattern)
    source = relative.as_posix()
    refusal = None if patient else "patient_pattern does not fit its name; mend the pattern"
    channels: list[PlannedChannel] = []
    names = channel_names(modalities)
    try:
        path = inside(folder, image)
        for index, modality in enumerate(modalities):
            single = len(modalities) == 1
            channels.append(
                PlannedChannel(
                    name=names[index],
                    reader="nifti",
                    paths=(path,),
                    modality=modality_of(modality),
                    index=None if single else index,
                )
            )
        if label is not None:
            channels.append(PlannedChannel(name="label", reader="nifti", paths=(inside(folder, label),), kind="label"))
    except MedsynthError:
        refusal = "dataset.json names a file that is not inside its folder; mend it"
    return PlannedCase(
        source=source,
        patient=patient.identity if patient else None,
        patient_source=patient.source if patient else "presumed",
        channels=tuple(channels),
        labels=labels or None,
        refusal=refusal,
    )
