"""Every element of a DICOM data set at every depth, judged by its meaning; what has no meaning here is a finding."""

import re
import struct
from typing import Any

from pydicom._private_dict import private_dictionaries
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from medsynth.identity.byte_text import as_text, beside_frames, is_token, is_wordy, jpeg_comments, runs, wide_runs
from medsynth.identity.codes import CODES, is_known_code
from medsynth.identity.element_rules import BYTES, NUMBERS, TEXT, Said, judge_element, judge_numbers
from medsynth.identity.finding import Findings, Found
from medsynth.identity.known_private import CSA, PACKED, is_plain_csa, known_form
from medsynth.identity.own_objects import OwnObject
from medsynth.identity.shapes import judge

_PIXELS = {Tag("PixelData"), Tag("FloatPixelData"), Tag("DoubleFloatPixelData")}
_PADDING = Tag(0xFFFC, 0xFFFC)
_DEEPEST = 64
_LIKE_TEXT = ("AS", "DA", "DT", "PN", "TM", "UI", "UR")
_CHARACTERS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")  # that Specific Character Set is about
_ESCAPE = b"\x1b"  # before letters of another set that look like some of ASCII (PS3.5 6.1.2.5, ISO 2022)
_FEW_BYTES = 512  # in which letters in a row are no chance
# Numbers and tables in bytes: text in them is told from chance by being longer.
_NUMERIC_BYTES = re.compile(
    r"LUT|Palette|Lookup|PixelPadding|PixelValue|Vector|Matrix|Points|Coordinates|Indices|Spectroscopy|Offset|Gray|Curve"
    r"|Histogram|TableOf|FileMetaInformationVersion|PixelData|Track|Weight|Mask|Bin|Lengths"
)


class Walk:
    """One walk through a data set.

    Args:
        findings: receives what is found.
        said: what the data set says of itself.
        own: what medsynth's exporter would have written into it; None where it is none of its objects.

    Attributes:
        texts: printable runs of all values that were judged, so that a search of the raw bytes can pass over them.
        heads: beginnings of elements (tag and VR) of three letters and more, as they look among printable bytes.
        pixels: bytes of all pixel data that were met.
    """

    def __init__(self, findings: Findings, said: Said, own: OwnObject | None = None) -> None:
        self._findings, self._said, self._own = findings, said, own
        self.texts: set[str] = set()
        self.heads: set[str] = set()
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
        known = dataset.get_item(tag)
        raw = _raw_bytes(known)
        for order in ("<HH", ">HH"):
            head = struct.pack(order, tag.group, tag.element).decode("latin-1") + str(getattr(known, "VR", None) or "")
            self.heads.update(head[:end] for end in range(3, len(head) + 1))
        if getattr(known, "VR", None) != "SQ":  # a sequence's bytes may hold more than its items, which are walked
            self.texts.update(text for _, text in runs(raw))
        if tag in _PIXELS:
            self._pixel_data(dataset, tag, raw, place)
            return
        if tag == _PADDING:
            if any(raw):
                self._findings.add("hidden", place)
            self._bytes(raw, "hidden", place)
            return
        try:
            element = dataset[tag]
            vr, value = str(element.VR), element.value
        except Exception:  # a value that its representation cannot hold
            vr, value = "UN", raw
        if vr == "SQ":
            form = known_form(tag, _creator(dataset, tag)) if tag.is_private else None
            if tag.is_private and (form is None or form.vr != "SQ"):
                self._findings.add("private", place)
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
        if tag.element == 0 and vr == "UL" and _count(value) == 1:
            return
        if tag in CODES and is_known_code(dataset, tag):
            return
        if self._own is not None and self._own.is_judged(place, raw, self._findings):
            return
        meant = dictionary_VR(tag).split(" or ")
        if isinstance(value, bytes):
            keyword = dictionary_keyword(tag)
            if vr == "UN" and (text := as_text(raw)) is not None:
                like = meant[0] if meant[0] in TEXT or meant[0] in _LIKE_TEXT else "LO"
                self._findings.add_all(judge_element(tag, like, text.split("\\"), self._said), place)
            elif any(raw) and not (_NUMERIC_BYTES.search(keyword) and (vr in meant or BYTES.intersection(meant))):
                self._findings.add("binary", place)
                self._bytes(raw, "binary", place)
            else:
                self._bytes(raw, "hidden", place, strict=True)
            return
        texts = _texts(dataset, vr, value, raw)
        self._findings.add_all(judge_element(tag, vr, texts, self._said), place)
        if vr not in meant and texts:  # the element means what the dictionary says, however it is written
            if meant[0] in TEXT or meant[0] in NUMBERS or meant[0] in _LIKE_TEXT:
                self._findings.add_all(judge_element(tag, meant[0], texts, self._said), place)
            else:
                self._findings.add("binary", place)
        if _ESCAPE in raw and vr in _CHARACTERS and not dataset.get("SpecificCharacterSet"):
            self._findings.add("words", place, raw.decode("latin-1"))
        if (vr in NUMBERS and vr not in ("DS", "IS")) or vr == "AT":
            self._bytes(raw, "hidden", place, strict=True)

    def _private_value(self, dataset: Dataset, tag: BaseTag, vr: str, value: Any, raw: bytes, place: str) -> None:
        if tag.is_private_creator:
            creator = _joined(value)
            if creator.strip() not in private_dictionaries:
                self._findings.add_all(judge(creator.replace("_", " ")), place)
            return
        if not raw.strip(b"\0 "):
            return
        creator = _creator(dataset, tag)
        if (tag.group, creator, tag.element & 0xFF) == CSA and vr == "OB" and is_plain_csa(raw):
            return
        form = known_form(tag, creator)
        if form is None or form.vr != vr or not form.least <= _count(value) <= form.most:
            self._findings.add("private", place)
        if vr in NUMBERS:
            self._findings.add_all(
                judge_numbers(_texts(dataset, vr, value, raw), (creator, tag.element & 0xFF) == PACKED), place
            )
            if vr not in ("DS", "IS"):
                self._bytes(raw, "binary", place, strict=True)
        elif vr in BYTES:
            self._bytes(raw, "binary", place)
        else:
            if _ESCAPE in raw and not dataset.get("SpecificCharacterSet"):
                self._findings.add("words", place, raw.decode("latin-1"))
            for text in _texts(dataset, vr, value, raw):
                self._findings.add_all(self._judge_private(vr, text), place)

    def _judge_private(self, vr: str, text: str) -> list[Found]:
        """A private value by a public element of its VR, else as text."""
        like = {"UI": "SOPInstanceUID", "DA": "StudyDate", "DT": "AcquisitionDateTime", "TM": "StudyTime"}.get(vr)
        return judge_element(Tag(like), vr, [text], self._said) if like else judge(text.replace("_", " "))

    def _bytes(self, raw: bytes, kind: str, place: str, strict: bool = False) -> None:
        """Text in bytes; `kind` where words in it are not known.

        Args:
            raw: a value.
            kind: of findings without a shape.
            place: of the element.
            strict: the bytes are numbers, and may be printable by chance.
        """
        for _, text in [*runs(raw, 8 if strict else 4), *([] if strict else wide_runs(raw))]:
            if is_wordy(text) or (len(raw) <= _FEW_BYTES and is_token(text)):
                for found in judge(text):
                    self._findings.add(kind if found.kind == "words" else found.kind, place, found.piece)

    def _pixel_data(self, dataset: Dataset, tag: BaseTag, raw: bytes, place: str) -> None:
        self.pixels.append(raw)
        expected = _expected_length(dataset, tag)
        if expected is None:
            for beside in beside_frames(raw):
                self._findings.add("hidden", place, beside)
                self._findings.add_all(judge(beside), place)
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


def _creator(dataset: Dataset, tag: BaseTag) -> str:
    """Creator of the block of a private element, "" where there is none."""
    named = dataset.get(Tag(tag.group, tag.element >> 8))
    return "" if named is None else str(named.value).strip(" \0")


def _count(value: Any) -> int:
    return len(value) if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else 1


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
