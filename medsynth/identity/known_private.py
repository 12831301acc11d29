"""Private elements of which it is known what they hold: numbers and codes of the acquisition, in one form each.

The checker's own table, apart from the one that removal keeps elements by. Its rows are those of PS3.15 Table E.3.10-1
that hold numbers or code strings; `_NEEDED` has what readers of geometry and diffusion take beside them (pydicom,
dcm2niix and nibabel name them alike). A row says nothing of a value: each is still judged.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from pydicom.tag import BaseTag


class Form(NamedTuple):
    """VR of a private element, and how many values it may have at least and at most."""

    vr: str
    least: int
    most: int


# Creator: group: element VR, or element VR and number of values; a span of elements has one form.
_STANDARD = """
SIEMENS MR HEADER: 0019: 0c IS, 0d CS, 0e FD 3, 27 FD 6
SIEMENS Ultrasound SC2000: 0119: 05-08 UL, 09 SS, 13 IS
SIEMENS Ultrasound SC2000: 0129: 30 CS
SIEMENS Ultrasound SC2000: 0139: 01 SL
SIEMENS Ultrasound SC2000: 0149: 01-03 FD n
GEMS_ACQU_01: 0019: 23-24 DS, 27 DS
GEMS_SERS_01: 0025: 07 SL
GEMS_PARM_01: 0043: 39 IS 4, 6f DS 3-4
GEMS_HELIOS_01: 0045: 01 SS, 02 FL
GEIIS PACS: 0903: 10-12 US
ELSCINT1: 00e1: 21 DS, 50 DS
ELSCINT1: 01e1: 26 CS
ELSCINT1: 01f1: 01 CS, 07 DS, 26-27 DS
NQHeader: 0099: 04 SS, 10 FL, 21 FL
NQLeft: 0199: 01-16 FL
NQRight: 0299: 01-16 FL
Philips Imaging DD 001: 2001: 01 FL, 02 IS, 03 FL, 04 CS, 06-07 CS, 08 IS, 09 FL, 0a IS, 0b-0c CS, 0e CS, 10 CS, 11 FL
Philips Imaging DD 001: 2001: 12 CS, 19 CS, 1a FL 3, 1b FL, 1c CS, 1d IS, 1e-1f CS, 21 CS, 22 FL, 23 DS, 24 CS, 26 CS
Philips Imaging DD 001: 2001: 2d SS, 32 FL, 33 CS, 35 SS, 36 CS, 46 CS, 47 FL, 48 SS, 4b-4e CS, 55-56 CS, 61-63 CS
Philips Imaging DD 001: 2001: 77 CS, 7a FL, 7b IS, 81-82 IS, 83-85 DS, 86 IS, 88-8a DS, 9f US 2, a3 UL, cb IS, f1 FL 6
Philips Imaging DD 001: 2001: f2 FL n
Philips MR Imaging DD 001: 2005: 0d-0e FL
Philips PET Private Group: 7053: 00 DS, 09 DS
"""
_NEEDED = """
SIEMENS MR HEADER: 0019: 0a US
GEMS_ACQU_01: 0019: bb-bd DS
Philips MR Imaging DD 001: 2005: b0-b2 FL
Image Private Header: 0065: 09 FD, 37 FD 3, 51 SQ
"""
_ROW = re.compile(r"([0-9a-f]{2})(?:-([0-9a-f]{2}))? ([A-Z]{2})(?: (\d+|n)(?:-(\d+))?)?")
_MANY = 4096
PACKED = ("GEMS_PARM_01", 0x39)
"""General Electric's b-value, to which it adds a billion, beside flags in the upper half of a number."""
CSA = (0x0029, "SIEMENS CSA HEADER", 0x10)
"""Where Siemens' image header stands: group, creator, element."""
_CSA_NUMBERS = frozenset(
    b"NumberOfImagesInMosaic SliceNormalVector PhaseEncodingDirectionPositive BandwidthPerPixelPhaseEncode B_value"
    b" DiffusionGradientDirection B_matrix MosaicRefAcqTimes ProtocolSliceNumber".split()
)
_CSA_NUMBER = re.compile(rb"[+-]?\d{1,6}(\.\d{1,12})?([eE][+-]?\d{1,3})? *\0*")
_CSA_START, _CSA_ENTRY, _CSA_ITEM = struct.Struct("<8sII"), struct.Struct("<64si4siii"), struct.Struct("<4i")


@cache
def known_forms() -> Mapping[tuple[str, int, int], Form]:
    """Forms by creator, group and the last byte of the element.

    >>> known_forms()["SIEMENS MR HEADER", 0x0019, 0x0C]
    Form(vr='IS', least=1, most=1)
    """
    return dict(_rows(_STANDARD + _NEEDED))


def known_form(tag: BaseTag, creator: str) -> Form | None:
    """Form of a private element by its creator, in whichever block it stands; None for any other."""
    return known_forms().get((creator.strip(" \0"), tag.group, tag.element & 0xFF))


def is_plain_csa(header: bytes) -> bool:
    """Whether a Siemens CSA header (form SV10) holds numbers of known names and not one byte beside them.

    >>> is_plain_csa(b"SV10 somebody's name")
    False
    """
    try:
        start, count, mark = _CSA_START.unpack_from(header)
        if start != b"SV10\4\3\2\1" or mark != 77:
            return False
        at = _CSA_START.size
        for _ in range(count):
            at = _csa_entry(header, at)
    except (struct.error, ValueError):
        return False
    return not any(header[at:])


def _csa_entry(header: bytes, at: int) -> int:
    """Where the next entry begins.

    Raises:
        ValueError: it is no number of a known name, or has bytes that nothing tells the meaning of.
        struct.error: the header ends in it.
    """
    name, many, vr, kind, items, mark = _CSA_ENTRY.unpack_from(header, at)
    if name.rstrip(b"\0") not in _CSA_NUMBERS or vr.rstrip(b"\0") not in (b"US", b"FD", b"IS", b"DS", b"UL", b"SL"):
        raise ValueError
    if not (0 <= many <= items <= _MANY and 0 <= kind < 32 and mark in (77, 205)):
        raise ValueError
    at += _CSA_ENTRY.size
    for _ in range(items):
        sizes = _CSA_ITEM.unpack_from(header, at)
        length, at = sizes[1], at + _CSA_ITEM.size
        value = header[at : at + length + -length % 4]
        if not 0 <= length <= 64 or any(size not in (length, 77) for size in sizes):
            raise ValueError
        if any(value) and not _CSA_NUMBER.fullmatch(value):
            raise ValueError
        at += len(value)
    return at


def _rows(table: str) -> Iterator[tuple[tuple[str, int, int], Form]]:
    for line in filter(None, table.splitlines()):
        creator, group, rows = line.split(": ")
        for row in rows.split(", "):
            first, last, vr, least, most = _ROW.fullmatch(row).groups()  # type: ignore[union-attr]
            few = 1 if least in (None, "n") else int(least)
            many = _MANY if least == "n" else int(most or few)
            for element in range(int(first, 16), int(last or first, 16) + 1):
                yield (creator, int(group, 16), element), Form(vr, few, many)
