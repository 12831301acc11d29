"""How samples become DICOM objects: the choices, valid once made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from medsynth.errors import MedsynthError
from medsynth.geometry import Plane
from medsynth.records import Channel

EXPORTER = "medsynth.dicom/3"
"""In every UID: another number where the same sample and settings give other objects."""
Kind = Literal["CT", "MR", "PT", "CR", "DX", "SC"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VOLUMES: tuple[Kind, ...] = ("CT", "MR", "PT")
"""Kinds whose objects have a place in the patient; the others are pictures."""
_BY_UNITS: Mapping[str, Kind] = {"HU": "CT", "arbitrary": "MR", "SUV": "PT", "Bq/ml": "PT", "grey": "SC"}
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\Z")
_ORIENTATION = re.compile(r"[APLRHF]{1,3}\Z")
Compression = Literal["none", "rle", "jpeg-ls"]


@dataclass(frozen=True)
class DicomSettings:
    """What the records do not say.

    Args:
        modality: kind of object by channel ("CT", "MR", "PT", "CR", "DX", "SC"), where neither the channel's
            modality nor its units tell, or tell it wrong; None for none.
        plane: of the slices; "native" is that of the sample's third axis.
        compression: of images, without loss; segmentations hold one bit a pixel and stay as they are.
        date: YYYYMMDD, of study, series and content: no clock is read and no real date is known.
        orientation: where the rows and the columns of a DX run to, letters of A, P, L, R, H and F (PS3.3 C.7.6.1.1.1).

    Raises:
        MedsynthError: a kind, plane, compression or date that there is not.
    """

    modality: Mapping[str, str] | None = None
    plane: Plane = "native"
    compression: Compression = "none"
    date: str = "19000101"
    orientation: tuple[str, str] = ("L", "F")

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", MappingProxyType(dict(self.modality or {})))
        unknown = sorted(set(self.modalities.values()) - set(KINDS))
        if unknown:
            raise MedsynthError(f"dicom.modality: {', '.join(unknown)} is none of {', '.join(KINDS)}")
        for name, known in (("plane", Plane), ("compression", Compression)):
            if getattr(self, name) not in get_args(known):
                raise MedsynthError(f"dicom.{name} is one of {', '.join(get_args(known))}")
        if not _DATE.match(self.date):
            raise MedsynthError("dicom.date is eight digits, year, month and day: 19000101")

        if not all(_ORIENTATION.match(letters) for letters in self.orientation):
            raise MedsynthError("dicom.orientation is two words of the letters A, P, L, R, H and F: [L, F]")

    @property
    def modalities(self) -> Mapping[str, str]:
        """Kind of object by channel, as far as it is set."""
        return self.modality or {}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "modality": dict(self.modalities),
            "plane": self.plane,
            "compression": self.compression,
            "date": self.date,
            "orientation": list(self.orientation),
        }


def kind_of(name: str, channel: Channel, slices: int, settings: DicomSettings) -> Kind:
    """Which kind of object a channel becomes: as set, else by its modality, else by its units.

    Raises:
        MedsynthError: a volume that would be pictures, units that tell nothing.
    """
    told = settings.modalities.get(name) or (channel.modality if channel.modality in KINDS else None)
    kind = told or _BY_UNITS.get(channel.units)
    ways = f"set dicom.modality='{{{name}: MR}}' (or another of {', '.join(KINDS)})"
    if kind is None:
        raise MedsynthError(f"channel {name}: its units do not tell which DICOM object it becomes; {ways}")
    if slices > 1 and kind not in VOLUMES:
        raise MedsynthError(f"channel {name} is a volume and would become {kind}, which is a picture; {ways}")
    return next(one for one in KINDS if one == kind)
