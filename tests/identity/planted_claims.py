"""Identities where a file says that it was cleaned, or where a form is known: no more than that may be passed over."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from medsynth.identity.csa import cleaned_csa
from tests.identity.clean_files import clean_dicom, save
from tests.identity.planted_files import Plant


def claiming() -> FileDataset:
    """A file that says that all options were applied (PS3.16 CID 7050)."""
    dataset = clean_dicom()
    dataset.PatientIdentityRemoved, dataset.LongitudinalTemporalInformationModified = "YES", "MODIFIED"
    items = []
    for code in ("113100", "113105", "113107", "113108", "113109", "113111"):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", "Option"
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = Sequence(items)
    return dataset


def plants_under_claims() -> list[Plant]:
    """In elements that the options retain, and in private elements of known form."""
    return [*_public(), *_private()]


def _dicom(place: str, change: Callable[[FileDataset], Any]) -> Plant:
    def write(folder: Path) -> None:
        dataset = claiming()
        change(dataset)
        save(dataset, folder / "IM-0001.dcm")

    return Plant(f"{place}, all options claimed", write)


def _public() -> Iterator[Plant]:
    for keyword, value in (
        ("ReceiveCoilName", "Ottilie Quandt"),
        ("ReceiveCoilName", "VOSS^ADA"),
        ("TransmitCoilName", "83749201"),
        ("SoftwareVersions", "Ottilie"),
        ("SoftwareVersions", "Voss, Ada"),
        ("ManufacturerModelName", "Thandiwe"),
        ("Manufacturer", "Klinik Quandt"),
        ("StationName", "Voss^Ada"),
        ("DeviceSerialNumber", "quandt@klinik-nord.example"),
        ("AdditionalPatientHistory", "seen by Siobhan"),
        ("AdditionalPatientHistory", "first seen 3 May 1961"),
        ("PatientComments", "Thorax, 83749201"),
        ("ConversionType", "KENJI"),
        ("BodyPartExamined", "CSPINE QUANDT"),
        ("ImageType", ["DERIVED", "PRIMARY", "OTTILIE"]),
        ("SeriesNumber", "83749201"),
        ("ContextGroupVersion", "17110101"),
        ("FrameIncrementPointer", [0x7551, 0x61, 0x6E64746F]),
        ("PatientBirthDate", "19610503"),
        ("OperatorsName", "Voss^Ada"),
        ("InstitutionName", "Thorax"),
        ("PatientAge", "093Y"),
    ):
        if keyword == "FrameIncrementPointer":
            value = list(struct.unpack("<4I", b"quandt.ottilieab"))
        yield _dicom(f"{keyword} {len(str(value))}", lambda dataset, k=keyword, v=value: setattr(dataset, k, v))
    yield _dicom("padding", lambda dataset: dataset.add_new(0xFFFCFFFC, "OB", b"\0\0\1\0"))


def _private() -> Iterator[Plant]:
    for creator, group, element, vr, value in (
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "LO", "1000"),  # another VR than it has
        ("SIEMENS MR HEADER", 0x0021, 0x0C, "IS", "1000"),  # another group
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.1] * 4),  # too many values
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", "83749201"),
        ("SIEMENS MR HEADER", 0x0019, 0x0D, "CS", "QUANDT"),
        ("GEMS_ACQU_01", 0x0019, 0xBB, "DS", "83749201"),
        ("GEMS_PARM_01", 0x0043, 0x39, "IS", ["83749201", "1", "1", "1"]),
        ("GEMS_PARM_01", 0x0043, 0x6F, "DS", ["1", "2", "3", "5528190"]),
        ("Philips Imaging DD 001", 0x2001, 0x10, "CS", "OTTILIE"),
        ("Philips Imaging DD 001", 0x2001, 0x1A, "FL", list(struct.unpack("<3f", b"QuandtOttili"))),
        ("Philips Imaging DD 001", 0x2001, 0x7B, "IS", "83749201"),
        ("Philips MR Imaging DD 001", 0x2005, 0x0D, "FL", 83749200.0),
        ("Image Private Header", 0x0065, 0x37, "FD", list(struct.unpack("<3d", b"QuandtOttilieVossAdaKrue"))),
        ("ACME 1.1", 0x0019, 0x0C, "IS", "1000"),
    ):

        def change(
            dataset: FileDataset, where: tuple = (creator, group, element), vr: str = vr, v: Any = value
        ) -> None:
            dataset.private_block(where[1], where[0], create=True).add_new(where[2], vr, v)

        yield _dicom(f"private {creator} {group:04x}xx{element:02x} {vr} {len(str(value))}", change)
    item = Dataset()
    item.SeriesDescription = "Ottilie"
    yield _dicom(
        "in a private sequence of known form",
        lambda dataset: dataset.private_block(0x0065, "Image Private Header", create=True).add_new(0x51, "SQ", [item]),
    )
    plain = plain_csa()
    for place, header in (
        ("behind the end", plain + b"Ada "),
        ("behind a name", plain.replace(b"B_value\0\0\0\0\0\0\0\0", b"B_value\0Ottilie\0")),
        ("in a value", plain.replace(b"1000\0\0\0\0", b"100\0Ada\0")),
        ("in another entry", plain.replace(b"B_value".ljust(12, b"\0"), b"PatientID".ljust(12, b"\0"))),
        ("a long number", plain.replace(b"1000\0\0\0\0", b"1961053\0")),
    ):
        if header == plain:
            raise ValueError(f"nothing is planted {place}")
        yield _dicom(f"CSA header of numbers, {place}", lambda dataset, header=header: put_csa(dataset, header))


def plain_csa() -> bytes:
    """Siemens' header with one number."""
    value = b"1000\0\0\0\0"
    entry = struct.pack("<64si4siii", b"B_value", 1, b"IS", 0, 1, 77) + struct.pack("<4i", 5, 5, 77, 5) + value
    header = b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + entry
    assert cleaned_csa(header)
    return header


def put_csa(dataset: Dataset, header: bytes) -> None:
    """Siemens' header at its place."""
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
