"""What the standard says becomes of an attribute: PS3.15 Table E.1-1, its options, and Types to choose by."""

import json
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydicom.tag import BaseTag


class Option(StrEnum):
    """Options of PS3.15 E.3 that can be asked for."""

    CLEAN_DESCRIPTORS = "clean_descriptors"
    RETAIN_MODIFIED_DATES = "retain_modified_dates"
    RETAIN_DEVICE_IDENTITY = "retain_device_identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_SAFE_PRIVATE = "retain_safe_private"


ALL_OPTIONS = frozenset(Option)


class Action(StrEnum):
    """What is done to one attribute (PS3.15 Table E.1-1a), the combined ones resolved.

    CLEAN_DATE and CLEAN_TEXT are C under the option that brings it.
    """

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    NEW_UID = "U"
    KEEP = "K"
    CLEAN_DATE = "C date"
    CLEAN_TEXT = "C text"


class Attribute(NamedTuple):
    """A row of Table E.1-1: the basic profile's action, and that of each option which has one."""

    basic: str
    options: Mapping[str, str]


class SafePrivate(NamedTuple):
    """VR and VM of a private element that names nobody."""

    vr: str
    vm: str


_ORDER = (  # the first that has a word about an attribute decides it
    Option.RETAIN_MODIFIED_DATES,
    Option.RETAIN_PATIENT_CHARACTERISTICS,
    Option.RETAIN_DEVICE_IDENTITY,
    Option.CLEAN_DESCRIPTORS,
)


@cache
def load_table(name: str) -> dict[str, Any]:
    """A JSON file of this package; source, edition and licence stand in it."""
    content: dict[str, Any] = json.loads((files(__package__) / name).read_text(encoding="utf-8"))
    return content


@cache
def profile() -> Mapping[str, Attribute]:
    """Table E.1-1 by tag, eight hexadecimal digits; x for any digit in the repeating groups."""
    rows = load_table("confidentiality_profile.json")["attributes"]
    return {tag: Attribute(basic, options) for tag, _, basic, options in rows}


# What reading geometry and diffusion needs beside Table E.3.10-1: numbers of a known meaning, nothing else.
_NEEDED = {
    ("0019xx0a", "SIEMENS MR HEADER"): SafePrivate("US", "1"),  # images in a mosaic
    ("0019xxbb", "GEMS_ACQU_01"): SafePrivate("DS", "1"),  # gradient directions
    ("0019xxbc", "GEMS_ACQU_01"): SafePrivate("DS", "1"),
    ("0019xxbd", "GEMS_ACQU_01"): SafePrivate("DS", "1"),
    ("2005xxb0", "Philips MR Imaging DD 001"): SafePrivate("FL", "1"),
    ("2005xxb1", "Philips MR Imaging DD 001"): SafePrivate("FL", "1"),
    ("2005xxb2", "Philips MR Imaging DD 001"): SafePrivate("FL", "1"),
    ("0065xx09", "Image Private Header"): SafePrivate("FD", "1"),  # United Imaging: b-value, direction, tiles
    ("0065xx37", "Image Private Header"): SafePrivate("FD", "3"),
    ("0065xx51", "Image Private Header"): SafePrivate("SQ", "1"),
}


@cache
def safe_private() -> Mapping[tuple[str, str], SafePrivate]:
    """Private elements that stay, by (ggggxxee, creator): PS3.15 Table E.3.10-1 and what reading needs."""
    rows = load_table("confidentiality_profile.json")["safe_private"]
    return {(tag, creator): SafePrivate(vr, vm) for tag, creator, vr, vm in rows} | _NEEDED


def type_of(tag: BaseTag, sop_class: str, sequence: BaseTag | None = None) -> int | None:
    """1, 2 or 3: the Type of an attribute (PS3.3), conditions taken as met; None where it is not known.

    Args:
        tag: of the attribute.
        sop_class: UID of the data set's SOP class.
        sequence: whose item it stands in, whatever the SOP class; None at the top.
    """
    types = load_table("attribute_types.json")
    key = f"{tag:08x}"
    if sequence is not None:
        rank: int = types["nested"].get(f"{sequence:08x}/{key}", 3)
        return rank
    iod = types["classes"].get(sop_class)
    if iod is None:
        return None
    pattern = types["top"].get(key)
    return 3 if pattern is None else int(types["patterns"][pattern][iod])


def by_type(choices: str, kind: int | None) -> Action:
    """Resolve a combined action: X for Type 3, Z for Type 2, D (or U) for Type 1 (PS3.15 Table E.1-1a).

    Z leaves the choice of a value that says nothing: of U*, references to new UIDs, which others may ask for.
    An unknown Type takes the last of the choices, which names nobody as little as the others and fits any Type;
    but never U*, which keeps the items.

    >>> [by_type("X/Z/D", kind).value for kind in (3, 2, 1, None)]
    ['X', 'Z', 'D', 'D']
    >>> [by_type("X/Z/U*", kind).value for kind in (3, 2, 1, None)]
    ['X', 'U', 'U', 'X']
    """
    offered = choices.replace("*", "").split("/")
    if kind is None:
        return Action(offered[0] if "U" in offered[1:] else offered[-1])
    wanted = {3: ("X", "Z", "D", "U"), 2: ("U", "Z", "D", "X"), 1: ("D", "U", "Z", "X")}[kind]
    return Action(next(one for one in wanted if one in offered))


def find_attribute(tag: BaseTag) -> Attribute | None:
    """The row of a public tag in Table E.1-1; None where the standard has none."""
    found = profile().get(f"{tag:08x}")
    if found is None and tag.group >> 8 in (0x50, 0x60):  # PS3.5 7.6: repeating groups
        return Attribute("X", {})
    return found


def action_of(
    tag: BaseTag, options: Collection[Option], sop_class: str, *, date: bool, sequence: BaseTag | None = None
) -> Action | None:
    """What becomes of a public attribute; None where Table E.1-1 does not list it.

    Args:
        tag: of the attribute.
        options: that were asked for.
        sop_class: UID, by which combined actions are resolved.
        date: whether its VR is DA, DT or TM.
        sequence: whose item it stands in; None at the top.
    """
    row = find_attribute(tag)
    if row is None:
        return None
    basic = row.basic if "/" not in row.basic else by_type(row.basic, type_of(tag, sop_class, sequence))
    for option in _ORDER:
        if option not in options or option not in row.options:
            continue
        if option == Option.RETAIN_MODIFIED_DATES:
            return Action.CLEAN_DATE
        if row.options[option] == "K" and not date:  # under a keyed shift no date stays as it was
            return Action.KEEP
        if option in (Option.CLEAN_DESCRIPTORS, Option.RETAIN_PATIENT_CHARACTERISTICS) and not date:
            return Action.CLEAN_TEXT
    return Action(basic)


def fallback(tag: BaseTag, sop_class: str, sequence: BaseTag | None = None) -> Action:
    """What becomes of an attribute of which nothing can stay: as its Type allows.

    An unlisted attribute of unknown Type is removed.
    """
    row = find_attribute(tag)
    kind = type_of(tag, sop_class, sequence)
    if row is not None:
        return by_type(row.basic, kind) if row.basic in _COMBINED else Action(row.basic)
    return {1: Action.DUMMY, 2: Action.EMPTY}.get(kind or 3, Action.REMOVE)


_COMBINED = ("X/Z", "X/D", "X/Z/D", "Z/D", "X/Z/U*")


def private_key(tag: BaseTag, creator: str) -> tuple[str, str]:
    """How `safe_private` names a private element, in whichever block it stands.

    >>> private_key(BaseTag(0x0019100C), "SIEMENS MR HEADER ")
    ('0019xx0c', 'SIEMENS MR HEADER')
    """
    return f"{tag.group:04x}xx{tag.element & 0xFF:02x}", re.sub(r"[\s\0]+$", "", creator)
