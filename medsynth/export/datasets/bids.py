"""A BIDS derivative (Gorgolewski et al. 2016; BIDS 1.10): sub-X/anat/sub-X_desc-synthetic_T1w.nii.gz, sidecars, tables.

A derived sample lies with its patient's subject. Several cases of a subject have their name as `acq-`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.export.datasets.bids_words import (
    COLUMN_MEANINGS,
    PEOPLE_MEANINGS,
    image_sidecar,
    label_sidecar,
    suffixes,
    unknown_suffixes,
)
from medsynth.export.datasets.entry import SOURCES, Entry, Form, plain_labels
from medsynth.export.datasets.selection import Selection
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.datasets.table import attribute_names, cell, facts, separated
from medsynth.export.datasets.volumes import write_image, write_label
from medsynth.export.datasets.words import description, licences
from medsynth.files import sha256_json, write_json, write_text
from medsynth.identity.export_names import COLUMNS
from medsynth.records import SPLITS

VERSION = "1.10.0"
_LABEL = "dseg"
_LONGEST = 40
_COLUMNS = [name for name in COLUMNS if name != "attributes"]
"""Of scans.tsv, whose cells cannot hold the quotes of JSON: sidecars do."""


def require_bids(selection: Selection, settings: DatasetSettings) -> None:
    """Refuse what cannot be a BIDS data set, before anything is written.

    Raises:
        MedsynthError: a channel whose suffix is not known; two with one suffix.
    """
    suffixes(selection.form, settings.suffixes)


def write_bids(out: Path, selection: Selection, settings: DatasetSettings, advance: Callable[[], None]) -> Path:
    """Write the data set, its description last.

    Args:
        out: folder for Name.
        selection: what goes out.
        settings: the name, the suffixes.
        advance: called after each case.

    Returns:
        The data set's folder.

    Raises:
        MedsynthError: a file that was changed; what `require_bids` refuses.
    """
    folder, form = out / settings.name, selection.form
    suffix = suffixes(form, settings.suffixes)
    names = attribute_names(selection.entries)
    people: dict[str, list[Entry]] = {}
    for entry in selection.entries:
        people.setdefault(subject(entry), []).append(entry)
    for name, entries in people.items():
        lines = []
        for entry in entries:
            paths = _write_case(folder, entry, form, suffix, settings)
            lines += [{"filename": path, **_line(entry, names)} for path in paths]
            advance()
        write_text(folder / f"sub-{name}" / f"sub-{name}_scans.tsv", _tsv(["filename", *_COLUMNS, *names], lines))
    _write_tables(folder, people, names, form)
    ignored = unknown_suffixes(suffix.values())
    if ignored:
        write_text(folder / ".bidsignore", "".join(f"*_{one}.nii.gz\n*_{one}.json\n" for one in ignored))
    _describe(folder, selection, settings)
    return folder


def subject(entry: Entry) -> str:
    """Label of the subject: the patient's key, or a free sample's name; letters and digits alone.

    Names of samples begin with s or x, and no patient's does.
    """
    if entry.source == "synthetic" and not entry.people:
        return entry.name
    key = entry.patient
    fine = key.isascii() and key.isalnum() and len(key) <= _LONGEST and key[0].lower() not in "sx"
    return key if fine else f"p{sha256_json(key)[:16]}"


def _write_case(folder: Path, entry: Entry, form: Form, suffix: dict[str, str], settings: DatasetSettings) -> list[str]:
    """Write the files of a case; those that scans.tsv names, relative to the subject."""
    name = subject(entry)
    acquisition = "" if name == entry.name else f"_acq-{entry.name}"
    stem = f"anat/sub-{name}{acquisition}_desc-{entry.source}"
    images = {channel: f"{stem}_{suffix[channel]}" for channel in form.images}
    place = folder / f"sub-{name}"
    for channel, path in images.items():
        write_image(place / f"{path}.nii.gz", entry, channel)
        said = image_sidecar(entry, form.images[channel], skull_stripped=settings.skull_stripped)
        write_json(place / f"{path}.json", said)
    if form.label is not None:
        write_label(place / f"{stem}_{_LABEL}.nii.gz", entry, form)
        first = f"sub-{name}/{next(iter(images.values()))}.nii.gz"
        write_json(place / f"{stem}_{_LABEL}.json", label_sidecar(entry, first))
    return [f"{path}.nii.gz" for path in images.values()]


def _line(entry: Entry, names: list[str]) -> dict[str, str]:
    told = {name: value for name, value in facts(entry).items() if name in _COLUMNS}
    own = {name: cell(entry.attributes.get(name)) for name in names}
    return {key: value or "n/a" for key, value in {**told, **own}.items()}


def _tsv(columns: list[str], lines: list[dict[str, str]]) -> str:
    """A table without quotes: no cell holds a tab, a line end, or a quote that opens it."""
    plain = [{key: value.replace('"', "'") for key, value in line.items()} for line in lines]
    return separated(columns, plain, "\t")


def _write_tables(folder: Path, people: dict[str, list[Entry]], names: list[str], form: Form) -> None:
    lines = []
    for name, entries in people.items():
        kinds, splits = {entry.source for entry in entries}, {entry.split for entry in entries}
        line = {
            "participant_id": f"sub-{name}",
            "source": " and ".join(one for one in SOURCES if one in kinds),
            "split": " and ".join(one for one in SPLITS if one in splits),
        }
        for attribute in names:
            said = {cell(entry.attributes.get(attribute)) for entry in entries}
            line[attribute] = (said.pop() if len(said) == 1 else "") or "n/a"
        lines.append(line)
    write_text(folder / "participants.tsv", _tsv(["participant_id", "source", "split", *names], lines))
    about = {name: {"Description": "Attribute of the case, or condition of the sample"} for name in names}
    write_json(folder / "participants.json", {**PEOPLE_MEANINGS, **about})
    write_json(folder / "scans.json", {**COLUMN_MEANINGS, **about})
    if form.label is not None:
        rows = [{"index": "0", "name": "background"}]
        rows += [{"index": str(value), "name": name} for value, name in plain_labels(form.labels).items()]
        write_text(folder / f"{_LABEL}.tsv", _tsv(["index", "name"], rows))


def _describe(folder: Path, selection: Selection, settings: DatasetSettings) -> None:
    said = description(selection, "participants.tsv and the subjects' scans.tsv")
    models = sorted({facts(entry)["model"] for entry in selection.entries} - {""})
    content: dict[str, Any] = {
        "Name": f"{settings.name} (synthetic)" if "IN PART" not in said else f"{settings.name} (synthetic in part)",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "License": licences(selection),
        "GeneratedBy": [
            {"Name": "medsynth", "Version": __version__, "Description": f"{said} Models: {' '.join(models)}."}
        ],
        "SourceDatasets": [{"Version": f"records {sha256_json(sorted(e.record.sha256 for e in selection.entries))}"}],
    }
    write_text(folder / "README.md", f"# {content['Name']}\n\n{said}\n\nLicence: {content['License']}\n")
    write_json(folder / "dataset_description.json", content)
