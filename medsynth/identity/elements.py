"""What becomes of one public element: the table's action, or for what it does not list, what its form allows."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag

from medsynth.identity.confidentiality import Action, Option, action_of, fallback
from medsynth.identity.dates import shifted_date, shifted_datetime, valid_age, valid_time, valid_zone
from medsynth.identity.plain_words import kernel, maker, plain_text, sequence_name
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.values import (
    BINARY_NUMBERS,
    TEXT_VRS,
    checked_numbers,
    cleaned_text,
    dummy,
    is_long,
    kept_text,
    new_uid,
    one_or_more,
    several,
    spells,
    texts,
)

_DATES = {"DA": shifted_date, "DT": shifted_datetime}
_NEVER = frozenset(  # unlisted, and about private, encrypted or signed content that is gone
    {Tag(0x0008, 0x0005), Tag(0x0008, 0x0300), Tag(0x0400, 0x0500), Tag(0x4FFE, 0x0001)}
)
# Makers, models and software stand in no row of the table; they go with the device.
_DEVICE = frozenset(
    map(
        Tag,
        ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SecondaryCaptureDeviceManufacturer",
         "SecondaryCaptureDeviceManufacturerModelName", "SecondaryCaptureDeviceSoftwareVersions", "TransducerData",
         "ReceiveCoilName", "TransmitCoilName", "ReceiveCoilManufacturerName", "TransmitCoilManufacturerName",
         "MultiCoilElementName"),
    )
)  # fmt: skip
_MAKERS = frozenset(
    map(
        Tag,
        ("Manufacturer", "SecondaryCaptureDeviceManufacturer", "ReceiveCoilManufacturerName",
         "TransmitCoilManufacturerName"),
    )
)  # fmt: skip
_NAMED: Mapping[BaseTag, Callable[[str], str]] = {
    Tag("ConvolutionKernel"): kernel,
    Tag("FilterType"): kernel,
    Tag("SequenceName"): sequence_name,
    Tag("PulseSequenceName"): sequence_name,
    Tag("StackID"): lambda text: text if re.fullmatch(r"\d{1,3}", text) else plain_text(text),
}
_PERSON = re.compile(r"\^|@|[^\W\d_]{2,}, ?[^\W\d_]")  # Last^First, an address, Last, First: no device is called so
_LARGE = re.compile(  # what may count or measure so much
    r"Counts|Duration|Time$|Frequency|Dose|Activity|Pixel(Value|Padding)|Offset|Length|LUT|Slope|Intercept|CRC|Checksum"
)
_PIXELS = frozenset(map(Tag, ("PixelData", "FloatPixelData", "DoubleFloatPixelData")))
_LUTS = {  # bulk data of a form that its descriptor tells
    Tag("LUTData"): Tag("LUTDescriptor"),
    Tag("RedPaletteColorLookupTableData"): Tag("RedPaletteColorLookupTableDescriptor"),
    Tag("GreenPaletteColorLookupTableData"): Tag("GreenPaletteColorLookupTableDescriptor"),
    Tag("BluePaletteColorLookupTableData"): Tag("BluePaletteColorLookupTableDescriptor"),
}


@dataclass(frozen=True)
class Rules:
    """What is the same for all elements of one data set.

    Args:
        names: the key.
        days: by how many the dates move back.
        options: of PS3.15 E.3.
        sop_class: UID, by which Types are known.
        maker: Manufacturer, by which private blocks without creator are known.
        little_endian: of the bytes that are not parsed.
    """

    names: Pseudonymiser
    days: int
    options: frozenset[Option]
    sop_class: str
    maker: str
    little_endian: bool


CleanItems = Callable[[BaseTag, Sequence[Dataset]], list[Dataset]]


@dataclass(frozen=True)
class Place:
    """Where an element stands.

    Args:
        levels: its data set and those around it, the innermost first.
        sequence: whose item the data set is; None at the top.
        clean_items: cleans items of the sequence of that tag.
    """

    levels: tuple[Dataset, ...]
    sequence: BaseTag | None
    clean_items: CleanItems

    @property
    def nested(self) -> bool:
        """Whether in a sequence."""
        return self.sequence is not None


def cleaned_element(tag: BaseTag, place: Place, rules: Rules) -> DataElement | None:
    """The element as it may stay; None where it may not.

    What the data dictionary does not know, repeating groups, and values that are not of the VR go (fails closed).
    """
    if not dictionary_has_tag(tag) or tag in _NEVER or tag.group < 0x0008 or tag.element == 0:
        return None
    element = _parsed(tag, place, rules)
    known = dictionary_VR(tag).split(" or ")
    if element is None or element.VR not in known:
        return _fallen(tag, known[0], place, rules)
    dated = element.VR in ("DA", "DT", "TM")
    action = action_of(tag, rules.options, rules.sop_class, date=dated, sequence=place.sequence)
    if action is None:
        values = _unlisted(element, place, rules)
    elif action == Action.KEEP:
        values = _retained(element, place)
    elif action == Action.CLEAN_DATE:
        values = _dated(element, rules)
    elif action == Action.CLEAN_TEXT:
        values = _worded(element, place)
    elif action in (Action.DUMMY, Action.NEW_UID):
        return _made_up(element.tag, element.VR, element, place, rules)
    else:
        return DataElement(tag, element.VR, _nothing(element.VR)) if action == Action.EMPTY else None
    if values is None and not several(element):
        return DataElement(tag, element.VR, _nothing(element.VR))  # empty before, and nothing to hide
    if values is None:
        return _fallen(tag, element.VR, place, rules)
    return DataElement(tag, element.VR, values)


def _parsed(tag: BaseTag, place: Place, rules: Rules) -> DataElement | None:
    """The element with its one VR; None where its value cannot be parsed."""
    dataset, *around = place.levels
    try:
        element = dataset[tag]
        if " or " in element.VR:
            element = correct_ambiguous_vr_element(element, dataset, rules.little_endian, [dataset, *around])
        if element.VR == "US or OW" or element.VR == "OB or OW":
            element.VR = "OW"
        several(element)
    except Exception:  # values are parsed when asked for, and broken ones fail in any way
        return None
    return element if isinstance(element, DataElement) else None


def _nothing(vr: str) -> Any:
    return Items() if vr == "SQ" else "" if dummy(vr) is None or isinstance(dummy(vr), str) else None


def _fallen(tag: BaseTag, vr: str, place: Place, rules: Rules) -> DataElement | None:
    """What stands for a value that cannot stay, as the Type asks."""
    action = fallback(tag, rules.sop_class, place.sequence)
    if action == Action.REMOVE:
        return None
    if action == Action.EMPTY:
        return DataElement(tag, vr, _nothing(vr))
    return _made_up(tag, vr, None, place, rules)


def _made_up(tag: BaseTag, vr: str, element: DataElement | None, place: Place, rules: Rules) -> DataElement:
    """Dummies: of a UID the keyed one, of a sequence its items cleaned."""
    if vr == "UI":
        uids = texts(element) if element is not None else []
        return DataElement(tag, vr, one_or_more([new_uid(uid, rules.names) for uid in uids or ["removed"]]))
    if vr == "SQ":
        items = place.clean_items(element.tag, element.value) if element is not None and element.VR == "SQ" else []
        return DataElement(tag, vr, Items(items or [_unknown_item(tag)]))
    least = 1 if not dictionary_has_tag(tag) else int(re.match(r"\d+", dictionary_VM(tag))[0])  # type: ignore[index]
    return DataElement(tag, vr, one_or_more([dummy(vr)] * max(least, 1)) if vr not in _BULK else dummy(vr))


_BULK = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})


def _unknown_item(tag: BaseTag) -> Dataset:
    """An item for a sequence that has to have one: "Unknown" where it holds codes."""
    item = Dataset()
    if "Code Sequence" in dictionary_description(tag):
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "261665006", "SCT", "Unknown"
    return item


def _retained(element: DataElement, place: Place) -> Any:
    """K: as it is, when it is what its VR says."""
    vr = element.VR
    if vr == "SQ":
        return Items(place.clean_items(element.tag, element.value)) or None
    if vr in BINARY_NUMBERS or vr in ("DS", "IS"):
        return _numbers(element)
    if vr == "AS":
        return one_or_more(list(filter(None, map(valid_age, texts(element))))) or None
    if vr == "UI":
        uids = [text.strip(" \0") for text in texts(element)]
        return one_or_more(uids) if uids and all(re.fullmatch(r"[0-9.]{1,64}", uid) for uid in uids) else None
    if vr in TEXT_VRS or vr == "CS":
        kept = [kept_text(text, vr) for text in texts(element) if not _PERSON.search(text)]
        return one_or_more(list(filter(None, kept))) or None
    return None


def _dated(element: DataElement, rules: Rules) -> Any:
    """C under modified dates."""
    if element.VR in _DATES:
        move = _DATES[element.VR]
        values = [move(text, rules.days) for text in texts(element)]
    elif element.VR == "TM":
        values = [valid_time(text) for text in texts(element)]
    elif element.VR == "SH":
        values = [valid_zone(text) for text in texts(element)]
    else:
        return None
    return one_or_more(values) if values and all(values) else None


def _worded(element: DataElement, place: Place) -> Any:
    """C of a descriptor: its plain words."""
    if element.VR == "SQ":
        return Items(place.clean_items(element.tag, element.value)) or None
    if element.VR in TEXT_VRS or element.VR == "CS":
        return one_or_more(cleaned_text(element, element.VR)) or None
    return None


def _numbers(element: DataElement) -> Any:
    """Numbers that are no number of somebody's: seven digits and more only where so much is counted or measured."""
    values = checked_numbers(element, element.VR, None)
    may_be_long = element.VR == "AT" or _LARGE.search(element.keyword)
    if not values or spells(values, element.VR) or (not may_be_long and any(map(is_long, values))):
        return None
    return one_or_more(values)


def _unlisted(element: DataElement, place: Place, rules: Rules) -> Any:
    """What Table E.1-1 does not list: the standard takes it for harmless, here it has to look it."""
    tag, vr = element.tag, element.VR
    if vr == "UI":
        return one_or_more([new_uid(uid, rules.names) for uid in texts(element)]) or None
    if vr in ("DA", "DT", "TM"):
        return _dated(element, rules) if Option.RETAIN_MODIFIED_DATES in rules.options else None
    if tag in _MAKERS and Option.RETAIN_DEVICE_IDENTITY in rules.options:
        return one_or_more(cleaned_text(element, vr, maker)) or None
    if tag in _DEVICE and Option.RETAIN_DEVICE_IDENTITY in rules.options:
        return _retained(element, place)
    if vr == "AS":
        return _retained(element, place) if Option.RETAIN_PATIENT_CHARACTERISTICS in rules.options else None
    if vr in TEXT_VRS:
        return one_or_more(cleaned_text(element, vr, _NAMED.get(tag, plain_text))) or None
    if vr in ("SQ", "CS"):
        return _worded(element, place)
    if (vr in BINARY_NUMBERS and tag not in _LUTS) or vr in ("DS", "IS"):
        return _numbers(element)
    if tag in _PIXELS:
        return element.value if not place.nested else None
    return _lut(element, place, rules) if tag in _LUTS else None


def _lut(element: DataElement, place: Place, rules: Rules) -> Any:
    """Look-up tables without what may stand behind their last entry (PS3.3 C.11.1.1.1)."""
    descriptor = place.levels[0].get(_LUTS[element.tag])
    if descriptor is None or not isinstance(several(descriptor)[0], int):
        return None
    entries = several(descriptor)[0] % 65536 or 65536
    if isinstance(element.value, bytes):
        size = 2 if len(element.value) >= entries * 2 else 1  # tables of 8 bits may be packed
        raw = element.value[: entries * size]
        if len(raw) < entries * size:
            return None
        return (raw if rules.little_endian or size == 1 else _swapped(raw)) + b"\0" * (len(raw) % 2)
    values = several(element)
    return values[:entries] if len(values) >= entries else None


def _swapped(raw: bytes) -> bytes:
    return b"".join(raw[place : place + 2][::-1] for place in range(0, len(raw), 2))
