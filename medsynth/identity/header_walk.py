"""Every element of a DICOM data set at every depth, judged by its meaning; what has no meaning here is a finding."""

import re
from collections.abc import Mapping
from typing import Any

from pydicom._private_dict import private_dictionaries
from pydicom.datadict import dictionary_has_tag, dictionary_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from medsynth.identity.byte_text import as_text, is_wordy, jpeg_comments, runs, wide_runs
from medsynth.identity.element_rules import BYTES, NUMBERS, Said, judge_element
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge
from medsynth.identity.vocabulary import known_codes

_PIXELS = {Tag("PixelData"), Tag("FloatPixelData"), Tag("DoubleFloatPixelData")}
_CODES = {Tag("CodeValue"), Tag("LongCodeValue"), Tag("CodingSchemeVersion"), Tag("ContextGroupVersion")}
_PADDING = Tag(0xFFFC, 0xFFFC)
_DEEPEST = 64
# Numbers and tables in bytes: text in them is told from chance by being longer.
_NUMERIC_BYTES = re.compile(
    r"LUT|Palette|Lookup|PixelPadding|PixelValue|Vector|Matrix|Points|Coordinates|Indices|Spectroscopy|Offset|Gray|Curve"
    r"|Histogram|TableOf|FileMetaInformationVersion|PixelData|Track|Weight|Mask|Bin|Lengths"
)
# PS3.15 Table E.3.10-1: private elements that are known to hold numbers and codes of the acquisition alone.
_SAFE_PRIVATE: Mapping[str, frozenset[int]] = {
    "Philips PET Private Group": frozenset((0x00, 0x09)),
    "Philips Imaging DD 001": frozenset((0x03, 0x04)),
    "Philips MR Imaging DD 001": frozenset((0x0D, 0x0E)),
    "SIEMENS MR HEADER": frozenset((0x0C, 0x0D, 0x0E, 0x27)),
    "GEMS_ACQU_01": frozenset((0x23, 0x24, 0x27)),
    "GEMS_PARM_01": frozenset((0x27, 0x39)),
    "GEMS_SERS_01": frozenset((0x07,)),
    "ELSCINT1": frozenset((0x21, 0x26, 0x50)),
}


class Walk:
    """One walk through a data set.

    Args:
        findings: receives what is found.
        said: what the data set says of itself.

    Attributes:
        texts: printable runs of all values that were judged, so that a search of the raw bytes can pass over them.
        pixels: bytes of all pixel data that were met.
    """

    def __init__(self, findings: Findings, said: Said) -> None:
        self._findings, self._said = findings, said
        self.texts: set[str] = set()
        self.pixels: list[bytes] = []

    def dataset(self, dataset: Dataset, above: str = "") -> None:
        """Judge every element of a data set and of the items below it."""
        if above.count(">") >= _DEEPEST:
            self._findings.add("unread", above + "...")
            return
        try:
            # pydicom reads the items of a sequence late; a broken one must not end the walk.
            tags = sorted(dataset.keys())
        except Exception:
            self._findings.add("unread", above)
            return
        for tag in tags:
            place = f"{above}({tag.group:04X},{tag.element:04X})"
            try:
                self._element(dataset, tag, place)
            except Exception:  # a parser fed with any bytes fails in any way: what it trips over was not seen
                self._findings.add("unread", place)

    def _element(self, dataset: Dataset, tag: BaseTag, place: str) -> None:
        raw = _raw_bytes(dataset.get_item(tag))
        self.texts.update(text for _, text in runs(raw))
        if tag in _PIXELS:
            self._pixel_data(dataset, tag, raw, place)
            return
        if tag == _PADDING:
            self._bytes(raw, "hidden", place)
            return
        try:
            element = dataset[tag]
            vr, value = str(element.VR), element.value
        except Exception:  # a value that its representation cannot hold
            vr, value = "UN", raw
        if vr == "SQ":
            if tag.is_private:
                self._private(dataset, tag, place)
            for item in value:
                self.dataset(item, place + ">")
        elif tag.is_private:
            self._private_value(dataset, tag, vr, value, raw, place)
        elif tag.group >> 8 == 0x50 and tag.group % 2 == 0:  # curves, retired
            self._findings.add("graphics", place)
            self._bytes(raw, "binary", place)
        elif tag.group >> 8 == 0x60 and tag.element == 0x3000:
            if any(raw):
                self._findings.add("graphics", place)
            self._bytes(raw, "hidden", place, strict=True)
        elif not dictionary_has_tag(tag) and tag.element != 0:
            self._findings.add("binary", place, _joined(value))
            self._bytes(raw, "binary", place)
        else:
            self._public(dataset, tag, vr, value, raw, place)

    def _public(self, dataset: Dataset, tag: BaseTag, vr: str, value: Any, raw: bytes, place: str) -> None:
        if tag.element == 0 and vr == "UL":
            return
        if tag in _CODES and _is_known_code(dataset, tag):
            return
        if isinstance(value, bytes):
            keyword = dictionary_keyword(tag)
            if vr == "UN" and (text := as_text(raw)) is not None:
                self._findings.add_all(judge_element(tag, "LO", text.split("\\"), self._said), place)
            elif not _NUMERIC_BYTES.search(keyword) and any(raw):
                self._findings.add("binary", place)
                self._bytes(raw, "binary", place)
            else:
                self._bytes(raw, "hidden", place, strict=True)
            return
        texts = _texts(dataset, vr, value, raw)
        self._findings.add_all(judge_element(tag, vr, texts, self._said), place)
        if vr in NUMBERS and vr not in ("DS", "IS"):
            self._bytes(raw, "hidden", place, strict=True)

    def _private(self, dataset: Dataset, tag: BaseTag, place: str) -> bool:
        """Whether a private element is on the safe list; else it is a finding."""
        creator = str(dataset.get(Tag(tag.group, tag.element >> 8), DataElement(tag, "LO", "")).value).strip()
        if tag.element & 0xFF in _SAFE_PRIVATE.get(creator, ()):
            return True
        self._findings.add("private", place)
        return False

    def _private_value(self, dataset: Dataset, tag: BaseTag, vr: str, value: Any, raw: bytes, place: str) -> None:
        if tag.is_private_creator:
            creator = _joined(value)
            if creator.strip() not in private_dictionaries:
                self._findings.add_all(judge(creator.replace("_", " ")), place)
            return
        if not raw.strip(b"\0 "):
            return
        self._private(dataset, tag, place)
        if vr in BYTES or vr in NUMBERS:
            self._bytes(raw, "binary", place, strict=vr in NUMBERS)
        else:
            for text in _texts(dataset, vr, value, raw):
                found = judge(text.replace("_", " "))
                if vr == "UI":
                    found = judge_element(Tag("SOPInstanceUID"), "UI", [text], self._said)
                elif vr in ("DA", "DT", "TM"):
                    found = judge_element(
                        Tag({"DA": "StudyDate", "DT": "AcquisitionDateTime", "TM": "StudyTime"}[vr]),
                        vr,
                        [text],
                        self._said,
                    )
                self._findings.add_all(found, place)

    def _bytes(self, raw: bytes, kind: str, place: str, strict: bool = False) -> None:
        """Text in bytes; `kind` where words in it are not known.

        Args:
            raw: a value.
            kind: of findings without a shape.
            place: of the element.
            strict: the bytes are numbers, and may be printable by chance.
        """
        for _, text in [*runs(raw, 8 if strict else 4), *([] if strict else wide_runs(raw))]:
            if is_wordy(text):
                for found in judge(text):
                    self._findings.add(kind if found.kind == "words" else found.kind, place, found.piece)

    def _pixel_data(self, dataset: Dataset, tag: BaseTag, raw: bytes, place: str) -> None:
        self.pixels.append(raw)
        expected = _expected_length(dataset, tag)
        for comment in jpeg_comments(raw) if expected is None else ():
            text = as_text(comment)
            if text is None:
                self._findings.add("hidden", place)
                self._bytes(comment, "hidden", place)
            else:
                self._findings.add_all(judge(text), place)
        if expected is not None and len(raw) < expected - 1:
            self._findings.add("unread", place)
        elif expected is not None and any(raw[expected:]):
            self._findings.add("hidden", place)
            self._bytes(raw[expected:], "hidden", place)


def _raw_bytes(element: Any) -> bytes:
    if isinstance(element, RawDataElement):
        return element.value or b""
    value = element.value
    if isinstance(value, bytes):
        return value
    return _joined(value).encode("utf-8", "surrogateescape") if element.VR != "SQ" else b""


def _joined(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else "\\".join(map(str, value))


def _texts(dataset: Dataset, vr: str, value: Any, raw: bytes) -> list[str]:
    """Values as text; those of numbers and moments as they are written."""
    if vr in ("DS", "IS", "DA", "DT", "TM", "AS", "UI", "CS", "AE") and raw:
        return raw.decode("latin-1").split("\\")
    if vr in ("LO", "SH", "ST", "LT", "UT", "UC", "PN", "UR") and raw and not dataset.get("SpecificCharacterSet"):
        return raw.decode("latin-1").split("\\")
    if value is None:
        return []
    if isinstance(value, str) or not hasattr(value, "__iter__") or (vr == "PN" and hasattr(value, "components")):
        return str(value).split("\\")
    return [str(one) for one in value]


def _is_known_code(dataset: Dataset, tag: BaseTag) -> bool:
    """Whether a code is one of a public scheme (PS3.16), or the version of one."""
    scheme = str(dataset.get("CodingSchemeDesignator", ""))
    value = str(dataset[tag].value)
    if tag == Tag("CodingSchemeVersion") or tag == Tag("ContextGroupVersion"):
        return re.fullmatch(r"[\d.v]{1,14}", value) is not None
    return (scheme, value) in known_codes()


def _expected_length(dataset: Dataset, tag: BaseTag) -> int | None:
    """Bytes of native pixel data (PS3.5 8.1.1), padded to even; None for compressed ones."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    element = dataset.get_item(tag)
    if getattr(element, "is_undefined_length", False) or (syntax is not None and syntax.is_encapsulated):
        return None
    try:
        bits = int(dataset.BitsAllocated)
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel", 1) or 1)
        if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            pixels = pixels * 2 // 3
        length = (pixels * int(dataset.get("NumberOfFrames", 1) or 1) * bits + 7) // 8
    except (AttributeError, TypeError, ValueError):
        return 0
    return length + length % 2


def said_of(dataset: Dataset) -> Said:
    """What the data set says of its own de-identification; nothing where that cannot be parsed."""
    try:
        return _said_of(dataset)
    except Exception:  # values are parsed when asked for, and broken ones fail in any way; the walk notes them
        return Said()


def _said_of(dataset: Dataset) -> Said:
    shifted = str(dataset.get("LongitudinalTemporalInformationModified", "")).strip() == "MODIFIED"
    removed = str(dataset.get("PatientIdentityRemoved", "")).strip() == "YES"
    codes = dataset.get("DeidentificationMethodCodeSequence", None) or []
    options = frozenset(
        str(item.get("CodeValue", "")) for item in codes if str(item.get("CodingSchemeDesignator", "")) == "DCM"
    )
    return Said(dates_shifted=shifted and removed, options=options if removed else frozenset())
