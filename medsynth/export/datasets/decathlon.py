"""The Medical Segmentation Decathlon's layout (Antonelli et al. 2022): TaskNNN_Name/{imagesTr,labelsTr,imagesTs}."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.datasets.entry import Entry, Form, plain_labels
from medsynth.export.datasets.selection import Selection
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.datasets.table import table
from medsynth.export.datasets.volumes import write_image, write_images, write_label
from medsynth.export.datasets.words import channel_words, description, licences
from medsynth.files import write_json, write_text
from medsynth.identity.export_names import DATASET_FILE, DATASET_TABLE

_PLACES = {"train": "Tr", "validation": "Val", "test": "Ts"}


def require_decathlon(selection: Selection, _: DatasetSettings) -> None:
    """Refuse what cannot be a data set of the Decathlon's, before anything is written.

    Raises:
        MedsynthError: samples without a label map.
    """
    if selection.form.label is None:
        raise MedsynthError(
            "the samples have no label map, and the Decathlon is of label maps: set format=monai or bids"
        )


def write_decathlon(out: Path, selection: Selection, settings: DatasetSettings, advance: Callable[[], None]) -> Path:
    """Write the data set, the description last; several image channels are the parts of one 4D file.

    Args:
        out: folder for TaskNNN_Name.
        selection: what goes out.
        settings: name and number.
        advance: called after each case.

    Returns:
        The data set's folder.

    Raises:
        MedsynthError: a file that was changed.
    """
    form = selection.form
    folder = out / f"Task{settings.number:03d}_{settings.name}"
    files = {entry.name: _write_case(folder, entry, form, advance) for entry in selection.entries}
    write_text(folder / DATASET_TABLE, table(selection.entries, files))
    write_json(folder / DATASET_FILE, _dataset(selection, settings, files))
    return folder


def _write_case(folder: Path, entry: Entry, form: Form, advance: Callable[[], None]) -> dict[str, str]:
    place, names = _PLACES[entry.split], list(form.images)
    image, label = f"./images{place}/{entry.name}.nii.gz", f"./labels{place}/{entry.name}.nii.gz"
    if len(names) == 1:
        write_image(folder / image, entry, names[0])
    else:
        write_images(folder / image, entry, names)
    write_label(folder / label, entry, form)
    advance()
    return {"image": image, "label": label}


def _dataset(selection: Selection, settings: DatasetSettings, files: dict[str, dict[str, str]]) -> dict[str, Any]:
    form = selection.form
    training, validation, test = (selection.of(split) for split in ("train", "validation", "test"))
    content: dict[str, Any] = {
        "name": settings.name,
        "description": description(selection, DATASET_TABLE),
        "reference": "https://medicaldecathlon.com (the layout)",
        "licence": licences(selection),
        "release": f"medsynth {__version__}",
        "tensorImageSize": "4D" if len(form.images) > 1 else f"{form.rank}D",
        "modality": {str(number): word for number, word in enumerate(channel_words(form))},
        "labels": {"0": "background", **{str(value): name for value, name in plain_labels(form.labels).items()}},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [files[entry.name] for entry in training],
        "test": [files[entry.name]["image"] for entry in test],
    }
    if validation:
        content["validation"] = [files[entry.name] for entry in validation]
    return content
