"""Tokens that stand for identities, planted all over a DICOM file, and looked for as bytes."""

import copy
from collections.abc import Iterable, Sequence
from io import BytesIO

import pydicom
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from medsynth.identity.confidentiality import ALL_OPTIONS, Action, action_of, find_attribute, profile

BINARY = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "UV": 8, "SV": 8, "OB": 1, "OW": 2, "OF": 4,
          "OD": 8, "OL": 4, "OV": 8, "UN": 1}  # fmt: skip
DEVICE = {0x00080070, 0x00081090, 0x00181020, 0x00181016, 0x00181018, 0x00181019, 0x00185010, 0x00181250, 0x00181251,
          0x00189041, 0x00189050, 0x00189047}  # fmt: skip
"""What Retain Device Identity keeps without a row in the table."""


class Planter:
    """Hands out tokens and remembers them; `dates` are dates that must not stay as they are."""

    def __init__(self) -> None:
        self.tokens: list[bytes] = []

    def text(self, longest: int = 64, upper: bool = False) -> bytes:
        token = f"Zq{len(self.tokens):04d}Wkjx"[:longest].encode()
        token = token.upper() if upper else token
        self.tokens.append(token)
        return token

    def uid(self) -> bytes:
        token = f"1.2.826.0.1.3680043.9.{len(self.tokens):06d}.77".encode()
        self.tokens.append(token)
        return token

    def date(self) -> bytes:
        number = len(self.tokens)
        token = f"1871{1 + number // 28 % 12:02d}{1 + number % 28:02d}".encode()
        if token not in self.tokens:
            self.tokens.append(token)
        return token

    def value(self, vr: str) -> bytes:
        """The bytes of a value of that VR, right or not, that hold a token."""
        if vr == "UI":
            return _even(self.uid(), b"\0")
        if vr in ("DA", "DT"):
            return self.date() + (b"101010" if vr == "DT" else b"")
        if vr in BINARY:
            token = self.text()
            size = max(BINARY[vr] * 4, 16)
            return token + b"\0" * (-len(token) % size)
        return _even(self.text(upper=vr in ("CS", "AE")), b" ")


def _even(value: bytes, pad: bytes) -> bytes:
    return value + pad * (len(value) % 2)


def put(dataset: Dataset, tag: int, vr: str, value: bytes, little: bool = True) -> None:
    """Bytes under a tag, whatever the VR thinks of them."""
    dataset[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, little)


def plant_in_listed(dataset: Dataset, planter: Planter) -> None:
    """In every attribute of Table E.1-1 that the options do not retain."""
    for key in profile():
        if "x" in key or key.startswith("fff") or int(key[:4], 16) < 8:  # those come later
            continue
        tag = Tag(int(key, 16))
        vr = dictionary_VR(tag).split(" ")[0] if dictionary_has_tag(tag) else "LO"
        if action_of(tag, ALL_OPTIONS, str(dataset.SOPClassUID), date=vr in ("DA", "DT", "TM")) == Action.KEEP:
            continue
        if vr == "SQ":
            dataset.add(DataElement(tag, "SQ", Items([person(planter)])))
        else:
            put(dataset, tag, vr, planter.value(vr))


def plant_in_unlisted(dataset: Dataset, planter: Planter, each: int = 4) -> None:
    """In public attributes of every VR that the table does not list and the data set does not have."""
    left: dict[str, int] = {}
    for number, (vr, vm, *_) in sorted(DicomDictionary.items()):
        tag, kind = Tag(number), vr.split(" ")[0]
        free = (
            find_attribute(tag) is None
            and tag not in dataset
            and number not in DEVICE
            and tag.group not in (0x28, 0x7FE0)
        )
        one = vm == "1" or kind not in BINARY or kind[0] == "O"
        if free and one and tag.group > 8 and left.get(kind, 0) < each and kind not in ("DA", "NONE"):
            left[kind] = left.get(kind, 0) + 1
            if kind == "SQ":
                dataset.add(DataElement(tag, "SQ", Items([person(planter), code(planter)])))
            else:
                put(dataset, tag, kind, planter.value(kind))


def person(planter: Planter) -> Dataset:
    """An item that names somebody, three levels deep and in private elements too."""
    inner, middle, outer = Dataset(), Dataset(), Dataset()
    put(inner, 0x00100010, "PN", planter.value("PN"))
    put(inner, 0x00080080, "LO", planter.value("LO"))
    put(inner, 0x00090010, "LO", b"ACME 1.1")
    put(inner, 0x00091001, "UN", planter.value("UN"))
    middle.add(DataElement(0x0040A730, "SQ", Items([inner])))
    put(middle, 0x0040A160, "UT", planter.value("UT"))
    put(middle, 0x7FE00010, "OB", planter.value("OB"))
    outer.add(DataElement(0x00081115, "SQ", Items([middle])))
    put(outer, 0x00081155, "UI", planter.value("UI"))
    return outer


def code(planter: Planter) -> Dataset:
    """A coded concept of nobody's scheme, and one of the standard's with a meaning of its own."""
    item = Dataset()
    put(item, 0x00080100, "SH", b"113100")
    put(item, 0x00080102, "SH", b"DCM ")
    put(item, 0x00080104, "LO", planter.value("LO"))
    put(item, 0x00080103, "SH", planter.value("SH"))
    return item


def plant_in_private(dataset: Dataset, planter: Planter) -> None:
    """Unknown and known creators, creators that are names themselves, blobs like Siemens' and none at all."""
    put(dataset, 0x00090010, "LO", planter.value("LO"))
    put(dataset, 0x00090011, "LO", b"ACME 1.1")
    for element, vr in enumerate(
        ("LO", "PN", "UN", "OB", "FD", "FL", "US", "SL", "DS", "IS", "DA", "UI", "LT", "OW", "AT")
    ):
        put(dataset, 0x00091101 + element, vr, planter.value(vr))
        put(dataset, 0x00BB1001 + element, vr, planter.value(vr))  # without creator
    dataset.add(DataElement(0x00091140, "SQ", Items([person(planter)])))
    put(dataset, 0x00190030, "LO", b"SIEMENS MR HEADER ")
    put(dataset, 0x0019300C, "IS", planter.value("IS"))
    put(dataset, 0x0019300D, "CS", planter.value("CS"))
    put(dataset, 0x0019300E, "FD", planter.value("FD"))
    put(dataset, 0x00190031, "LO", b"GEMS_ACQU_01")
    put(dataset, 0x00193123, "DS", planter.value("DS"))
    put(dataset, 0x0019319E, "LO", planter.value("LO"))
    put(dataset, 0x00290030, "LO", b"SIEMENS CSA HEADER")
    name = planter.value("LO")
    put(dataset, 0x00293010, "OB", csa({"PatientName": [name.decode().strip()], "B_value": ["1000"]}))
    put(dataset, 0x00293020, "OB", csa({"MrProtocol": [planter.value("LT").decode()]}) + planter.value("UN"))
    put(dataset, 0x00293008, "CS", planter.value("CS"))


def csa(entries: dict[str, Sequence[str]]) -> bytes:
    """A CSA header as Siemens writes it."""
    parts = [b"SV10\4\3\2\1", len(entries).to_bytes(4, "little"), (77).to_bytes(4, "little")]
    for name, values in entries.items():
        numbers = [len(values), 0, len(values), 77]
        parts += [name.encode().ljust(64, b"\0"), numbers[0].to_bytes(4, "little"), b"LO\0\0"]
        parts += [number.to_bytes(4, "little") for number in numbers[1:]]
        for value in values:
            raw = value.encode() + b"\0"
            parts += [number.to_bytes(4, "little") for number in (len(raw), len(raw), 77, len(raw))]
            parts.append(raw + b"\0" * (-len(raw) % 4))
    return b"".join(parts)


def plant_in_groups(dataset: Dataset, planter: Planter) -> None:
    """Overlays, curves, and what stands behind the pixels."""
    for group in (0x6000, 0x6002, 0x601E):
        for element, vr in ((0x3000, "OW"), (0x4000, "LT"), (0x0022, "LO"), (0x1500, "LO")):
            put(dataset, group << 16 | element, vr, planter.value(vr))
    for element, vr in ((0x3000, "OW"), (0x0022, "LO"), (0x2500, "LO")):
        put(dataset, 0x5000 << 16 | element, vr, planter.value(vr))
    put(dataset, 0xFFFCFFFC, "OB", planter.value("OB"))
    signature = Dataset()
    put(signature, 0x04000110, "CS", planter.value("CS"))
    put(signature, 0x04000120, "OB", planter.value("OB"))
    dataset.add(DataElement(0xFFFAFFFA, "SQ", Items([signature])))


def plant_in_pixels(dataset: Dataset, planter: Planter) -> None:
    """Bytes behind the last pixel of native pixels, and in a look-up table."""
    if "PixelData" in dataset and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.PixelData = dataset.PixelData + planter.value("OB")
    table = Dataset()
    put(table, 0x00283002, "US", (4).to_bytes(2, "little") + b"\0\0\x10\0")
    put(table, 0x00283006, "OW", bytes(range(8)) + planter.value("OW"))
    put(table, 0x00283003, "LO", planter.value("LO"))
    dataset.add(DataElement(0x00283010, "SQ", Items([table])))


def planted_file(source: FileDataset) -> tuple[bytes, list[bytes]]:
    """The bytes of a file full of tokens, and the tokens."""
    planter = Planter()
    dataset = copy.deepcopy(source)
    plant_in_pixels(dataset, planter)
    plant_in_listed(dataset, planter)
    plant_in_unlisted(dataset, planter)
    plant_in_private(dataset, planter)
    plant_in_groups(dataset, planter)
    dataset.preamble = planter.text().ljust(128, b"\0")
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = planter.text(upper=True).decode()
    meta.SendingApplicationEntityTitle = planter.text(upper=True).decode()
    meta.ImplementationVersionName = planter.text(upper=True).decode()
    meta.PrivateInformationCreatorUID = planter.uid().decode()
    meta.PrivateInformation = planter.value("OB")
    file = BytesIO()
    implicit, little = dataset.original_encoding
    pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=little, force_encoding=True)
    end = planter.text()
    return file.getvalue() + b"\0" * 8 + end * 3, planter.tokens


def found_in(content: bytes, tokens: Iterable[bytes]) -> list[bytes]:
    """The tokens that occur among the bytes: as they are, in other letters, in UTF-16, in swapped words."""
    lower = content.lower()
    wide = "".join(
        content[start:].decode(kind, "replace").lower() for start in (0, 1) for kind in ("utf-16-le", "utf-16-be")
    )
    return [
        token
        for token in tokens
        if token.lower() in lower
        or token.decode().lower() in wide
        or any(_swapped(token, size) in content for size in (2, 4, 8))
    ]


def _swapped(token: bytes, size: int) -> bytes:
    """Its whole words of that size, each back to front."""
    return b"".join(token[place : place + size][::-1] for place in range(0, len(token) - size + 1, size))
