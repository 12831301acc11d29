"""Text that names nobody: words of anatomy and acquisition, the standard's own terms, its own codes."""

import re
from functools import cache
from importlib.resources import files

from pydicom.sr._concepts_dict import concepts

from medsynth.identity.confidentiality import load_table

_PIECES = re.compile(r"\w+(?:\.\d\w*)*")
# Lengths, b-values, dimensions, vertebrae, directions; free numbers could be anybody's.
_MEASURES = re.compile(
    r"\d{1,2}(\.\d{1,2})?mm|b(0|[1-9]\d{2,3})|[23]d|[tcl]\d{1,2}|s[1-5]|dir\d{1,3}", re.IGNORECASE | re.ASCII
)
_KERNELS = re.compile(
    r"[ABDHIJQSTU][a-z]?\d{2}[a-z]?(s|f|h|m|d)?|FC\d{2}|FL\d{2}|STD\+?|SOFT|BONEPLUS|LUNG|DETAIL|EDGE"
)
_SEQUENCES = re.compile(
    r"\*?(tfl|fl|fi|se|tse|tir|h|spc|spcir|ep|epfid|epse|epir|csi|tgse|pcasl|svs|qfl|me|gre|ffe|tfe)"
    r"(\d{0,2}|[123]d)[123]?d?\d{0,4}([_rnsib]\d{0,4}){0,4}(t[ei]?\d{0,3})?|epi(_dti|_fmri|2?)|FFE|TFE|SE|TSE"
)
_SCHEMES = {"SRT": "SCT", "SNM3": "SCT", "99SDM": "SCT"}
_UNITS = {"1": "no units", "Hz": "Hz", "ms": "ms", "mm": "mm", "s": "s", "[hnsf'U]": "Hounsfield unit", "%": "%"}


@cache
def _words() -> frozenset[str]:
    return frozenset(load_table("plain_words.json")["words"].split())


@cache
def _terms() -> frozenset[str]:
    return frozenset(load_table("plain_words.json")["terms"])


def plain_text(text: str) -> str:
    """The words of a descriptor that are on the list, in their order, a blank between; the rest is dropped.

    >>> plain_text("XR CHEST AP for Douglas Davidson, t1_tse 3mm b1000 4711")
    'XR CHEST AP t1 tse 3mm b1000'
    """
    if text.strip(" \0") in _terms():
        return text.strip(" \0")
    pieces = _PIECES.findall(text.replace("_", " "))
    return " ".join(piece for piece in pieces if piece.lower() in _words() or _MEASURES.fullmatch(piece))


def plain_code(text: str) -> str:
    """A code string as it is when it is a term of the standard or made of plain words, else "".

    >>> plain_code("T1_FLAIR"), plain_code("SMITH"), plain_code("HFS")
    ('T1_FLAIR', '', 'HFS')
    """
    value = text.strip(" \0")
    if value in _terms():
        return value
    parts = re.split(r"[ _]+", value)
    if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) and all(part.lower() in _words() or part in _terms() for part in parts):
        return value
    return ""


def kernel(text: str) -> str:
    """A reconstruction kernel's name as vendors form it, else the plain words of it."""
    return text if _KERNELS.fullmatch(text) else plain_text(text)


def maker(text: str) -> str:
    """A maker's name as it is where all its words are makers' or plain ones, else those of its words that are.

    >>> maker("Philips Medical Systems, Inc."), maker("Ottilie Quandt"), maker("SIEMENS Quandt")
    ('Philips Medical Systems, Inc.', '', 'SIEMENS')
    """
    pieces = re.findall(r"\w+", text.replace("_", " "))
    fine = [piece for piece in pieces if piece.lower() in _makers() or plain_text(piece)]
    return text if fine == pieces else " ".join(fine)


@cache
def _makers() -> frozenset[str]:
    return frozenset(files("medsynth.identity").joinpath("makers.txt").read_text(encoding="utf-8").split())


def sequence_name(text: str) -> str:
    """A pulse sequence's name as vendors form it (*fl3d1_ns), else the plain words of it."""
    return text if _SEQUENCES.fullmatch(text) else plain_text(text)


@cache
def _meanings() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for scheme, keywords in concepts.items():
        for codes in keywords.values():
            found.update({(scheme, value): meaning for value, (meaning, _) in codes.items()})
    return found


def meaning_of(value: str, scheme: str) -> str | None:
    """The standard's own meaning of a code of PS3.16's context groups; None for any other code.

    >>> meaning_of("113100", "DCM")
    'Basic Application Confidentiality Profile'
    """
    value, scheme = value.strip(" \0"), scheme.strip(" \0")
    if scheme == "UCUM" and value in _UNITS:
        return _UNITS[value]
    return _meanings().get((scheme, value)) or _snomed_retired().get((_SCHEMES.get(scheme, scheme), value))


@cache
def _snomed_retired() -> dict[tuple[str, str], str]:
    """Codes of the older SNOMED-RT style (T-A0100), with the meaning of the concept they became."""
    from pydicom.sr._snomed_dict import mapping

    meanings = _meanings()
    found = {}
    for old, new in mapping["SRT"].items():
        if ("SCT", new) in meanings:
            found["SCT", old] = meanings["SCT", new]
    return found
