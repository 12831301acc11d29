"""Identities where the parts of a format do not look: wrong representations, lengths and ends."""

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from medsynth.data.dicom_file import quiet
from medsynth.identity.check import Checker, check
from medsynth.identity.finding import Finding
from medsynth.identity.known_identifiers import KnownIdentifiers
from medsynth.identity.vocabulary import known_meanings
from tests.identity.clean_files import clean_dicom, clean_nifti

NAME = b"Ottilie Vossberg"
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def found(folder: Path, name: str, content: bytes, known: tuple[str, ...] = ()) -> list[Finding]:
    (folder / name).write_bytes(content)
    return Checker(KnownIdentifiers(known), faces=False).file(folder / name, PurePosixPath(name)).findings


def written(dataset: FileDataset) -> bytes:
    file = io.BytesIO()
    with quiet():
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def put(dataset: Dataset, tag: int, vr: str, value: bytes) -> None:
    dataset[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00100020, "UL", struct.pack("<I", 493027)),
        (0x00100020, "TM", b"000000"),
        (0x00080050, "DS", b"493027"),
        (0x00081070, "LO", b"Li Wu "),
        (0x00100030, "LO", b"1961"),
        (0x00100010, "AS", b"045Y"),
        (0x00101030, "OB", b"Vossen"),
        (0x00101030, "DS", b"83_74_92.0"),
        (0x00081030, "LO", b"\x1b$B;3ED\x1b(B"),
        (0x0020000D, "UI", b"2.25.19610503\0"),
    ],
)
def test_an_element_means_what_the_dictionary_says(tag: int, vr: str, value: bytes, tmp_path: Path) -> None:
    dataset = clean_dicom()
    put(dataset, tag, vr, value)
    assert found(tmp_path, "IM-0001.dcm", written(dataset))


def test_letters_of_another_set_in_an_item(tmp_path: Path) -> None:
    dataset, item = clean_dicom(), Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    put(item, 0x00081030, "LO", b"\x1b$B;3ED\x1b(B")
    dataset.RelatedSeriesSequence = Sequence([item])
    assert found(tmp_path, "IM-0001.dcm", written(dataset))


def test_a_code_has_its_own_meaning(tmp_path: Path) -> None:
    dataset = clean_dicom()
    code = dataset.AnatomicRegionSequence[0]
    code.CodeMeaning = "James Brown"
    assert found(tmp_path, "IM-0001.dcm", written(dataset))
    ((scheme, value), meaning) = next(entry for entry in known_meanings().items() if "Robinson" in entry[1])
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    assert found(tmp_path, "IM-0001.dcm", written(dataset)) == []


@pytest.mark.parametrize("behind_items", [True, False])
def test_bytes_of_a_dicom_file_that_are_no_element(behind_items: bool, tmp_path: Path) -> None:
    content = written(clean_dicom())
    tag = (0x0008, 0x1250) if behind_items else (0x0008, 0x0000)
    body = _ITEM + bytes(4) + _END + NAME if behind_items else NAME
    head = struct.pack("<HH2sHI", *tag, b"SQ", 0, len(body)) if behind_items else b"\x08\0\0\0UL\x10\0"
    at = content.find(b"\x08\0\x18\x22SQ" if behind_items else b"\x08\0\x08\0CS")
    assert at > 0
    assert found(tmp_path, "IM-0001.dcm", content[:at] + head + body + content[at:])


def test_a_deflated_file_is_searched_opened(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.ProtocolName = "Thorax 4930"
    kinds = [finding.kind for finding in found(tmp_path, "IM-0001.dcm", written(dataset), ("4930",))]
    assert kinds == ["known"]


def test_encapsulated_pixels(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x3f" + bytes(range(64)) + b"\0"
    for parts, is_clean in (([frame], True), ([frame + NAME], False)):
        dataset.PixelData = encapsulate(parts)
        dataset["PixelData"].VR = "OB"
        assert (found(tmp_path, "IM-0001.dcm", written(dataset)) == []) is is_clean
    dataset["PixelData"].value = _ITEM + struct.pack("<I", len(NAME)) + NAME + encapsulate([frame], has_bot=False)[8:]
    assert found(tmp_path, "IM-0001.dcm", written(dataset))


def _before(mark: bytes, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[: content.rfind(mark)] + piece + content[content.rfind(mark) :]


_SEGMENT = b"\xff\xfe" + struct.pack(">H", 2 + len(NAME)) + NAME


@pytest.mark.parametrize(
    "change",
    [
        _before(b"\xff\xd9", _SEGMENT),
        _before(b"\xff\xda", _SEGMENT),
        _before(b"\xff\xda", b"\xff" + _SEGMENT),
        _before(b"\xff\xda", b"\xff\xf1" + _SEGMENT[2:]),
        _before(b"\xff\xda", b"\xff\xee" + struct.pack(">H", 23) + b"Adobe" + NAME),
        _before(b"\xff\xda", b"\xff\xe0" + struct.pack(">H", 23) + b"JFIF\0" + NAME),
        lambda content: content + NAME + b"\xff\xd9",
    ],
)
def test_segments_of_a_jpeg_wherever_they_stand(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", progressive=True)
    assert found(tmp_path, "image.jpg", file.getvalue()) == []
    assert found(tmp_path, "image.jpg", file.getvalue() * 2) == []
    assert found(tmp_path, "image.jpg", change(file.getvalue()))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"gAMA", NAME),
        (b"PLTE", NAME + b"  "),
        (b"IDAT", NAME),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 2**22 + NAME)),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"head") + NAME),
    ],
)
def test_chunks_of_a_png(kind: bytes, body: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    content = file.getvalue()
    assert found(tmp_path, "image.png", content) == []
    assert found(tmp_path, "image.png", _before(b"\0\0\0\0IEND", _chunk(kind, body))(content))


def test_a_packed_chunk_is_searched_opened(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    chunk = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"head 4930 " * 20))
    content = _before(b"\0\0\0\0IEND", chunk)(file.getvalue())
    assert [one.kind for one in found(tmp_path, "image.png", content, ("4930",))] == ["known"]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (32, struct.pack("<i", 83749201)),
        (140, struct.pack("<i", 83749201)),
        (140, struct.pack("<ii", 0, 83749201)),
        (280, NAME),
        (56, NAME[:12]),
        (349, b"Ada"),
    ],
)
def test_numbers_of_a_nifti_header(at: int, value: bytes, tmp_path: Path) -> None:
    content = clean_nifti().to_bytes()
    assert found(tmp_path, "volume.nii", content) == []
    assert found(tmp_path, "volume.nii", content[:at] + value + content[at + len(value) :])


def test_text_field_of_nifti_2(tmp_path: Path) -> None:
    content = nib.Nifti2Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes()
    assert found(tmp_path, "volume.nii", content) == []
    assert found(tmp_path, "volume.nii", content[:525] + NAME[:15] + content[540:])


def test_names_of_empty_folders_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "empty").mkdir()
    assert check(tmp_path, text="skip", progress=False).content["counts"] == {}
    (tmp_path / "data" / "Vossberg_19610503").mkdir()
    os.mkfifo(tmp_path / "data" / "image.json")
    counts = check(tmp_path, text="skip", progress=False).content["counts"]
    assert counts == {"date": 1, "words": 1, "unread": 1}


def test_a_packed_file_is_opened_no_further_than_its_header_asks_for(tmp_path: Path) -> None:
    whole = clean_nifti().to_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(whole) + b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    tracemalloc.start()
    kinds = {finding.kind for finding in found(tmp_path, "volume.nii.gz", bomb)}
    assert tracemalloc.get_traced_memory()[1] < 250 * 2**20
    tracemalloc.stop()
    assert "unread" in kinds
