"""Private elements that stay: those of the standard's safe list and what reading needs, by creator and meaning."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag

from medsynth.data.dicom_mosaic import is_mosaic, mosaic_tiles
from medsynth.errors import MedsynthError
from medsynth.identity.confidentiality import SafePrivate, private_key, safe_private
from medsynth.identity.csa import cleaned_csa
from medsynth.identity.plain_words import plain_code
from medsynth.identity.values import checked_numbers, is_long, one_or_more, spells, texts

_CSA = (("0029xx10", "SIEMENS CSA HEADER"),)
# Where a file lost its creators, a number of known place and form still is what its maker means by it.
_MAKERS = {
    "GE": ("GEMS_PARM_01", "GEMS_ACQU_01"),
    "SIEMENS": ("SIEMENS MR HEADER",),
    "PHILIPS": ("Philips Imaging DD 001", "Philips MR Imaging DD 001"),
    "UIH": ("Image Private Header",),
}
_BINARY = {"US": "<u2", "SS": "<i2", "UL": "<u4", "SL": "<i4", "FL": "<f4", "FD": "<f8"}
_MOSAIC_COUNT = 0x0019100A


def kept_private(
    dataset: Dataset, maker: str, clean_items: Callable[[BaseTag, Sequence[Dataset]], list[Dataset]]
) -> list[DataElement]:
    """The private elements of `dataset` that stay, at their places, with the creators of their blocks.

    A block is known by its creator, never by its place; only numbers and code strings of the right form stay (PS3.15
    E.3.10). Siemens' CSA header is written anew. A mosaic keeps the count of its slices, wherever it was told.

    Args:
        dataset: one level.
        maker: Manufacturer of the file, for blocks without any creator.
        clean_items: cleans the items of the sequence of that tag.
    """
    found: dict[BaseTag, DataElement] = {}
    for tag in sorted(tag for tag in list(dataset.keys()) if tag.is_private and tag.element >= 0x1000):
        try:
            element = dataset[tag]
            creator = _creator(dataset, element, maker)
            kept = None if creator is None else _kept(element, private_key(tag, creator), clean_items)
        except Exception:  # values are parsed when asked for, and broken ones fail in any way
            continue
        if kept is not None and creator is not None:
            found[tag] = kept
            block = Tag(tag.group, tag.element >> 8)
            found[block] = DataElement(block, "LO", private_key(tag, creator)[1])
    return list((found | _mosaic_count(dataset, found)).values())


def _creator(dataset: Dataset, element: DataElement, maker: str) -> str | None:
    tag = element.tag
    named = dataset.get(Tag(tag.group, tag.element >> 8))
    if named is not None:
        return named.value if isinstance(named.value, str) else None
    if tag.element >> 8 != 0x10:
        return None
    for start, creators in _MAKERS.items():
        for creator in creators:
            spec = safe_private().get(private_key(tag, creator))
            if maker.upper().startswith(start) and spec is not None and spec.vr == element.VR:
                return creator
    return None


def _kept(
    element: DataElement, key: tuple[str, str], clean_items: Callable[[BaseTag, Sequence[Dataset]], list[Dataset]]
) -> DataElement | None:
    if key in _CSA and isinstance(element.value, bytes):
        header = cleaned_csa(element.value)
        return DataElement(element.tag, "OB", header) if header else None
    spec = safe_private().get(key)
    if spec is None:
        return None
    if spec.vr == "SQ":
        return (
            DataElement(element.tag, "SQ", Items(clean_items(element.tag, element.value)))
            if element.VR == "SQ"
            else None
        )
    values = _values(_as_known(element, spec), spec)
    return DataElement(element.tag, spec.vr, one_or_more(values)) if values else None


def _as_known(element: DataElement, spec: SafePrivate) -> DataElement:
    """An element whose VR the file does not tell, read by the VR that the table tells."""
    if element.VR != "UN" or not isinstance(element.value, bytes):
        return element
    if spec.vr in _BINARY:
        values: list[Any] = np.frombuffer(element.value, _BINARY[spec.vr]).tolist()
    else:
        values = element.value.decode("ascii").strip(" \0").split("\\")
    return DataElement(element.tag, spec.vr, one_or_more(values))


def _values(element: DataElement, spec: SafePrivate) -> list[Any] | None:
    if spec.vr != element.VR:
        return None
    if spec.vr == "CS":
        return [plain_code(text) for text in texts(element)] if all(map(plain_code, texts(element))) else None
    values = checked_numbers(element, spec.vr, spec.vm)
    if not values or spells(values, spec.vr) or any(is_long(value) and not _is_packed(value, spec) for value in values):
        return None
    return values


def _is_packed(value: Any, spec: SafePrivate) -> bool:
    """General Electric's b-value with a billion added to it, or flags in the upper half of a number."""
    whole = int(value) if spec == SafePrivate("IS", "4") else 1
    return whole % 2**16 == 0 or 10**9 <= whole <= 10**9 + 10**5


def _mosaic_count(dataset: Dataset, found: Mapping[BaseTag, DataElement]) -> dict[BaseTag, DataElement]:
    """Siemens' number of images in a mosaic, which may stand in a protocol that does not stay."""
    count, creator = Tag(_MOSAIC_COUNT), Tag(0x0019, 0x0010)
    taken = found.get(creator)
    if count in found or (taken is not None and taken.value != "SIEMENS MR HEADER") or not is_mosaic(dataset):
        return {}
    try:
        number = len(mosaic_tiles(dataset))
    except (MedsynthError, AttributeError, TypeError, ValueError):
        return {}
    if any(tag.group == 0x0065 for tag in found) or not str(dataset.get("Manufacturer", "")).upper().startswith("SIEM"):
        return {}
    return {creator: DataElement(creator, "LO", "SIEMENS MR HEADER"), count: DataElement(count, "US", number)}
