"""Who a synthetic image is, what made it, and what may be done with it: in standard attributes of every object."""

import hashlib
import json
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from medsynth import __version__
from medsynth.export.uids import uid
from medsynth.records import GAN, SampleRecord

NOBODY = "synthetic-"
"""Begins the patient key of a sample that was made from noise alone, and of what is made from it."""
_TEXT = 1024
"""Characters of a short text (PS3.5 6.2: ST)."""
_LONG_TEXT = 10240
_NAME = 40


def patient_id(record: SampleRecord) -> str:
    """The parent's pseudonym, or a key made of the record's hash: the one that samples made from it carry too."""
    return record.patient or f"{NOBODY}{record.sha256[:16]}"


def is_partly_real(record: SampleRecord) -> bool:
    """Whether scans of a patient are in it; parents that were nobody's make nobody's samples."""
    return is_partly_real_key(patient_id(record))


def is_partly_real_key(key: str) -> bool:
    """Whether a Patient ID is of a patient, or of several of whom one is.

    >>> is_partly_real_key("synthetic-0123456789abcdef.z1"), is_partly_real_key("synthetic-0123456789abcdef")
    (True, False)
    """
    return any(not one.startswith(NOBODY) for one in key.split("."))


def model_name(record: SampleRecord) -> str:
    """What kind of model made it."""
    return "medsynth GAN" if record.sampler.get("name") == GAN else "medsynth diffusion model"


def patient(record: SampleRecord) -> Dataset:
    """PS3.3 C.7.1.1 Patient Module: nobody can take the name for a person's."""
    key = patient_id(record)
    shown = key if len(key) <= _NAME else f"{key[: _NAME - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    dataset = Dataset()
    dataset.PatientName = f"SYNTHETIC^{shown}" + ("^PARTLY REAL" if is_partly_real(record) else "")
    dataset.PatientID = key
    dataset.PatientBirthDate = dataset.PatientSex = ""
    if is_partly_real(record) and record.identity == "cleared":
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "medsynth: identity cleared"
    return dataset


def marks(record: SampleRecord, gate: tuple[str, ...]) -> Dataset:
    """What made the object, and what it may be used for.

    Args:
        record: of the sample.
        gate: what the gate before the export says of it.

    Returns:
        SOP Common's Synthetic Data (0008,001C), which stands for some or all of the content; Derivation Description;
        Image Comments; Contributing Equipment with purpose (109100, DCM, "Synthesizing Equipment").
    """
    dataset = Dataset()
    dataset.SyntheticData = "YES"
    dataset.DerivationDescription = _cut(" ".join([_what(record), *_how(record)]), _TEXT)
    told = [_what(record), *_how(record), f"Sampler: {_json(dict(record.sampler))}.", *_terms(record, gate)]
    dataset.ImageComments = _cut("\n".join(told), _LONG_TEXT)
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SynthesizingEquipment)]
    item.Manufacturer = "medsynth"
    item.ManufacturerModelName = model_name(record)
    item.DeviceSerialNumber = record.checkpoint
    item.SoftwareVersions = f"medsynth {__version__}"
    item.ContributionDescription = _cut(" ".join([_what(record), *_terms(record, gate)]), _TEXT)
    dataset.ContributingEquipmentSequence = [item]
    return dataset


def equipment(record: SampleRecord) -> Dataset:
    """PS3.3 C.7.5.1 General Equipment Module: the program and, as a serial number, the hash of the weights."""
    dataset = Dataset()
    dataset.Manufacturer = "medsynth"
    dataset.ManufacturerModelName = model_name(record)
    dataset.DeviceSerialNumber = record.checkpoint
    dataset.SoftwareVersions = f"medsynth {__version__}"
    return dataset


def study(record: SampleRecord, study_uid: str, date: str) -> Dataset:
    """PS3.3 C.7.2.1 General Study Module: one study a sample."""
    dataset = Dataset()
    dataset.StudyInstanceUID = study_uid
    dataset.StudyDate, dataset.StudyTime = date, "000000"
    dataset.ReferringPhysicianName = dataset.AccessionNumber = ""
    dataset.StudyID = str(record.index)[:16]
    dataset.StudyDescription = "synthetic in part, medsynth" if is_partly_real(record) else "synthetic, medsynth"
    return dataset


def code_item(code: Any) -> Dataset:
    """PS3.3 8.8 Code Sequence Macro."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def frame_of_reference(record: SampleRecord, *names: str) -> Dataset:
    """PS3.3 C.7.4.1: all series of a sample share it, nothing else does."""
    dataset = Dataset()
    dataset.FrameOfReferenceUID = uid("frame of reference", record.sha256, *names)
    dataset.PositionReferenceIndicator = ""
    return dataset


def _what(record: SampleRecord) -> str:
    if is_partly_real(record):
        return (
            "SYNTHETIC IN PART: made by medsynth from another scan. Part of it is real and belongs to the patient of "
            "whom the Patient ID is the pseudonym."
        )
    made = "from another synthetic sample" if record.parents else "from noise"
    return f"SYNTHETIC: made by medsynth {made}; no patient was scanned."


def _how(record: SampleRecord) -> list[str]:
    said = [
        f"Model: checkpoint SHA-256 {record.checkpoint}.",
        f"Seed {record.seed}, index {record.index}.",
        f"Condition: {_json(dict(record.condition))}.",
        f"Sample SHA-256 {record.sha256}.",
    ]
    if record.parents:
        said.append(f"Made from: {' '.join(record.parents)}.")
    return said


def _terms(record: SampleRecord, gate: tuple[str, ...]) -> list[str]:
    """Licences and every gate that was passed by an override."""
    licences = "; ".join(record.licences) or "not said"
    overrides = "; ".join(record.overrides) or "none"
    return [
        *gate,
        f"Overrides: {overrides}.",
        f"Identity of the scans behind it: {record.identity}.",
        f"Licences: {licences}.",
    ]


def _json(content: Any) -> str:
    """ASCII, so that no character set can spoil it; control characters and lone surrogates become escapes."""
    return json.dumps(content, sort_keys=True)


def _cut(text: str, most: int) -> str:
    fine = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    fine = fine.encode("utf-8", "replace").decode()
    return fine if len(fine) <= most else f"{fine[: most - 4]} ..."
