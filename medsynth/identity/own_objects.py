"""DICOM objects that medsynth's exporter writes: what it puts into them is known by its exact form, all else is judged.

Nobody's word counts that a file is synthetic. An object is one of medsynth's only when its Image Comments are the
exporter's own sentences to the last letter. Hashes in them are known; what anybody may have written (condition,
sampler, overrides, licences) is taken out of the sentences and judged like any text. What other elements may hold
then follows: a serial number is the checkpoint's hash that the comments name, a patient's name is the one that the
exporter makes of the Patient ID, a description is made of the same sentences. One letter else, and it is judged.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medsynth.identity.check_tables import check_value, load_json
from medsynth.identity.finding import Findings
from medsynth.identity.own_settings import check_made, check_override
from medsynth.records import GAN

LABEL_SCHEME = "99MEDSYNTH"
"""Coding scheme of the exporter for labels' names that no public scheme has."""
_COMMENTS = Tag("ImageComments")
_COMMENTS_PLACE = "(0020,4000)"
_PARTLY = (
    "SYNTHETIC IN PART: made by medsynth from another scan. Part of it is real and belongs to the patient of whom the "
    "Patient ID is the pseudonym."
)
_FROM_NOISE = "SYNTHETIC: made by medsynth from noise; no patient was scanned."
_FROM_NOBODY = "SYNTHETIC: made by medsynth from another synthetic sample; no patient was scanned."
_HASH = r"(?=\d{0,63}[a-f])[0-9a-f]{64}"  # digits alone may be anything
_NUMBER = r"(?:0|[1-9][0-9]{0,19})"
_SENTENCES = re.compile(
    rf"(?P<what>{'|'.join(map(re.escape, (_PARTLY, _FROM_NOISE, _FROM_NOBODY)))})\n"
    rf"(?P<how>Model: checkpoint SHA-256 (?P<checkpoint>{_HASH})\.\n"
    rf"Seed (?P<seed>{_NUMBER}), index (?P<index>{_NUMBER})\.\n"
    r"Condition: (?P<condition>\{.*\})\.\n"
    rf"Sample SHA-256 (?P<sample>{_HASH})\."
    rf"(?P<parents>\nMade from: {_HASH}(?: {_HASH})*\.)?)\n"
    r"Sampler: (?P<sampler>\{.*\})\.\n"
    r"(?P<terms>(?:Audit: NONE, nobody looked for copies of patients\.\n"
    rf"|Audit: (?:this sample passed|COULD NOT ASSESS this sample); audit SHA-256 {_HASH}\.\n)?"
    r"(?:Override: (?P<override>.+)\.\n)?"
    r"Overrides: (?P<overrides>.+)\.\n"
    r"Identity of the scans behind it: (?:cleared|trusted|unknown)\.\n"
    r"Licences: (?P<licences>.+)\.)"
)
_KEY = re.compile(r"p[0-9a-f]{16}|synthetic-[0-9a-f]{16}")
_SEVERAL = re.compile(r"several-[0-9a-f]{32}")
_MODEL_PLACES = (
    "(0008,1090)",
    "(0018,A001)>(0008,1090)",
    "(0062,0002)>(0062,0009)",
    "(0062,0002)>(0062,0007)>(0066,0036)",
)
_NAME, _SHORT_TEXT = 40, 1024  # characters that the exporter gives a key in a name, and a short text (PS3.5 6.2: ST)
_MOST = 10**6


@dataclass(frozen=True)
class OwnObject:
    """What the exporter would have written, as far as the object's own comments fix it.

    Args:
        expected: text by the place of its element.
        slots: what the sentences hold of others' texts, by name.
        comments: the whole of Image Comments.
    """

    expected: Mapping[str, str]
    slots: Mapping[str, Any]
    comments: str

    def is_judged(self, place: str, raw: bytes, findings: Findings) -> bool:
        """Whether the bytes of an element are the exporter's; others' texts in them are judged here.

        Args:
            place: path of the element.
            raw: its bytes.
            findings: receives what is found in the texts.
        """
        if place == _COMMENTS_PLACE and _is(raw, self.comments):
            self._check_slots(findings)
            return True
        return place in self.expected and _is(raw, self.expected[place])

    def _check_slots(self, findings: Findings) -> None:
        place = (_COMMENTS_PLACE,)
        for name in ("seed", "index"):
            check_value(self.slots[name], name, place, findings)
        check_value(self.slots["condition"], "condition", place, findings)
        for name, value in self.slots["sampler"].items():
            check_made(name, value, _COMMENTS_PLACE, findings)
        for override in self.slots["overrides"]:
            check_override(override, _COMMENTS_PLACE, findings)
        check_value(self.slots["licences"], "licence", place, findings)


def own_object(dataset: Dataset) -> OwnObject | None:
    """What the exporter would have written into this data set; None where its comments are not the exporter's.

    Args:
        dataset: as it was read; its elements are not parsed.
    """
    comments = _text(dataset, _COMMENTS)
    match = _SENTENCES.fullmatch(comments) if comments else None
    if match is None:
        return None
    try:
        slots = _slots(match)
    except (ValueError, RecursionError):
        return None
    how = match["how"].replace("\n", " ")
    expected = {
        "(0008,2111)": _cut(f"{match['what']} {how}"),
        "(0018,1000)": match["checkpoint"],
        "(0018,A001)>(0018,1000)": match["checkpoint"],
        "(0018,A001)>(0018,A003)": _cut(f"{match['what']} " + match["terms"].replace("\n", " ")),
        "(0008,0110)>(0008,0116)": "medsynth",  # PS3.3 C.12.1.1: who is responsible for the coding scheme
    }
    expected.update(dict.fromkeys(_MODEL_PLACES, _model(slots["sampler"])))
    if slots["index"] < _MOST:
        expected["(0020,0010)"] = str(slots["index"])
    key = _text(dataset, Tag("PatientID"))
    if _is_key(key, match):
        expected["(0010,0020)"] = key
        expected["(0010,0010)"] = patient_name(key, partly=match["what"] == _PARTLY)
    return OwnObject(expected, slots, comments)


def patient_name(key: str, partly: bool) -> str:
    """The name that the exporter makes of a Patient ID.

    >>> patient_name("p0123456789abcdef", partly=True)
    'SYNTHETIC^p0123456789abcdef^PARTLY REAL'
    """
    shown = key if len(key) <= _NAME else f"{key[: _NAME - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return f"SYNTHETIC^{shown}" + ("^PARTLY REAL" if partly else "")


def is_patient_key(key: str) -> bool:
    """Whether it is a pseudonym of a patient or of nobody, several joined, or the hash of many.

    >>> is_patient_key("p0123456789abcdef.synthetic-0123456789abcdef"), is_patient_key("synthetic-19610503")
    (True, False)
    """
    return _SEVERAL.fullmatch(key) is not None or all(_KEY.fullmatch(part) for part in key.split("."))


def is_label_code(value: str, scheme: str, meaning: str) -> bool:
    """Whether a code is the one that the exporter makes of a label's name, which is judged where it stands.

    >>> is_label_code("L3B0B58DDC6E4", "99MEDSYNTH", "label 1"), is_label_code("L837492010000", "99MEDSYNTH", "label 1")
    (True, False)
    """
    return scheme == LABEL_SCHEME and value == f"L{hashlib.sha256(meaning.encode()).hexdigest()[:12]}".upper()


def _slots(match: re.Match[str]) -> dict[str, Any]:
    """Raises ValueError where the JSON in the sentences is none, or is not written as the exporter writes it."""
    found: dict[str, Any] = {
        name: load_json(match[name]) for name in ("condition", "sampler")
    }  # objects, by _SENTENCES
    if any(json.dumps(found[name], sort_keys=True, allow_nan=False) != match[name] for name in found):
        raise ValueError  # digits that are rounded away, blanks between
    overrides = "; ".join(text for text in (match["override"], match["overrides"]) if text and text != "none")
    found["overrides"] = overrides.split("; ") if overrides else []
    found["licences"] = [] if match["licences"] == "not said" else match["licences"].split("; ")
    return {**found, "seed": int(match["seed"]), "index": int(match["index"])}


def _model(sampler: Mapping[str, Any]) -> str:
    return "medsynth GAN" if sampler.get("name") == GAN else "medsynth diffusion model"


def _is_key(key: str, match: re.Match[str]) -> bool:
    """Whether a Patient ID is one that the exporter writes for what the comments say."""
    if match["what"] == _FROM_NOISE:
        return key == f"synthetic-{match['sample'][:16]}"
    nobody = all(part.startswith("synthetic-") for part in key.split("."))
    return is_patient_key(key) and nobody == (match["what"] == _FROM_NOBODY)


def _text(dataset: Dataset, tag: Any) -> str:
    """The text of an element, "" where there is none or it is no UTF-8."""
    if tag not in dataset:
        return ""
    value = dataset.get_item(tag).value
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            return ""
        value = value.removesuffix(" ")
    return value if isinstance(value, str) else ""


def _is(raw: bytes, expected: str) -> bool:
    return raw in (expected.encode("utf-8"), expected.encode("utf-8") + b" ")  # padded to even (PS3.5 6.2)


def _cut(text: str) -> str:
    return text if len(text) <= _SHORT_TEXT else f"{text[: _SHORT_TEXT - 4]} ..."
