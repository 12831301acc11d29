"""A folder of NIfTI files: images beside labels of the same names, or one flat folder."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import NIFTI_ENDINGS, Inventory
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import TWO_FILES, Found, PlannedCase, PlannedChannel, channel_name, modality_of

IMAGE_FOLDERS = {"image", "images", "imagestr"}
LABEL_FOLDERS = {"label", "labels", "labelstr", "mask", "masks", "seg", "segs", "segmentation", "segmentations"}
_Groups = dict[str, dict[str, list[PurePosixPath]]]
_LABEL_SUFFIX = re.compile(r"[_-](label|labels|seg|mask|segmentation)$", re.IGNORECASE)


def plan_nifti(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None, modality: str | None) -> Found:
    """Plan a case for each image of the folder.

    Sibling folders: `images/` (or `image`), `labels/` (or `label`, `masks`, `segmentations`
    ...) and any more, such as `mr/`: files of one name are the channels of one case; a
    folder's name is its channel's, `images/` giving "image". Flat: each file is a case,
    and `x_label.nii.gz` or `x_seg.nii.gz` is the label map of `x.nii.gz`. A case with two
    files for one channel is refused.

    Args:
        folder: the source.
        inventory: of it.
        pattern: gives the patient; None for the known ones.
        modality: DICOM code of the channel "image", None when not known.

    Raises:
        MedsynthError: files in several folders none of which is known: channels and
            patients cannot be told apart. Two folders for one channel, such as `labels/`
            and `masks/`.
    """
    tops = {path.parts[0] for path in inventory.nifti if len(path.parts) > 1}
    if any(top.lower() in IMAGE_FOLDERS | LABEL_FOLDERS for top in tops):
        _require_one_folder_a_channel(folder, tops)
        groups = _by_sibling(inventory.nifti)
    elif len({path.parent for path in inventory.nifti}) == 1 or pattern is not None:
        groups = _flat(inventory.nifti)
    else:
        raise MedsynthError(
            f"{folder} has NIfTI files in {len({path.parent for path in inventory.nifti})} folders, none called images "
            "or labels: are they channels or patients? Name them so, or set patient_pattern=, or give a CSV"
        )
    cases = [_case(folder, key, channels, pattern, modality) for key, channels in sorted(groups.items())]
    files = sum(len(paths) for channels in groups.values() for paths in channels.values())
    text = f"a NIfTI folder: {len(cases)} cases of {files} files"
    return Found("nifti", cases, text)


def _require_one_folder_a_channel(folder: Path, tops: set[str]) -> None:
    by_channel: dict[str, list[str]] = defaultdict(list)
    for top in sorted(tops):
        by_channel[_channel_of(top)].append(top)
    for folders in by_channel.values():
        if len(folders) > 1:
            # Names off our own lists are no patient's; others may be.
            ours = all(top.lower() in IMAGE_FOLDERS | LABEL_FOLDERS for top in folders)
            named = f" ({', '.join(folders)})" if ours else ""
            raise MedsynthError(
                f"{folder} has {len(folders)} folders for one channel{named}; "
                "move all but one out of source, or name the files in a CSV"
            )


def _channel_of(top: str) -> str:
    top = top.lower()
    return "image" if top in IMAGE_FOLDERS else "label" if top in LABEL_FOLDERS else channel_name(top)


def _by_sibling(files: list[PurePosixPath]) -> _Groups:
    groups: _Groups = defaultdict(lambda: defaultdict(list))
    for path in files:
        if len(path.parts) < 2:
            continue
        groups[_stem(PurePosixPath(*path.parts[1:]))][_channel_of(path.parts[0])].append(path)
    return groups


def _flat(files: list[PurePosixPath]) -> _Groups:
    stems = {_stem(path) for path in files}
    groups: _Groups = defaultdict(lambda: defaultdict(list))
    for path in files:
        stem = _stem(path)
        base = _LABEL_SUFFIX.sub("", stem)
        is_label = base != stem and base in stems
        groups[base if is_label else stem]["label" if is_label else "image"].append(path)
    return groups


def _case(
    folder: Path,
    key: str,
    channels: Mapping[str, list[PurePosixPath]],
    pattern: re.Pattern[str] | None,
    modality: str | None,
) -> PlannedCase:
    images = {name: paths[0] for name, paths in channels.items() if name != "label"}
    first = next(iter(images.values()), PurePosixPath(key))
    patient = patient_of(first, pattern)
    refusal = None
    if not images:
        refusal = "a label map without an image of the same name; add the image or remove the label map"
    elif patient is None:
        refusal = "patient_pattern does not fit its name; mend the pattern"
    elif any(len(paths) > 1 for paths in channels.values()):
        refusal = TWO_FILES
    return PlannedCase(
        source=key,
        patient=patient.identity if patient else None,
        patient_source=patient.source if patient else "presumed",
        channels=tuple(
            PlannedChannel(
                name=name,
                reader="nifti",
                paths=(folder / paths[0],),
                kind="label" if name == "label" else "image",
                modality=modality if name == "image" else modality_of(name),
            )
            for name, paths in sorted(channels.items())
        ),
        refusal=refusal,
    )


def _stem(path: PurePosixPath) -> str:
    text = path.as_posix()
    ending = next(ending for ending in sorted(NIFTI_ENDINGS, key=len, reverse=True) if text.lower().endswith(ending))
    return text[: -len(ending)]
