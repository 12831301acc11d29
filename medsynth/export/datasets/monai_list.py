"""MONAI's data list: dataset.json as `monai.data.load_decathlon_datalist` reads it, with what is known of each case."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.export.datasets.entry import Entry, Form, plain_labels
from medsynth.export.datasets.selection import Selection
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.datasets.table import shared_attributes, table
from medsynth.export.datasets.volumes import write_image, write_label
from medsynth.export.datasets.words import channel_words, description, licences
from medsynth.files import write_json, write_text
from medsynth.identity.export_names import DATASET_FILE, DATASET_TABLE
from medsynth.records import Attribute

_LISTS = {"train": "training", "validation": "validation", "test": "test"}
_NOTHING = "none"  # an empty text would be joined to the folder, as paths that exist are
_OWN = ("images", "labels", DATASET_FILE, DATASET_TABLE)


def write_monai(out: Path, selection: Selection, settings: DatasetSettings, advance: Callable[[], None]) -> Path:
    """Write the data set, the list last. Lists without a case are left out.

    Args:
        out: folder for Name.
        selection: what goes out.
        settings: the name.
        advance: called after each case.

    Returns:
        The data set's folder.

    Raises:
        MedsynthError: a file that was changed.
    """
    folder, form = out / settings.name, selection.form
    files = {entry.name: _write_case(folder, entry, form, advance) for entry in selection.entries}
    write_text(folder / DATASET_TABLE, table(selection.entries, files))
    names = _open_names(selection.entries)
    content: dict[str, Any] = {
        "name": settings.name,
        "description": description(selection, DATASET_TABLE),
        "licence": licences(selection),
        "release": f"medsynth {__version__}",
        "tensorImageSize": f"{form.rank}D",
        "modality": {str(number): word for number, word in enumerate(channel_words(form))},
        "labels": {"0": "background", **{str(value): name for value, name in plain_labels(form.labels).items()}},
        "numTraining": len(selection.of("train")),
        "numTest": len(selection.of("test")),
    }
    for split, key in _LISTS.items():
        items = [_item(entry, form, files[entry.name], names) for entry in selection.entries if entry.split == split]
        content |= {key: items} if items else {}
    write_json(folder / DATASET_FILE, content)
    return folder


def _write_case(folder: Path, entry: Entry, form: Form, advance: Callable[[], None]) -> dict[str, str]:
    paths = {name: f"images/{entry.name}_{name}.nii.gz" for name in form.images}
    for name, path in paths.items():
        write_image(folder / path, entry, name)
    if form.label is not None:
        paths[form.label] = f"labels/{entry.name}.nii.gz"
        write_label(folder / paths[form.label], entry, form)
    advance()
    return paths


def _item(entry: Entry, form: Form, paths: dict[str, str], names: list[str]) -> dict[str, Any]:
    """The same keys in all items, none of them open, so that they go into one batch."""
    images = [paths[name] for name in form.images]
    item: dict[str, Any] = {"image": images[0] if len(images) == 1 else images}
    if form.label is not None:
        item["label"] = paths[form.label]
    told = {
        "case": entry.name,
        "source": entry.source,
        "patient": entry.patient,
        "verdict": entry.verdict,
        "parents": " ".join(entry.parents),
    }
    return {
        **item,
        **{name: value or _NOTHING for name, value in told.items()},
        **{name: entry.attributes[name] for name in names},
    }


def _open_names(entries: Sequence[Entry]) -> list[str]:
    """Attributes that all cases have and that MONAI cannot take for a path: it joins those that exist to its folder."""
    return [
        name
        for name in shared_attributes(entries)
        if not any(_may_be_path(entry.attributes[name]) for entry in entries)
    ]


def _may_be_path(value: Attribute) -> bool:
    if not isinstance(value, str):
        return False
    return value in _OWN or not value.isprintable() or not value.strip(". ") or any(one in value for one in "/\\")
