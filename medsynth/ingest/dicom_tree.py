"""A tree of DICOM files, grouped into series by what the files say, never by folder or name."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from medsynth.data.dicom import PLANE_CLASSES, VOLUME_CLASSES, slices_in
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import Slice
from medsynth.data.dicom_volumes import Volume, split_volumes
from medsynth.ingest.inventory import Inventory
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel
from medsynth.ingest.pool import in_processes
from medsynth.records import Attribute

_TAGS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_CHUNK = 64


class Header(NamedTuple):
    """What decides where a file belongs; empty texts where it does not say, and the slices that it holds."""

    sop_class: str
    instance: str
    series: str
    study: str
    patient: str
    slices: tuple[Slice, ...] = ()


def plan_dicom(folder: Path, inventory: Inventory, pattern: re.Pattern[str] | None, workers: int) -> Found:
    """Plan a case for each volume of each series (Series Instance UID of one patient's study), and for each radiograph.

    Several volumes in one series (echoes, b-values, times) are cases of one patient; what tells them
    apart is among their attributes. The channel is named after the modality. The patient is Patient ID; where that is
    empty, the study stands for the patient, presumed. DICOMDIR files are left aside.

    Args:
        folder: the source.
        inventory: of it.
        pattern: searched in the path of a series' first file instead of Patient ID.
        workers: processes that read headers.
    """
    chunks = [inventory.dicom[start : start + _CHUNK] for start in range(0, len(inventory.dicom), _CHUNK)]
    headers: dict[PurePosixPath, Header | None] = {}
    for index, found in in_processes(partial(_read_headers, folder), chunks, workers):
        headers.update(zip(chunks[index], found, strict=True))
    groups: dict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
    for path in inventory.dicom:
        header = headers[path]
        if header is not None and header.sop_class == _DIRECTORY_CLASS:
            continue
        groups[_group(path, header)].append(path)
    cases = [
        case
        for _, paths in sorted(groups.items())
        for case in _cases(folder, paths, [headers[path] for path in paths], pattern)
    ]
    patients = {case.patient for case in cases}
    series = f"{len(groups)} series and radiographs"
    if len(cases) > len(groups):
        series += f" with {len(cases)} volumes"
    return Found("dicom", cases, f"a DICOM tree: {series} of {len(patients)} patients in {len(headers)} files")


def _read_headers(folder: Path, paths: Sequence[PurePosixPath]) -> list[Header | None]:
    """One a path; None where the file is no whole DICOM."""
    found: list[Header | None] = []
    with quiet():
        for path in paths:
            try:
                header = read_header(folder / path)
                sop_class, instance, series, study, patient = (str(header.get(tag) or "").strip() for tag in _TAGS)
                slices = tuple(slices_in(folder / path, header))
                found.append(Header(sop_class, instance, series, study, patient, slices))
            except Exception:  # values are parsed when asked for; reading the case will say what is wrong
                found.append(None)
    return found


def _group(path: PurePosixPath, header: Header | None) -> tuple[str, ...]:
    if header is None or not header.series:
        return ("file", path.as_posix())
    if header.sop_class in PLANE_CLASSES:
        return ("image", header.patient, header.study, header.series, header.instance or path.as_posix())
    return ("series", header.patient, header.study, header.series)


def _cases(
    folder: Path, paths: list[PurePosixPath], headers: Sequence[Header | None], pattern: re.Pattern[str] | None
) -> list[PlannedCase]:
    """A case for each volume of a series; one for a series that is not understood, whose reading says why."""
    whole = _case(folder, paths, headers[0], pattern)
    slices = [part for header in headers if header is not None for part in header.slices]
    if not slices or any(header is None or not header.slices for header in headers):
        return [whole]
    volumes = split_volumes(slices)
    if len(volumes) == 1:
        return [whole]
    (channel,) = whole.channels
    holders = Counter(path for volume in volumes for path in {part.path for part in volume.slices})
    return [
        replace(
            whole,
            source=f"{whole.source}/{volume.name}",
            channels=(_channel(channel, volume, holders),),
            attributes=_numbers_of(volume),
        )
        for volume in volumes
    ]


def _numbers_of(volume: Volume) -> dict[str, Attribute]:
    """What tells a volume from the others, as attributes: numbers alone, a text could name anybody."""
    return {name.replace(" ", "_"): value for name, value in volume.marks.items() if not isinstance(value, str)}


def _channel(series: PlannedChannel, volume: Volume, holders: Mapping[Path, int]) -> PlannedChannel:
    """One volume of a series: its own files, or the whole series and its name where they hold others too."""
    own = tuple(dict.fromkeys(part.path for part in volume.slices))
    if any(holders[path] > 1 for path in own):
        return replace(series, volume=volume.name)
    return replace(series, paths=own)


def _case(
    folder: Path, paths: list[PurePosixPath], header: Header | None, pattern: re.Pattern[str] | None
) -> PlannedCase:
    first = paths[0]
    known = header or Header("", "", "", "", "")
    refusal = None
    identity, patient_source = known.patient or None, "dicom"
    if pattern is not None:
        found = patient_of(first, pattern)
        identity, patient_source = found or (None, "presumed")
        refusal = None if found else "patient_pattern does not fit its path; mend the pattern"
    elif identity is None:
        identity, patient_source = f"study:{known.study or first.as_posix()}", "presumed"
    modality = VOLUME_CLASSES.get(known.sop_class) or PLANE_CLASSES.get(known.sop_class)
    return PlannedCase(
        source="/".join(part for part in (known.series, known.instance) if part)
        if known.sop_class in PLANE_CLASSES
        else known.series or first.as_posix(),
        patient=identity,
        patient_source=patient_source,
        channels=(
            PlannedChannel(
                name=(modality or "image").lower(),
                reader="dicom",
                paths=tuple(folder / path for path in paths),
                modality=modality,
            ),
        ),
        refusal=refusal,
    )
