"""A CSV that names files and says what is known of them."""

import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from medsynth.data.dicom_file import says_dicom
from medsynth.errors import MedsynthError
from medsynth.ingest.inventory import NIFTI_ENDINGS, PICTURE_ENDINGS
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel, Reader, channel_name, modality_of, spoken
from medsynth.records import Attribute, Split

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_MISSING = {"", "n/a", "na", "nan", "none", "null"}
_ENDINGS = (*NIFTI_ENDINGS, *PICTURE_ENDINGS)


def attribute(text: str | None) -> Attribute:
    """A cell's value: a number where it is one, None where it is missing.

    >>> [attribute(text) for text in ("n/a", "07", "0.5", "True", "left")]
    [None, 7, 0.5, True, 'left']
    """
    plain = (text or "").strip()
    if plain.lower() in _MISSING:
        return None
    if plain.lower() in ("true", "false"):
        return plain.lower() == "true"
    if re.fullmatch(r"[+-]?\d{1,15}", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", plain):
        return float(plain)
    return plain


def plan_table(path: Path, pattern: re.Pattern[str] | None, modality: str | None) -> Found:
    """Plan a case for each row of a CSV (comma, semicolon or tab; the first row names the columns).

    A column `image`, and each other one whose every value ends as an image file does, is
    a channel; `label` among them is the label map. A value of `image` may be a folder: all
    its DICOM files, one series. `patient` identifies the patient, `split` is train,
    validation or test; every other column becomes an attribute. Paths are relative to
    the CSV or absolute: the table is the user's own, and names only what is read.

    Args:
        path: of the CSV.
        pattern: gives the patient where the table has no column for it.
        modality: DICOM code of the channel "image", None when not known.

    Raises:
        MedsynthError: no table, no image column, a row of another length, an unknown split, a
            patient in two splits.
    """
    rows = _rows(path)
    files = [name for name in rows[0] if _names_files(name, rows)]
    if not any(name != "label" for name in files):
        raise MedsynthError(
            f"{path} has no column that names images; call it image (NIfTI, PNG, JPEG or a DICOM folder)"
        )
    cases = [_case(path.parent, number, row, files, pattern, modality) for number, row in enumerate(rows, 2)]
    _require_one_split(path, cases)
    return Found("csv", cases, f"a table of {len(cases)} cases with the channels {spoken(files)}")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise MedsynthError(f"{path} cannot be read as text; save it as CSV in UTF-8") from None
    if "\0" in text:
        raise MedsynthError(f"{path} holds a NUL, which no text has; save it as CSV in UTF-8")
    lines = text.splitlines()
    if len(lines) < 2:
        raise MedsynthError(f"{path} has no rows below its head; list one case a row")
    separator = max(",;\t", key=lines[0].count)
    reader = csv.reader(lines, delimiter=separator)
    head = [name.strip() for name in next(reader)]
    if len(set(head)) < len(head) or "" in head:
        raise MedsynthError(f"{path}: the first row has an empty name or one name twice; mend it")
    rows = []
    for number, values in enumerate(_values(path, reader), 2):
        if not values:
            continue
        if len(values) != len(head):
            raise MedsynthError(f"{path} row {number}: {len(values)} values for {len(head)} columns; mend the row")
        rows.append(dict(zip(head, (value.strip() for value in values), strict=True)))
    return rows


def _values(path: Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error:
        raise MedsynthError(f"{path} has a value of more than 131,072 letters, or is no CSV; mend it") from None


def _names_files(column: str, rows: list[dict[str, str]]) -> bool:
    if column in ("patient", "split"):
        return False
    values = [row[column] for row in rows if row[column]]
    return bool(values) and (column == "image" or all(value.lower().endswith(_ENDINGS) for value in values))


def _case(
    folder: Path,
    number: int,
    row: dict[str, str],
    files: list[str],
    pattern: re.Pattern[str] | None,
    modality: str | None,
) -> PlannedCase:
    split = row.get("split", "").lower()
    if split and split not in _SPLITS:
        raise MedsynthError(f"the table's row {number} has an unknown split; use train, validation or test")
    channels = tuple(
        _channel(folder, name, row[name], modality if name == "image" else modality_of(name))
        for name in files
        if row[name]
    )
    refusal = None
    if not any(channel.kind == "image" for channel in channels):
        refusal = "its row of the table names no image; fill it in or remove the row"
    elif len({channel.name for channel in channels}) < len(channels):
        refusal = "two columns of the table give one channel name; rename one"
    source = next((row[name] for name in files if row[name] and name != "label"), f"row {number}")
    identity, patient_source = row.get("patient") or None, "csv"
    if identity is None:
        found = patient_of(PurePosixPath(source.replace("\\", "/")), pattern)
        if found is None:
            refusal = "patient_pattern does not fit its name; mend the pattern, or fill in the column patient"
        else:
            identity, patient_source = found
    return PlannedCase(
        source=source,
        patient=identity,
        patient_source=patient_source,
        channels=channels,
        attributes={
            name: attribute(value)
            for name, value in row.items()
            if name not in files and name not in ("patient", "split")
        },
        split=_SPLITS.get(split),
        refusal=refusal,
    )


def _require_one_split(path: Path, cases: list[PlannedCase]) -> None:
    first: dict[str, tuple[int, Split]] = {}
    for number, case in enumerate(cases, 2):
        if case.patient is None or case.split is None:
            continue
        row, split = first.setdefault(unicodedata.normalize("NFC", case.patient).strip(), (number, case.split))
        if split != case.split:
            raise MedsynthError(
                f"{path} row {number}: its patient is in {case.split}, and in {split} by row {row}; give each patient "
                "one split, or none"
            )


def _channel(folder: Path, column: str, value: str, modality: str | None) -> PlannedChannel:
    path = folder / value
    reader: Reader = "dicom"
    paths: tuple[Path, ...] = (path,)
    if value.lower().endswith(NIFTI_ENDINGS):
        reader = "nifti"
    elif value.lower().endswith(PICTURE_ENDINGS):
        reader = "picture"
    elif path.is_dir():
        paths = tuple(sorted(file for file in path.iterdir() if file.is_file() and says_dicom(file)))
    return PlannedChannel(
        name=channel_name(column),
        reader=reader,
        paths=paths,
        kind="label" if column == "label" else "image",
        modality=modality,
    )
