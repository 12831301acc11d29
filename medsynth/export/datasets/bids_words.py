"""BIDS's words for what records say: suffixes, sidecars, the meaning of columns."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.datasets.entry import Entry, Form
from medsynth.export.dicom_origin import model_name
from medsynth.records import SampleRecord

STANDARD = (
    "T1w", "T2w", "PDw", "T2starw", "FLAIR", "inplaneT1", "inplaneT2", "PDT2", "angio", "T2star", "FLASH", "PD",
    "UNIT1", "T1map", "T2map", "T2starmap", "R1map", "R2map", "R2starmap", "PDmap", "MTRmap", "MTsat", "MTVmap",
    "MWFmap", "Chimap", "S0map", "M0map", "T1rho",
)  # fmt: skip
"""Suffixes that BIDS 1.10 knows for anatomical images."""
_BY_NAME = {
    "t1": "T1w", "t1w": "T1w", "t2": "T2w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw", "pdw": "PDw",
    "t2starw": "T2starw",
}  # fmt: skip
_BY_UNITS = {"HU": "CT", "SUV": "PET", "Bq/ml": "PET"}
_UNITS = {"HU": "HU", "arbitrary": "arbitrary", "grey": "arbitrary", "SUV": "SUV", "Bq/ml": "Bq/mL"}
PEOPLE_MEANINGS: Mapping[str, Any] = {
    "source": {"Description": "Whether the subject's images are real, synthetic, or both"},
    "split": {
        "Description": "Use each for this alone: the generator has learnt from the real images of train and was "
        "chosen by those of validation"
    },
}
COLUMN_MEANINGS: Mapping[str, Any] = {
    "case": {"Description": "Name of the case"},
    "source": {
        "Description": "Where the image comes from",
        "Levels": {"real": "a patient was scanned", "synthetic": "made by medsynth, in whole or in part"},
    },
    "split": PEOPLE_MEANINGS["split"],
    "patient": {"Description": "Pseudonym of the patient, of whom a derived sample is too; synthetic-... is nobody"},
    "parents": {"Description": "SHA-256 of the records that a sample was made from"},
    "verdict": {"Description": "What the audit for copies of patients said of the sample"},
    "seed": {"Description": "Seed of the plan"},
    "index": {"Description": "Place in the plan"},
    "model": {"Description": "SHA-256 of the weights that made it"},
    "record": {"Description": "SHA-256 of the record, and through it of the files"},
    "identity": {"Description": "How the scans behind it were cleared of identities"},
    "licences": {"Description": "Of the scans behind it"},
    "overrides": {"Description": "Gates that were passed by an override"},
}


def suffixes(form: Form, told: Mapping[str, str]) -> dict[str, str]:
    """The suffix of each image channel: as set, else by the units, else by the channel's name.

    Raises:
        MedsynthError: one that nothing tells, that is another's too, or that is the label map's.
    """
    unknown = sorted(set(told) - set(form.images))
    if unknown:
        raise MedsynthError(f"dataset.suffix names {', '.join(unknown)}; the images are {', '.join(form.images)}")
    found: dict[str, str] = {}
    for name, units in form.images.items():
        suffix = told.get(name) or _BY_UNITS.get(units) or _BY_NAME.get(name.lower())
        if suffix is None:
            raise MedsynthError(
                f"channel {name}: nothing tells which kind of image BIDS may call it; set dataset.suffix="
                f"'{{{name}: T1w}}' (or T2w, FLAIR, ...)"
            )
        if suffix in found.values() or suffix == "dseg":
            raise MedsynthError(f"channel {name}: the suffix {suffix} is taken; set another with dataset.suffix")
        found[name] = suffix
    return found


def unknown_suffixes(used: Iterable[str]) -> list[str]:
    """Those that the standard has not (CT, say), which validators are told to pass over."""
    return sorted(set(used) - set(STANDARD))


def image_sidecar(entry: Entry, units: str, *, skull_stripped: bool) -> dict[str, Any]:
    """The JSON beside an image: what it is, and what made it."""
    return {**_sidecar(entry), "Units": _UNITS.get(units, units), "SkullStripped": skull_stripped}


def label_sidecar(entry: Entry, image: str) -> dict[str, Any]:
    """The JSON beside a label map, which lies on `image`, a path below the data set."""
    return {**_sidecar(entry), "SpatialReference": f"bids::{image}"}


def _sidecar(entry: Entry) -> dict[str, Any]:
    record = entry.record
    content: dict[str, Any] = {"Synthetic": isinstance(record, SampleRecord), "RecordSHA256": record.sha256}
    if not isinstance(record, SampleRecord):
        known = json.loads(json.dumps(dict(record.attributes)))
        said = "A real scan, as it was ingested; not synthetic."
        return {"Description": said, **content, "Attributes": known, "Split": entry.split}
    what = "SYNTHETIC IN PART: made by medsynth from scans of the patient; part of it is real."
    free = "SYNTHETIC: made by medsynth; no patient was scanned."
    return {
        "Description": what if entry.people else free,
        **content,
        "Model": model_name(record),
        "ModelSHA256": record.checkpoint,
        "ModelSoftware": f"medsynth {__version__}",
        "Seed": record.seed,
        "Index": record.index,
        "Condition": json.loads(json.dumps(dict(record.condition))),
        "Sampler": json.loads(json.dumps(dict(record.sampler))),
        "Parents": list(record.parents),
        "Split": entry.split,
        "Verdict": entry.verdict,
        "Gate": list(entry.said),
        "Overrides": list(record.overrides),
        "Identity": record.identity,
        "Licences": list(entry.licences),
    }
