"""Words that name nobody: the DICOM standard's own, its codes' meanings, and those of scanners.

The standard's words come with pydicom: names of elements, of UIDs, of known private elements, and the meanings of
the codes of PS3.16. Words of scanners and of research tools are in `scanner_words.txt`. `names_not_words.txt` has
surnames and given names that some of these meanings hold (eponyms, authors, breeds). `standard_terms.txt` has Defined
Terms and Enumerated Values of PS3.3, which are words in code strings alone.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom._private_dict import private_dictionaries
from pydicom._uid_dict import UID_dictionary
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

_LETTERS = re.compile(r"[^\W\d_]+")
_HUMPS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST_FREE = 2


def bare(text: str) -> str:
    """Lower case without accents.

    >>> bare("Größe")
    'grosse'
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@cache
def known_words() -> frozenset[str]:
    """All known words, lower case, without accents."""
    texts = [entry[2] for entry in DicomDictionary.values()]
    texts += [entry[0] for entry in UID_dictionary.values()]
    for creator, elements in private_dictionaries.items():
        texts += [creator, *(entry[2] for entry in elements.values())]
    texts += [meaning for scheme in concepts.values() for codes in scheme.values() for meaning, _ in codes.values()]
    texts.append(files("medsynth.identity").joinpath("scanner_words.txt").read_text(encoding="utf-8"))
    words = {bare(word) for text in texts for word in _LETTERS.findall(text)}
    words |= {bare(entry[4]) for entry in DicomDictionary.values()}  # keywords: PatientID
    return frozenset(words - names_not_words())


@cache
def names_not_words() -> frozenset[str]:
    """Names of many people that are words of the standard's too; James Brown is not let through for his cattle."""
    return frozenset(files("medsynth.identity").joinpath("names_not_words.txt").read_text(encoding="utf-8").split())


@cache
def known_meanings() -> Mapping[tuple[str, str], str]:
    """Meanings of the codes that pydicom knows, by scheme and value."""
    return {
        (scheme, value): meaning
        for scheme, by_name in concepts.items()
        for codes in by_name.values()
        for value, (meaning, _) in codes.items()
    }


@cache
def known_codes() -> frozenset[tuple[str, str]]:
    """Coding scheme and code value of the codes that pydicom knows (PS3.16)."""
    named = {(scheme, value) for scheme, by_name in concepts.items() for code in by_name.values() for value in code}
    return frozenset(named | {(scheme, value) for scheme, codes in mapping.items() for value in codes})


@cache
def standard_terms() -> frozenset[str]:
    """Words of the terms that code strings (VR CS) hold, lower case."""
    return frozenset(files("medsynth.identity").joinpath("standard_terms.txt").read_text(encoding="utf-8").split())


def unknown_words(text: str) -> list[str]:
    """Words of three letters and more that are not known, nor made of known ones (MixedCase).

    >>> unknown_words("T1 mprage SAG, SliceThickness Ottilie")
    ['Ottilie']
    """
    return [word for word in _LETTERS.findall(text) if not is_known(word)]


@cache
def is_known(word: str) -> bool:
    """Whether a word (letters alone) names nobody."""
    known: Any = known_words()
    if len(word) <= _LONGEST_FREE:
        return word.isascii()
    lower = bare(word)
    if lower in known or (lower.endswith("s") and lower[:-1] in known):
        return True
    humps = _HUMPS.findall(word)
    whole = "".join(humps) == word and len(humps) > 1
    return whole and all(len(hump) <= _LONGEST_FREE or bare(hump) in known for hump in humps)
