"""Coded concepts (PS3.3 8.8): those of public schemes, and what medsynth's exporter makes of labels' names."""

import re

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from medsynth.identity.own_objects import is_label_code
from medsynth.identity.vocabulary import known_codes, known_meanings

CODES = frozenset(
    Tag(keyword)
    for keyword in ("CodeValue", "LongCodeValue", "CodeMeaning", "CodingSchemeVersion", "ContextGroupVersion")
)
"""Elements of which a coded concept consists, its scheme apart."""


def is_known_code(dataset: Dataset, tag: BaseTag) -> bool:
    """Whether a code is one of a public scheme (PS3.16), or the version of one.

    Args:
        dataset: item of a code sequence.
        tag: one of CODES that is in it.
    """
    scheme = str(dataset.get("CodingSchemeDesignator", ""))
    value = str(dataset[tag].value)
    if tag == Tag("CodingSchemeVersion") or tag == Tag("ContextGroupVersion"):
        return re.fullmatch(r"[\d.v]{1,6}|(199\d|20[0-4]\d)\d{4}(0{6})?", value) is not None
    if tag == Tag("CodeMeaning"):
        code = dataset.get("CodeValue") or dataset.get("LongCodeValue") or ""
        return known_meanings().get((scheme, str(code))) == value
    return (scheme, value) in known_codes() or is_label_code(value, scheme, str(dataset.get("CodeMeaning", "")))
