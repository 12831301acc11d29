"""Two hundred invented identities, each planted at a place of its own in a file that names nobody otherwise."""

import struct
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.identity.clean_files import clean_dicom, nest, save
from tests.identity.planted_claims import plants_under_claims
from tests.identity.planted_disguised import plants_in_disguise
from tests.identity.planted_files import Plant, jpeg, plants_in_other_files
from tests.identity.planted_own import plants_in_own_files

NAMES = ("Quandt^Ottilie", "Voss^Ada^M", "Ngubane^Thandiwe", "O'Rourke^Siobhan", "Yamashita^Kenji", "Krüger^Jörg")
WORDS = ("Ottilie Quandt", "Thandiwe", "KENJI", "Herr Voss", "seen by Siobhan", "quandt,ottilie")
NUMBERS = ("83749201", "MRN 4482-119", "AC2210457", "552-81-9034", "0047-8812-6")
PLACES = (
    "14 Rosenweg, 79098 Freiburg",
    "220 Harbour Street",
    "quandt@klinik-nord.example",
    "+49 761 4402 118",
    "(617) 555-0182",
)


TEXTS = {
    "AE": ("KLINIKNORD_7", "VOSSPACS"),
    "AS": ("093Y", "101Y"),
    "CS": ("QUANDT", "KENJI_Y"),
    "DA": ("19610503", "20230117"),
    "DS": ("83749201", "5528190.34"),
    "DT": ("20230117101500", "196105"),
    "IS": ("83749201", "55281903"),
    "LO": (*NAMES[:2], *WORDS, *NUMBERS),
    "LT": (*PLACES, "first seen 3 May 1961"),
    "PN": NAMES,
    "SH": ("Ottilie", "83749201", "A0047881"),
    "ST": (*PLACES, WORDS[0]),
    "TM": ("101523.25", "0915"),
    "UC": (*WORDS[:2], PLACES[2]),
    "UI": ("1.2.276.0.99.4711.83749201.7", "1.3.12.2.1107.5.2.32.35135.20230117"),
    "UR": ("https://klinik-nord.example/pat/83749201",),
    "UT": ("report of Thandiwe Ngubane, 17.01.2023", PLACES[0]),
    "FD": (83749201.0,),
    "FL": (8374920.0,),
    "SL": (83749201,),
    "SV": (83749201553,),
    "UL": (83749201,),
    "UV": (83749201553,),
    "SS": tuple(struct.unpack("<7h", b"Quandt^Ottilie")),
    "US": tuple(struct.unpack("<7H", b"Quandt^Ottilie")),
    "OB": (b"Quandt^Ottilie", b"\1\2\0\3Thandiwe Ngubane\0\0\1"),
    "OW": (b"Quandt^Ottilie", "Ottilie Quandt".encode("utf-16-le")),
    "OF": (b"\0\0\x80\x3fQuandt^Ott\0\0",),
    "OD": (b"\0\0\0\0\0\0\x80\x3fQuandt^O",),
    "OL": (b"\1\0\0\0Quandt^Ott\0\0",),
    "OV": (b"\1\0\0\0\0\0\0\0Quandt^O",),
    "UN": (b"Quandt^Ottilie", b"17.01.2023"),
}
PUBLIC = {
    "AE": ("RetrieveAETitle", "StationAETitle"),
    "AS": ("PatientAge",),
    "CS": ("BodyPartExamined", "ScanOptions"),
    "DA": ("StudyDate", "PatientBirthDate", "DateOfLastCalibration"),
    "DS": ("PatientWeight", "SliceLocation"),
    "DT": ("AcquisitionDateTime", "FrameReferenceDateTime"),
    "IS": ("SeriesNumber", "InstanceNumber", "AcquisitionNumber"),
    "LO": (
        "PatientID",
        "InstitutionName",
        "SeriesDescription",
        "StudyDescription",
        "ProtocolName",
        "DeviceSerialNumber",
        "ManufacturerModelName",
        "ContrastBolusAgent",
        "RequestedProcedureDescription",
    ),
    "LT": ("AdditionalPatientHistory", "PatientComments", "AcquisitionComments"),
    "PN": ("PatientName", "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "RequestingPhysician"),
    "SH": ("AccessionNumber", "StationName", "StudyID", "SequenceName", "ConvolutionKernel"),
    "ST": ("InstitutionAddress", "DerivationDescription", "AcquisitionProtocolDescription"),
    "TM": ("StudyTime", "ContentTime"),
    "UC": ("LongCodeValue", "StrainDescription"),
    "UI": ("StudyInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"),
    "UR": ("RetrieveURL",),
    "UT": ("TextValue", "StrainAdditionalInformation"),
    "FD": ("TablePosition",),
    "FL": ("DistanceSourceToIsocenter",),
    "SL": ("ReferencePixelX0",),
    "SV": ("SelectorSVValue",),
    "UL": ("SimpleFrameList",),
    "UV": ("SelectorUVValue",),
    "SS": ("SelectorSSValue",),
    "US": ("SelectorUSValue",),
    "OB": ("EncapsulatedDocument", "ICCProfile"),
    "OW": ("RedPaletteColorLookupTableData", "SelectorOWValue"),
    "OF": ("VectorGridData",),
    "OD": ("DoublePointCoordinatesData",),
    "OL": ("TrackPointIndexList",),
    "OV": ("SelectorOVValue",),
    "UN": ("SelectorUNValue",),
}


def plants() -> list[Plant]:
    """All of them, always the same."""
    here = [*_elements(), *_private(), *_around(), *_compressed()]
    there = [*plants_in_other_files(), *plants_under_claims(), *plants_in_own_files(), *plants_in_disguise()]
    return [*here, *there]


def _dicom(place: str, change: Callable[[FileDataset], None]) -> Plant:
    def write(folder: Path) -> None:
        dataset = clean_dicom()
        change(dataset)
        save(dataset, folder / "IM-0001.dcm")

    return Plant(place, write)


def _raw(place: str, change: Callable[[bytes], bytes]) -> Plant:
    def write(folder: Path) -> None:
        path = save(clean_dicom(), folder / "IM-0001.dcm")
        path.write_bytes(change(path.read_bytes()))

    return Plant(place, write)


def _elements() -> Iterator[Plant]:
    """Each value representation, at the top, one sequence down and six down."""
    for vr, keywords in PUBLIC.items():
        values = cycle(TEXTS[vr])
        for number, keyword in enumerate(keywords):
            for depth in (0, 1, 6) if number == 0 else (0, 2) if number == 1 else (0,):
                value = list(TEXTS[vr]) if vr in ("SS", "US") else next(values)
                yield _dicom(f"{vr} {keyword} {depth} deep", _setter(keyword, vr, value, depth))


def _setter(keyword: str, vr: str, value: object, depth: int) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        item = nest(dataset, depth)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        item[Tag(keyword)] = DataElement(Tag(keyword), vr, value)

    return change


def _private() -> Iterator[Plant]:
    """Private elements of each value representation, and blobs like those of Siemens (CSA) that hold names."""
    for vr, values in TEXTS.items():
        value = list(values) if vr in ("SS", "US") else values[0]

        def change(dataset: FileDataset, vr: str = vr, value: object = value) -> None:
            block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            block.add_new(0x08, vr, value)

        yield _dicom(f"private {vr}", change)
    for number, name in enumerate(NAMES):

        def blob(dataset: FileDataset, name: str = name, depth: int = number % 3) -> None:
            block = nest(dataset, depth).private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            block.add_new(0x10, "OB", _csa("PatientName" if depth else "tPatientID", name))

        yield _dicom(f"CSA blob {number}", blob)
    yield _dicom(
        "private creator",
        lambda dataset: dataset.private_block(0x0099, "Klinik Quandt", create=True).add_new(1, "SH", "1"),
    )
    yield _dicom("name in a safe private element", _safe)
    yield _dicom("private sequence", _private_sequence)


def _safe(dataset: FileDataset) -> None:
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0D, "CS", "QUANDT")


def _private_sequence(dataset: FileDataset) -> None:
    item = Dataset()
    item.SeriesDescription = "Ottilie"
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x5F, "SQ", [item])


def _csa(name: str, value: str) -> bytes:
    """The form of Siemens' CSA headers: SV10, a list of named values in fields of fixed length."""
    text = value.encode("utf-8")
    entry = struct.pack("<64si4siii", name.encode(), 1, b"LO", 0, 6, 77)
    entry += struct.pack("<iiii", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)
    return b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + entry + bytes(4)


def _around() -> Iterator[Plant]:
    """Overlays, curves, preamble, file meta information, padding, and bytes that belong to no element."""
    name = b"Quandt^Ottilie"
    for keyword, vr, value in (
        (0x60003000, "OW", name + bytes(2)),
        (0x60003000, "OW", b"\x18\x24\x42\x81" * 4),
        (0x60000022, "LO", "Ottilie"),
        (0x60004000, "LT", "Voss, Ada"),
        (0x60001500, "LO", "83749201"),
        (0x50003000, "OW", name),
        (0x50000022, "LO", "Voss^Ada"),
        (0x50002500, "LO", "Thandiwe"),
        (0xFFFCFFFC, "OB", name),
        (0xFFFCFFFC, "OB", bytes(64) + name),
        (0x00081337, "LO", "Ottilie"),
    ):

        def change(dataset: FileDataset, tag: int = keyword, vr: str = vr, value: object = value) -> None:
            dataset.add_new(Tag(tag), vr, value)

        yield _dicom(f"{Tag(keyword)}", change)
    for keyword, value in (
        ("SourceApplicationEntityTitle", "KLINIKNORD"),
        ("SendingApplicationEntityTitle", "VOSSPACS"),
        ("ReceivingApplicationEntityTitle", "QUANDT_7"),
        ("ImplementationVersionName", "KLINIK_NORD"),
        ("ImplementationClassUID", "1.2.276.0.99.4711.83749201"),
        ("PrivateInformation", name),
        ("MediaStorageSOPInstanceUID", "1.2.276.0.99.4711.83749201"),
        ("SourcePresentationAddress", "https://klinik-nord.example"),
    ):

        def meta(dataset: FileDataset, keyword: str = keyword, value: object = value) -> None:
            if keyword == "PrivateInformation":
                dataset.file_meta.PrivateInformationCreatorUID = "2.25.7"
            setattr(dataset.file_meta, keyword, value)
            if keyword == "MediaStorageSOPInstanceUID":
                dataset.SOPInstanceUID = value

        yield _dicom(f"file meta {keyword}", meta)
    yield _raw("preamble", lambda raw: name + raw[len(name) :])
    yield _raw("preamble, its end", lambda raw: raw[:100] + b"19610503 Ottilie".ljust(28, b"\0") + raw[128:])
    yield _raw("six bytes behind the end", lambda raw: raw + b"QUANDT")
    yield _raw("an element cut short behind the end", lambda raw: raw + b"\xfc\xff\xfc\xffOB\0\0\x40\0\0\0" + name)
    yield _dicom("behind the pixels", lambda dataset: setattr(dataset, "PixelData", dataset.PixelData + name))
    yield _dicom(
        "zeros and a name behind the pixels",
        lambda dataset: setattr(dataset, "PixelData", dataset.PixelData + bytes(64) + name),
    )
    yield _dicom("behind a NUL in a value", lambda dataset: setattr(dataset, "SeriesDescription", "Thorax\0Ottilie"))
    yield _dicom("burned in, it says", lambda dataset: setattr(dataset, "BurnedInAnnotation", "YES"))
    yield _dicom("recognizable, it says", lambda dataset: setattr(dataset, "RecognizableVisualFeatures", "YES"))
    yield _dicom("icon with a name behind its pixels", _icon)


def _icon(dataset: FileDataset) -> None:
    item = Dataset()
    item.SamplesPerPixel, item.PhotometricInterpretation, item.Rows, item.Columns = 1, "MONOCHROME2", 4, 4
    item.BitsAllocated = item.BitsStored = 8
    item.HighBit, item.PixelRepresentation = 7, 0
    item.PixelData = bytes(range(16)) + b"Quandt^Ottilie"
    dataset.IconImageSequence = [item]


def _compressed() -> Iterator[Plant]:
    for comment in (b"Quandt^Ottilie", b"scan of 17.01.2023", b"\x01\x02\x00Thandiwe Ngubane"):

        def change(dataset: FileDataset, comment: bytes = comment) -> None:
            dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
            dataset.BitsAllocated = dataset.BitsStored = 8
            dataset.HighBit = 7
            dataset.PixelData = encapsulate([jpeg(comment)])
            dataset["PixelData"].VR = "OB"

        yield _dicom(f"comment in a JPEG frame, {len(comment)} bytes", change)

    def deflated(folder: Path, behind: bytes, name: str) -> None:
        dataset = clean_dicom()
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if name:
            dataset.OperatorsName = name
        path = save(dataset, folder / "IM-0001.dcm")
        path.write_bytes(path.read_bytes() + behind)

    yield Plant("deflated", lambda folder: deflated(folder, b"", "Voss^Ada"))
    yield Plant("behind a deflated stream", lambda folder: deflated(folder, b"Quandt^Ottilie", ""))
