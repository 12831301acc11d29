"""Values of one element: whether they are what their VR says, made new, or made up."""

import re
import struct
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.uid import UID_dictionary

from medsynth.identity.plain_words import plain_code, plain_text
from medsynth.identity.pseudonym import Pseudonymiser

TEXT_VRS = frozenset({"LO", "SH", "LT", "ST", "UT", "UC"})
BINARY_NUMBERS = frozenset({"US", "SS", "UL", "SL", "FL", "FD", "UV", "SV", "AT"})
_CONTEXT_GROUP = re.compile(r"1\.2\.840\.10008\.6\.1\.\d{1,4}")  # PS3.6 Table A-3
_LONG = 10**6
_SPELT = re.compile(rb"(?=[0-9 ,._^=-]*[A-Za-z])[A-Za-z0-9 ,._^=-]{8,}")
_LONGEST = {"LO": 64, "SH": 16, "CS": 16, "AE": 16, "ST": 1024, "LT": 10240, "UT": 10240, "UC": 10240, "PN": 64}
_NUMBER = {
    "DS": re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"),
    "IS": re.compile(r"[+-]?\d{1,11}"),
}
_DUMMIES: dict[str, Any] = {
    "AE": "REMOVED", "AS": "000D", "CS": "UNKNOWN", "DA": "19000101", "DS": "0", "DT": "19000101000000", "IS": "0",
    "LO": "REMOVED", "LT": "REMOVED", "PN": "REMOVED", "SH": "REMOVED", "ST": "REMOVED", "TM": "000000",
    "UC": "REMOVED", "UR": "urn:removed", "UT": "REMOVED", "OB": b"\0\0", "OW": b"\0\0", "UN": b"\0\0",
    "OF": b"\0" * 4, "OL": b"\0" * 4, "OD": b"\0" * 8, "OV": b"\0" * 8, "AT": 0,
    "US": 0, "SS": 0, "UL": 0, "SL": 0, "UV": 0, "SV": 0, "FL": 0.0, "FD": 0.0,
}  # fmt: skip


def dummy(vr: str) -> Any:
    """A value that fits the VR and says nothing (PS3.15 Table E.1-1a: D); None for UI and SQ, which need more."""
    return _DUMMIES.get(vr)


def new_uid(uid: str, names: Pseudonymiser) -> str:
    """The UID that stands for another, the same wherever that one occurs: 2.25 and a keyed UUID (PS3.5 B.2).

    The standard's own UIDs (SOP classes, transfer syntaxes, templates) stay.

    >>> new_uid("1.2.840.10008.5.1.4.1.1.2", Pseudonymiser(bytes(32)))
    '1.2.840.10008.5.1.4.1.1.2'
    >>> len(new_uid("1.2.3", Pseudonymiser(bytes(32)))) <= 44
    True
    """
    plain = uid.strip(" \0")
    if plain in UID_dictionary or _CONTEXT_GROUP.fullmatch(plain):
        return plain
    return f"2.25.{uuid.UUID(hex=names.digest('uid', plain)[:32], version=4).int}"


def several(element: DataElement) -> list[Any]:
    """The values of an element, none where it is empty."""
    value = element.value
    if value is None or value == "" or value == b"":
        return []
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return [value]
    return list(value)


def texts(element: DataElement) -> list[str]:
    """Its values as text; numbers as they were written (pydicom keeps the text of DS and IS)."""
    return [str(getattr(value, "original_string", value)) for value in several(element)]


def one_or_more(values: Sequence[Any]) -> Any:
    """As pydicom takes them: one value bare, several in a list, none as an empty text."""
    return list(values) if len(values) > 1 else values[0] if values else ""


def fits(number: int, vm: str) -> bool:
    """Whether a number of values is one that the data dictionary allows.

    >>> fits(3, "1-n"), fits(3, "3"), fits(4, "3"), fits(4, "2-2n"), fits(5, "2-2n"), fits(3, "1-2")
    (True, True, False, True, False, False)
    """
    least, _, most = vm.partition("-")
    if not most:
        return number == int(least)
    if most.endswith("n"):
        step = int(most[:-1] or 1)
        return number >= int(least) and number % step == 0
    return int(least) <= number <= int(most)


def checked_numbers(element: DataElement, vr: str, vm: str | None) -> list[Any] | None:
    """The values of a numeric element, None where they are no numbers or too many.

    Args:
        element: to look at.
        vr: that it should have.
        vm: how many values it may have; None as the data dictionary says.
    """
    allowed = vm or dictionary_VM(element.tag)
    values: list[Any] = texts(element) if vr in _NUMBER else several(element)
    if vr in _NUMBER:
        values = [value.strip(" \0") for value in values]
        if not all(_NUMBER[vr].fullmatch(value) and len(value) <= 16 for value in values if value):
            return None
    elif not all(isinstance(value, int | float) for value in values):
        return None
    return values if not values or fits(len(values), allowed) else None


def is_long(value: Any) -> bool:
    """Whether a number has seven digits and more, as those of patients, telephones and cards have.

    >>> is_long("83749201"), is_long(-1021.5), is_long("")
    (True, False, False)
    """
    try:
        return abs(float(value)) >= _LONG
    except ValueError:  # an empty one of several
        return False


def spells(values: Sequence[Any], vr: str) -> bool:
    """Whether binary numbers are text when read as bytes: eight letters and digits in a row.

    >>> spells([30033, 28257, 29796, 20318, 29812, 27753], "US"), spells([512, 0, 0, 512], "US")
    (True, False)
    """
    form = {"AT": "2H", "US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}.get(vr)
    if form is None:
        return False
    try:
        parts = [(int(value) >> 16, int(value) & 0xFFFF) if vr == "AT" else (value,) for value in values]
        raws = [b"".join(struct.pack(order + form, *part) for part in parts) for order in "<>"]
    except (struct.error, OverflowError, TypeError, ValueError):
        return True
    return any(_SPELT.search(raw) for raw in raws)


def kept_text(text: str, vr: str) -> str:
    """Text that stays as it is, in printable ASCII and no longer than its VR allows."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain if letter.isprintable()).strip()[: _LONGEST.get(vr, 64)].strip()


def cleaned_text(element: DataElement, vr: str, clean: Callable[[str], str] = plain_text) -> list[str]:
    """The plain part of each value; empty ones are dropped, but a code string's keep the places of the others."""
    if vr == "CS":
        codes = [plain_code(text) for text in texts(element)]
        return codes if any(codes) else []
    length = _LONGEST.get(vr, 64)
    found = [clean(text)[:length].strip() for text in texts(element)]
    return [text for text in found if text]
