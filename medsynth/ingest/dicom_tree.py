"""A tree of DICOM files, grouped into series by what the files say, never by folder or name."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medsynth.data.dicom import PLANE_CLASSES, VOLUME_CLASSES, Held, held_by
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_labels import LABEL_CLASSES, LabelHeader, label_header
from medsynth.data.dicom_volumes import Volume, split_volumes
from medsynth.identity.vocabulary import standard_terms
from medsynth.ingest.inventory import Inventory
from medsynth.ingest.label_files import LabelFile, Origin, with_labels
from medsynth.ingest.patients import patient_of
from medsynth.ingest.plan import Found, PlannedCase, PlannedChannel
from medsynth.ingest.pool import in_processes
from medsynth.ingest.series_rule import Seen, SeriesRule
from medsynth.records import Attribute

_TAGS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_CHUNK = 64


class Header(NamedTuple):
    """What decides where a file belongs; empty texts where it does not say, and what it holds."""

    sop_class: str
    instance: str
    series: str
    study: str
    patient: str
    modality: str
    descriptions: tuple[str, ...]
    held: Held
    label: LabelHeader | None = None


def plan_dicom(
    folder: Path,
    inventory: Inventory,
    pattern: re.Pattern[str] | None,
    workers: int,
    rule: SeriesRule | None = None,
    names: Mapping[int, str] | None = None,
) -> Found:
    """Plan a case for each volume of each series (Series Instance UID of one patient's study), and for each radiograph.

    Several volumes in one series (echoes, b-values, times) are cases of one patient; what tells them
    apart is among their attributes. The channel is named after the modality. The patient is Patient ID; where that is
    empty, the study stands for the patient, presumed. DICOMDIR files are left aside; what holds no grey image (colour,
    reports) and what the rule does not want is passed over and counted. A SEG or RTSTRUCT is the label map of the case
    that it refers to.

    Args:
        folder: the source.
        inventory: of it.
        pattern: searched in the path of a series' first file instead of Patient ID.
        workers: processes that read headers.
        rule: which series are wanted; None for all.
        names: value and name of the structures that are wanted of SEG and RTSTRUCT; None for all.
    """
    chunks = [inventory.dicom[start : start + _CHUNK] for start in range(0, len(inventory.dicom), _CHUNK)]
    headers: dict[PurePosixPath, Header | None] = {}
    for index, found in in_processes(partial(_read_headers, folder), chunks, workers):
        headers.update(zip(chunks[index], found, strict=True))
    groups: dict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
    labels: list[LabelFile] = []
    for path in inventory.dicom:
        header = headers[path]
        if header is not None and header.sop_class == _DIRECTORY_CLASS:
            continue
        if header is not None and header.label is not None:
            labels.append(LabelFile(folder / path, _kind(header), header.label))
            continue
        groups[_group(path, header)].append(path)
    cases: list[PlannedCase] = []
    seen: list[Seen] = []
    for _, paths in sorted(groups.items()):
        planned = _cases(folder, paths, [headers[path] for path in paths], pattern)
        for case, slices in planned:
            one = _seen([headers[path] for path in paths], slices, rule or SeriesRule())
            seen.append(one)
            if not one.passed:
                cases.append(case)
    origins = {folder / path: Origin(header.series, header.instance) for path, header in headers.items() if header}
    labelled = with_labels(cases, labels, origins, names)
    patients = {case.patient for case in cases}
    text = f"a DICOM tree: {len(groups)} series and radiographs in {len(headers)} files"
    text += f", of which {len(cases)} volumes or pictures of {len(patients)} patients are chosen"
    return Found("dicom", labelled.cases, text, seen=(*seen, *labelled.seen))


def _seen(headers: Sequence[Header | None], slices: int | None, rule: SeriesRule) -> Seen:
    """What a volume of these files is, and whether it is chosen."""
    known = [header for header in headers if header is not None]
    if not known:
        return Seen("not understood", None, "")  # reading it will say why
    first = known[0]
    reasons = {header.held.passed for header in known}
    passed = reasons.pop() if len(reasons) == 1 and len(known) == len(headers) else ""
    if not passed:
        modality = VOLUME_CLASSES.get(first.sop_class) or PLANE_CLASSES.get(first.sop_class)
        passed = rule.against(modality, [text for header in known for text in header.descriptions], slices)
    return Seen(_kind(first), slices, passed)


def _kind(header: Header) -> str:
    return f"{header.modality or 'no modality'}, {_class_name(header.sop_class)}"


def _class_name(sop_class: str) -> str:
    """The standard's name of a SOP class; an unknown one is not repeated."""
    name = UID(sop_class).name
    return "an unknown SOP class" if name == sop_class else name.removesuffix(" Storage")


def _read_headers(folder: Path, paths: Sequence[PurePosixPath]) -> list[Header | None]:
    """One a path; None where the file is no whole DICOM."""
    found: list[Header | None] = []
    with quiet():
        for path in paths:
            try:
                header = read_header(folder / path)
                sop_class, instance, series, study, patient = (_text(header, tag) for tag in _TAGS)
                if str(header.file_meta.get("MediaStorageSOPClassUID")) == _DIRECTORY_CLASS:
                    sop_class = _DIRECTORY_CLASS  # PS3.10 8: a DICOMDIR has no SOP class of its own
                modality = _text(header, "Modality")
                descriptions = tuple(_text(header, tag) for tag in _DESCRIPTIONS)
                held = held_by(folder / path, header)
                plain = modality if modality.isupper() and modality.lower() in standard_terms() else ""
                label = label_header(header) if sop_class in LABEL_CLASSES else None
                found.append(Header(sop_class, instance, series, study, patient, plain, descriptions, held, label))
            except Exception:  # values are parsed when asked for; reading the case will say what is wrong
                found.append(None)
    return found


def _text(header: Dataset, tag: str) -> str:
    return str(header.get(tag) or "").strip()


def _group(path: PurePosixPath, header: Header | None) -> tuple[str, ...]:
    if header is None or not header.series:
        return ("file", path.as_posix())
    if header.sop_class in PLANE_CLASSES:
        return ("image", header.patient, header.study, header.series, header.instance or path.as_posix())
    return ("series", header.patient, header.study, header.series)


def _cases(
    folder: Path, paths: list[PurePosixPath], headers: Sequence[Header | None], pattern: re.Pattern[str] | None
) -> list[tuple[PlannedCase, int | None]]:
    """A case and its slices for each volume of a series; one for a series that is not understood, as reading says."""
    whole = _case(folder, paths, headers[0], pattern)
    slices = [part for header in headers if header is not None for part in header.held.slices]
    if not slices or any(header is None or not header.held.slices for header in headers):
        return [(whole, None)]
    volumes = split_volumes(slices)
    if len(volumes) == 1:
        return [(whole, len(slices))]
    (channel,) = whole.channels
    holders = Counter(path for volume in volumes for path in {part.path for part in volume.slices})
    cases = [
        replace(
            whole,
            source=f"{whole.source}/{volume.name}",
            channels=(_channel(channel, volume, holders),),
            attributes=_numbers_of(volume),
        )
        for volume in volumes
    ]
    return [(case, len(volume.slices)) for case, volume in zip(cases, volumes, strict=True)]


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
    known = header or Header("", "", "", "", "", "", (), Held((), ""))
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
