"""Take a patient's identity out of a DICOM data set: PS3.15 Annex E, basic profile with options.

A pure function from data set to data set. Whatever is not known to name nobody goes: the result is built anew from
what may stay, the input is left alone.
"""

import copy
from collections.abc import Collection, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from medsynth.data.dicom_file import quiet
from medsynth.errors import UnreadableError
from medsynth.identity.confidentiality import ALL_OPTIONS, Option
from medsynth.identity.dates import days_back
from medsynth.identity.elements import Place, Rules, cleaned_element
from medsynth.identity.pixels import Box, clean_pixels
from medsynth.identity.plain_words import meaning_of
from medsynth.identity.private_groups import kept_private
from medsynth.identity.pseudonym import Pseudonymiser

IMPLEMENTATION_UID = "2.25.193328481575339749022633326558191622721"
"""Of medsynth, in the file meta information (PS3.7 D.3.3.2)."""
IMPLEMENTATION_NAME = "MEDSYNTH"
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_DEEPEST = 16
_BASIC, _PIXELS, _FEATURES = "113100", "113101", "113102"  # CID 7050
_CODES = {
    Option.CLEAN_DESCRIPTORS: "113105",
    Option.RETAIN_MODIFIED_DATES: "113107",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "113108",
    Option.RETAIN_DEVICE_IDENTITY: "113109",
    Option.RETAIN_SAFE_PRIVATE: "113111",
}


def patient_of(dataset: Dataset) -> str:
    """Who a data set is of, as ingest takes it: Patient ID, else the study stands for the patient."""
    identity = str(dataset.get("PatientID") or "").strip()
    return identity or f"study:{str(dataset.get('StudyInstanceUID') or '').strip()}"


def remove_identity(
    dataset: Dataset,
    names: Pseudonymiser,
    *,
    patient: str | None = None,
    boxes: Sequence[Box] | None = None,
    options: Collection[Option] = ALL_OPTIONS,
) -> Dataset:
    """The data set without its patient's identity, in Explicit VR Little Endian with file meta information of its own.

    Patient ID and name become a pseudonym, UIDs others under 2.25, the same with the same key, so references among
    the files of a source still agree; dates move back by a number of days of the patient's. Table E.1-1 decides what it
    lists, by Type where it leaves a choice; of what it does not list, only numbers, the standard's own terms and codes
    and words of anatomy and acquisition stay. Unknown elements, overlays, curves and private elements off the list go.

    Args:
        dataset: as read from a file, with `file_meta`; is not changed.
        names: the key.
        patient: whose dates move together, and who the pseudonym is of; default as `patient_of`.
        boxes: of burned-in text to blank; empty where somebody looked and found none; None where nobody looked.
        options: of PS3.15 E.3.

    Raises:
        UnreadableError: a directory or no SOP instance; pixels that cannot be decoded or blanked.
    """
    with quiet():
        source = copy.deepcopy(dataset)
        meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        identity = patient if patient is not None else patient_of(source)
        rules = _rules(source, names, identity, frozenset(options), meta)
        cleaned = _cleaned(source, (), None, rules)
        private = any(tag.is_private for tag in list(cleaned.keys()))
        cleaned.PatientID = cleaned.PatientName = names.patient(identity)
        applied = rules.options - ({Option.RETAIN_SAFE_PRIVATE} if not private else set())
        _say_so(cleaned, applied, _pixel_codes(source, boxes))
        if boxes is not None:
            cleaned.BurnedInAnnotation = "NO"
        cleaned.file_meta = FileMetaDataset()
        cleaned.file_meta.TransferSyntaxUID = meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
        clean_pixels(cleaned, boxes or ())
        cleaned.file_meta = _file_meta(cleaned)
    return cleaned


def _rules(
    source: Dataset, names: Pseudonymiser, patient: str, options: frozenset[Option], meta: FileMetaDataset
) -> Rules:
    sop_class = str(source.get("SOPClassUID") or "").strip(" \0")
    if not sop_class or not source.get("SOPInstanceUID"):
        raise UnreadableError("the file does not say which SOP instance it is; export it again")
    if sop_class == DIRECTORY_CLASS:
        raise UnreadableError("a DICOMDIR lists patients and holds no image; leave it out")
    syntax = meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    return Rules(
        names=names,
        days=days_back(names, patient),
        options=options,
        sop_class=sop_class,
        maker=str(source.get("Manufacturer") or ""),
        little_endian=bool(syntax.is_little_endian),
    )


def _cleaned(source: Dataset, around: tuple[Dataset, ...], sequence: BaseTag | None, rules: Rules) -> Dataset:
    """One level of a data set, and those below it."""
    levels = (source, *around)

    def clean_items(of: BaseTag, items: Sequence[Dataset]) -> list[Dataset]:
        if len(levels) > _DEEPEST:
            return []
        return [item for item in (_cleaned_item(item, levels, of, rules) for item in items) if item is not None]

    cleaned = Dataset()
    place = Place(levels, sequence, clean_items)
    for tag in sorted(source.keys()):
        element = None if tag.is_private else cleaned_element(Tag(tag), place, rules)
        if element is not None:
            cleaned.add(element)
    if Option.RETAIN_SAFE_PRIVATE in rules.options:
        for element in kept_private(source, rules.maker, clean_items):
            cleaned.add(element)
    return cleaned


def _cleaned_item(item: Dataset, around: tuple[Dataset, ...], sequence: BaseTag, rules: Rules) -> Dataset | None:
    """An item of a sequence; a coded concept stays only when the standard knows it, with the standard's meaning."""
    cleaned = _cleaned(item, around, sequence, rules)
    keywords = [keyword for keyword in ("CodeValue", "LongCodeValue") if keyword in item]
    if not keywords and "CodeMeaning" not in item:
        return cleaned
    scheme = str(item.get("CodingSchemeDesignator") or "").strip(" \0")
    value = str(item.get(keywords[0]) or "").strip(" \0") if keywords else ""
    meaning = meaning_of(value, scheme)
    if meaning is None:
        return None
    setattr(cleaned, keywords[0], value)
    cleaned.CodingSchemeDesignator, cleaned.CodeMeaning = scheme, meaning[:64]
    return cleaned


def _pixel_codes(source: Dataset, boxes: Sequence[Box] | None) -> set[str]:
    """What was done to the pixels, now or before: text or a face that is gone does not come back."""
    before = {str(item.get("CodeValue", "")) for item in source.get("DeidentificationMethodCodeSequence") or []}
    return before & {_PIXELS, _FEATURES} | ({_PIXELS} if boxes is not None else set())


def _say_so(cleaned: Dataset, options: Collection[Option], pixels: Collection[str]) -> None:
    """PS3.15 E.1.1 and PS3.3 C.7.1.1: that identity was removed, and by what."""
    codes = [_BASIC, *sorted([*pixels, *(_CODES[option] for option in options)])]
    cleaned.PatientIdentityRemoved = "YES"
    cleaned.DeidentificationMethod = ["medsynth", *(f"PS3.15 E: {_meaning(code)}"[:64] for code in codes)]
    cleaned.DeidentificationMethodCodeSequence = Items([_code(code) for code in codes])
    modified = Option.RETAIN_MODIFIED_DATES in options
    cleaned.LongitudinalTemporalInformationModified = "MODIFIED" if modified else "REMOVED"


def _meaning(code: str) -> str:
    return meaning_of(code, "DCM") or code


def _code(code: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", _meaning(code)
    return item


def _file_meta(cleaned: Dataset) -> FileMetaDataset:
    """PS3.10 7.1, nothing of the source's: no AE titles, no private information."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = cleaned.SOPClassUID
    meta.MediaStorageSOPInstanceUID = cleaned.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta
