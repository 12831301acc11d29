"""nnU-Net's raw layout, version 2 (Isensee et al. 2021): DatasetNNN_Name/{imagesTr,labelsTr,imagesTs}, dataset.json.

A 2D case is a NIfTI file of two axes: nnU-Net's SimpleITKIO reads it as one slice and takes the missing axis for the
coarsest, so that its planner leaves the plane alone. A third axis of one voxel would be taken for the coarsest only
where its spacing is the largest, and PNG would drop spacing and fractions.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.datasets.entry import Entry, Form, plain_labels
from medsynth.export.datasets.folds import Fold, folds
from medsynth.export.datasets.selection import Selection
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.datasets.table import table
from medsynth.export.datasets.volumes import write_image, write_label
from medsynth.export.datasets.words import channel_words, description, licences
from medsynth.files import write_json, write_text
from medsynth.identity.export_names import DATASET_FILE, DATASET_TABLE

_ENDING = ".nii.gz"
_OPTIMISTIC = (
    " The folds of splits_final.json validate on patients whom the generator has learnt from: their scores flatter, "
    "those of imagesTs do not."
)
_PLACES = {"train": ("imagesTr", "labelsTr"), "validation": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}


def require_nnunet(selection: Selection, settings: DatasetSettings) -> None:
    """Refuse what cannot be a data set of nnU-Net, before anything is written.

    Raises:
        MedsynthError: samples without a label map; one patient alone, who cannot both train and validate.
    """
    if selection.form.label is None:
        raise MedsynthError("the samples have no label map, and nnU-Net trains on label maps: set format=monai or bids")
    _folds(selection, settings)


def write_nnunet(out: Path, selection: Selection, settings: DatasetSettings, advance: Callable[[], None]) -> Path:
    """Write the data set, the description last.

    Args:
        out: folder for DatasetNNN_Name, which nnUNet_raw can name.
        selection: what goes out.
        settings: name and number, folds.
        advance: called after each case.

    Returns:
        The data set's folder.

    Raises:
        MedsynthError: a file that was changed; what `require_nnunet` refuses.
    """
    form = selection.form
    folder = out / f"Dataset{settings.number:03d}_{settings.name}"
    mapping = {value: number for number, value in enumerate([0, *form.labels])}
    files = {entry.name: _write_case(folder, entry, form, mapping, advance) for entry in selection.entries}
    write_text(folder / DATASET_TABLE, table(selection.entries, files))
    parts = _folds(selection, settings)
    if parts:
        write_json(folder / "splits_final.json", parts)
    dealt = bool(parts) and not selection.of("validation")
    write_json(folder / DATASET_FILE, _dataset(selection, settings, mapping, _OPTIMISTIC if dealt else ""))
    return folder


def _folds(selection: Selection, settings: DatasetSettings) -> list[Fold]:
    return folds(selection.of("train"), selection.of("validation"), settings.folds)


def _write_case(
    folder: Path, entry: Entry, form: Form, mapping: dict[int, int], advance: Callable[[], None]
) -> dict[str, str]:
    assert form.label is not None
    images, labels = _PLACES[entry.split]
    paths = {
        name: f"{images}/{entry.name}_{number:04d}{_ENDING}" for number, name in enumerate(form.images)
    }  # nnU-Net's own numbering
    for name, path in paths.items():
        write_image(folder / path, entry, name, flat=True)
    paths[form.label] = f"{labels}/{entry.name}{_ENDING}"
    write_label(folder / paths[form.label], entry, form, mapping, flat=True)
    advance()
    return paths


def _dataset(selection: Selection, settings: DatasetSettings, mapping: dict[int, int], more: str) -> dict[str, Any]:
    form = selection.form
    names = plain_labels(form.labels)
    content: dict[str, Any] = {
        "name": settings.name,
        "description": description(selection, DATASET_TABLE) + more,
        "licence": licences(selection),
        "release": f"medsynth {__version__}",
        "channel_names": {str(number): word for number, word in enumerate(channel_words(form))},
        "labels": {"background": 0, **{names[value]: mapping[value] for value in form.labels}},
        "numTraining": len(selection.of("train")) + len(selection.of("validation")),
        "file_ending": _ENDING,
        "label_mapping": {str(value): number for value, number in mapping.items()},
    }
    if form.rank == 2:
        content["overwrite_image_reader_writer"] = "SimpleITKIO"
    return content
