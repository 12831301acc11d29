"""Whether JSON, tables and plain text name anyone. Keys and columns with a DICOM keyword are judged by its element."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.tag import Tag

from medsynth.identity.element_rules import Said, judge_element
from medsynth.identity.finding import Findings, Found
from medsynth.identity.shapes import judge, judge_measures

_UNSAID = Said()
_LONG_NUMBER = 10**6
_DEEPEST = 100
# Columns and keys that are no DICOM keywords, and the element that they mean.
_MEANINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), keyword)
    for pattern, keyword in (
        (
            r"(given|family|first|fore|last|sur|middle|maiden|full|patient|pat|subject)_?name|name_of_patient|referrer|radiologist",
            "PatientName",
        ),
        (r"(\w+_)?(physician|doctor|operator|technician)(_?name)?|contact_?person", "OperatorsName"),
        (r"((patient|pat|subject)_?)?(initials|initialen)", "PatientName"),
        (
            r"((patient|pat|subject)_?)?(d_?o_?b|y_?o_?b|birth_?(day|date|year|month)?|(date|year|month)_?of_?birth|born)"
            r"|geburts(tag|datum|jahr)",
            "PatientBirthDate",
        ),
        (r"(patient|pat)(en)?_?(id|no|nr|num|number|nummer|code|key)|pid", "PatientID"),
        (r"((patient|pat|subject)_?)?age(_?(in_)?(years|yrs|y))?|age_at_.*", "PatientAge"),
        (
            r"mrn|medical_record(_number)?|ssn|nhs(_number)?|insurance(_id|_number)?|hospital_(id|number)",
            "PatientID",
        ),
        (r"accession(_(no|number))?", "AccessionNumber"),
        (r"(street|address|zip(code)?|postal_?code|post_?code|city|town)", "PatientAddress"),
        (r"(tele)?phone(_number)?|mobile|fax", "PatientTelephoneNumbers"),
        (r"(hospital|institution|clinic|site)(_name)?", "InstitutionName"),
    )
)
_OWN_HASHES = re.compile(r"[0-9a-f]{16,64}")


def check_json(content: bytes, findings: Findings, lines: bool = False) -> bool:
    """Check a JSON file, or one with a JSON value a line; returns whether it is one."""
    try:
        text = content.decode("utf-8-sig")
        values = [load_json(line) for line in text.splitlines() if line.strip()] if lines else [load_json(text)]
    except (UnicodeDecodeError, ValueError, RecursionError):
        findings.add("unread", "file")
        return False
    for value in values:
        check_value(value, "", (), findings)
    return True


def load_json(text: str) -> Any:
    """A JSON value in which no name stands twice: of two values one would not be seen.

    Raises:
        ValueError: it is no JSON, or has a name twice.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def check_table(content: bytes, findings: Findings, tabs: bool) -> bool:
    """Check a CSV or TSV file by its columns; returns whether it is one."""
    text = _decoded(content)
    if text is None:
        findings.add("unread", "file")
        return False
    delimiter = (
        "\t" if tabs else ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    )
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        findings.add("unread", "file")
        return False
    header = rows[0] if rows else []
    for number, name in enumerate(header, 1):
        findings.add_all(judge(name.replace("_", " ")), f"column {number}, its name")
    for row in rows[1:]:
        for number, cell in enumerate(row, 1):
            key = header[number - 1] if number <= len(header) else ""
            findings.add_all(_judge_keyed(key, cell, judge_measures), f"column {number}")
    return True


def check_text(content: bytes, findings: Findings) -> bool:
    """Check a text file line by line; returns whether it is text."""
    text = _decoded(content)
    if text is None:
        findings.add("unread", "file")
        return False
    for number, line in enumerate(text.splitlines(), 1):
        findings.add_all(judge_line(line), f"line {number}")
    return True


def judge_line(line: str) -> list[Found]:
    """What a line of text gives away, by its key where it has one."""
    key, colon, rest = line.partition(":")
    keyed = _judge_keyed(key.strip(" -\"'"), rest.strip(" \"'"), judge_measures) if colon and len(key) < 40 else []
    return [*keyed, *judge_measures(line.replace("_", " "))]


def _decoded(content: bytes) -> str | None:
    for encoding in ("utf-8-sig", "utf-16") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    return None


def check_value(value: Any, key: str, above: tuple[str, ...], findings: Findings) -> None:
    """Check a JSON value and all below it.

    Args:
        value: plain JSON types.
        key: under which it stands; one with a DICOM keyword judges by its element.
        above: place of the value.
        findings: receives what is found.
    """
    place = ">".join(above) or "value"
    if len(above) > _DEEPEST:
        findings.add("unread", "value")
    elif isinstance(value, dict):
        for number, (name, entry) in enumerate(value.items(), 1):
            strange = judge(name.replace("_", " ")) if not _OWN_HASHES.fullmatch(name) or name.isdigit() else []
            findings.add_all(strange, f"{place}, a key")
            # A key becomes part of the place where it is a known word; others might be somebody's name.
            shown = f"key {number}" if strange or len(name) > 40 else name
            check_value(entry, name, (*above, shown), findings)
    elif isinstance(value, list):
        for entry in value:
            check_value(entry, key, above, findings)
    elif isinstance(value, str):
        findings.add_all(_judge_keyed(key, value), place)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if _element_of(key):
            findings.add_all(_judge_keyed(key, str(value)), place)
        elif abs(value) >= _LONG_NUMBER and (isinstance(value, int) or value.is_integer()):
            findings.add("number", place, str(value))


def _element_of(key: str) -> str | None:
    if tag_for_keyword(key) is not None:
        return key
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip()).replace(" ", "_").replace("-", "_").lower()
    if plain in _keywords():
        return _keywords()[plain]
    return next((keyword for pattern, keyword in _MEANINGS if pattern.fullmatch(plain)), None)


@cache
def _keywords() -> Mapping[str, str]:
    """DICOM keywords of several words by the way in which tables write them: device_serial_number."""
    keywords = (entry[4] for entry in DicomDictionary.values())
    snake = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", keyword).lower(): keyword for keyword in keywords}
    return {name: keyword for name, keyword in snake.items() if "_" in name}


def _judge_keyed(key: str, text: str, judge: Callable[[str], list[Found]] = judge) -> list[Found]:
    if _OWN_HASHES.fullmatch(text) and not text.isdigit():
        return []
    keyword = _element_of(key)
    tag = tag_for_keyword(keyword) if keyword else None
    if keyword is None or tag is None:
        return judge(text.replace("_", " "))
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr in ("SQ", "UN") or text.strip().lower() in ("", "n/a", "na", "nan", "null", "none"):
        return judge(text.replace("_", " "))
    if vr == "AS":  # sidecars and tables give years
        years = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*(?:y|yr|yrs|years?)?\.?", text.strip(), re.IGNORECASE)
        if years is not None:
            return [Found("age", text)] if float(years[1]) > 89 else []
        return judge_element(Tag(tag), vr, [text], _UNSAID) if re.fullmatch(r"\d{1,3}[DWM]", text) else judge(text)
    return judge_element(Tag(tag), vr, [text], _UNSAID)
