"""Siemens' CSA image header with the few numbers that reading needs, and nothing else.

The header is a table of named entries (nibabel reads it); it holds names, dates and whole protocols beside numbers.
It is not cleaned but written anew, in the form that begins with SV10.
"""

import re
import struct
import warnings
from collections.abc import Mapping, Sequence

_NUMBERS = {  # how many values each has at most, and the VR that it is given
    "NumberOfImagesInMosaic": (1, "US"),
    "SliceNormalVector": (3, "FD"),
    "PhaseEncodingDirectionPositive": (1, "IS"),
    "BandwidthPerPixelPhaseEncode": (1, "FD"),
    "B_value": (1, "IS"),
    "DiffusionGradientDirection": (3, "FD"),
    "B_matrix": (6, "FD"),
    "MosaicRefAcqTimes": (256, "FD"),
    "ProtocolSliceNumber": (1, "IS"),
}
_NUMBER = re.compile(r"[+-]?\d{1,6}(\.\d{1,12})?([eE][+-]?\d{1,3})?")
_MARK, _ITEM = 77, 205


def cleaned_csa(header: bytes) -> bytes:
    """A CSA image header of the known numbers of another; empty where there are none or it is not understood.

    >>> cleaned_csa(b"SV10 somebody's name")
    b''
    """
    found = {name: values for name, values in _read(header).items() if values}
    return _write(found) if found else b""


def _read(header: bytes) -> Mapping[str, Sequence[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its DICOM part experimental
        from nibabel.nicom import csareader

        try:
            tags = csareader.read(header)["tags"]
        except Exception:  # a parser fed with any bytes fails in any way
            return {}
    found = {}
    for name, (most, _) in _NUMBERS.items():
        texts = [str(item).strip(" \0") for item in (tags.get(name) or {}).get("items") or []]
        if 0 < len(texts) <= most and all(_NUMBER.fullmatch(text) for text in texts):
            found[name] = texts
    return found


def _write(entries: Mapping[str, Sequence[str]]) -> bytes:
    parts = [b"SV10", b"\4\3\2\1", struct.pack("<II", len(entries), _MARK)]
    for name, texts in entries.items():
        vr = _NUMBERS[name][1].encode()
        parts.append(struct.pack("<64si4siii", name.encode(), len(texts), vr, 0, len(texts), _ITEM))
        for text in texts:
            value = text.encode() + b"\0"
            parts.append(struct.pack("<4i", len(value), len(value), _MARK, len(value)))
            parts.append(value + b"\0" * (-len(value) % 4))
    whole = b"".join(parts)
    return whole + b"\0" * (-len(whole) % 4)
