"""Identities planted in NIfTI, gzip, JSON, tables, text, pictures and names of files."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset

from tests.identity.clean_files import AFFINE, clean_nifti, packed


class Plant(NamedTuple):
    """A file with one identity: where it is planted, and what writes it."""

    place: str
    write: Callable[[Path], None]


def plants_in_other_files() -> list[Plant]:
    """All that are in no DICOM file."""
    return [*_volumes(), *_sidecars(), *_pictures(), *_names()]


def _file(place: str, name: str, content: bytes) -> Plant:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return Plant(place, write)


def jpeg(comment: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(stream, "JPEG", comment=comment)
    return stream.getvalue()


def _volumes() -> Iterator[Plant]:
    plain = clean_nifti().to_bytes()
    for field, value in (
        ("descrip", b"Ottilie 17.01.2023"),
        ("aux_file", b"quandt.mat"),
        ("db_name", b"83749201"),
        ("intent_name", b"Voss^Ada"),
    ):
        raw = clean_nifti(**{field: value}).to_bytes()
        yield _file(f"NIfTI {field}", "volume.nii", raw)
        yield _file(f"packed NIfTI {field}", "volume.nii.gz", packed(raw))
    second = nib.Nifti2Image(np.zeros((2, 2, 2), np.int16), AFFINE)
    second.header["descrip"] = b"Thandiwe"
    yield _file("NIfTI-2 descrip", "volume.nii", second.to_bytes())
    for code, content in (
        (6, b"Quandt^Ottilie"),
        (4, b"<AFNI_attributes note='Thandiwe'/>"),
        (40, b"\1\2\3\xfeQuandt\0\0"),
        (2, _dicom_extension()),
    ):
        image = clean_nifti()
        image.header.extensions.append(
            nib.nifti1.Nifti1Extension(code, content) if code != 2 else nib.nifti1.Nifti1DicomExtension(2, content)
        )
        yield _file(f"NIfTI extension {code}", "volume.nii.gz", packed(image.to_bytes()))
    yield _file("NIfTI data_type", "volume.nii", plain[:4] + b"Ottilie\0\0\0" + plain[14:])
    yield _file("behind the voxels", "volume.nii", plain + b"Quandt^Ottilie")
    yield _file("behind the packed voxels", "volume.nii.gz", packed(plain + bytes(16) + b"83749201"))
    yield _file("gzip name", "volume.nii.gz", packed(plain, name="quandt_ottilie.nii"))
    yield _file("gzip name, a date", "volume.nii.gz", packed(plain, name="20230117.nii"))
    yield _file("gzip comment", "volume.nii.gz", packed(plain, comment=b"Thandiwe"))
    yield _file("gzip extra field", "volume.nii.gz", packed(plain, extra=b"QU\x08\0Ottilie\0"))
    yield _file("behind a packed file", "volume.nii.gz", packed(plain) + b"Quandt^Ottilie")
    yield _file(
        "name of a second packed part", "volume.nii.gz", packed(plain[:400]) + packed(plain[400:], name="ottilie")
    )


def _dicom_extension() -> bytes:
    dataset = Dataset()
    dataset.PatientName = "Voss^Ada"
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def _sidecars() -> Iterator[Plant]:
    for key, value in (
        ("PatientName", "Voss"),
        ("PatientID", "4711"),
        ("PatientBirthDate", "1961-05-03"),
        ("AcquisitionDateTime", "2023-01-17T10:15:00"),
        ("InstitutionName", "General Hospital"),
        ("InstitutionAddress", "here"),
        ("DeviceSerialNumber", "35135"),
        ("StudyInstanceUID", "1.2.276.0.99.4711.83749201.7"),
        ("SeriesDescription", "t1 Ottilie"),
        ("Comment", "ask Dr. Voss"),
        ("Number", 83749201),
        ("Ottilie", 1),
    ):
        yield _file(
            f"JSON {key}", "sidecar.json", json.dumps({"Modality": "MR", "EchoTime": 0.0031, key: value}).encode()
        )
        if key in ("PatientName", "Comment"):
            yield _file(f"JSON {key}, deep", "sidecar.json", json.dumps({"global": {"const": [{key: value}]}}).encode())
    for column, value in (
        ("date of birth", "1961"),
        ("surname", "Long"),
        ("remark", "Ottilie"),
        ("mrn", "12"),
        ("visit", "17.01.2023"),
        ("Ottilie", "1"),
    ):
        yield _file(f"CSV {column}", "table.csv", f"file,{column}\na.png,{value}\n".encode())
    yield _file("TSV", "participants.tsv", b"participant_id\tage\tphone\nsub-01\t61\t12 34\n")
    yield _file("age of 93 in a TSV", "participants.tsv", b"participant_id\tPatientAge\nsub-01\t93\n")
    yield _file("text", "README.md", b"# Scans\nfrom the ward of Dr. Voss\n")


def _pictures() -> Iterator[Plant]:
    for key, value, packed_text in (("Description", "Quandt^Ottilie", False), ("Comment", "Thandiwe", True)):
        info = PngInfo()
        info.add_text(key, value, zip=packed_text)
        yield _file(f"PNG {'packed ' if packed_text else ''}text", "image.png", _png(info))
    info = PngInfo()
    info.add_itxt("Title", "Jörg Krüger", zip=True)
    yield _file("PNG international text", "image.png", _png(info))
    exif = Image.Exif()
    exif[0x013B] = "Ottilie Quandt"
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "PNG", exif=exif)
    yield _file("PNG EXIF", "image.png", stream.getvalue())
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "JPEG", exif=exif)
    yield _file("JPEG EXIF", "image.jpeg", stream.getvalue())
    yield _file("JPEG comment", "image.jpeg", jpeg(b"Ottilie"))
    yield _file("behind a PNG", "image.png", _png(PngInfo()) + b"Voss^Ada")
    yield _file("behind a JPEG", "image.jpeg", jpeg(b"") + b"Voss^Ada")
    time = struct.pack(">HBBBBB", 2023, 1, 17, 10, 15, 0)
    chunk = len(time).to_bytes(4, "big") + b"tIME" + time + zlib.crc32(b"tIME" + time).to_bytes(4, "big")
    plain = _png(PngInfo())
    yield _file("PNG time", "image.png", plain[:33] + chunk + plain[33:])


def _png(info: PngInfo) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def _names() -> Iterator[Plant]:
    plain = clean_nifti().to_bytes()
    yield _file("file name", "quandt_ottilie.nii", plain)
    yield _file("file name, a date", "volume_20230117.nii", plain)
    yield _file("file name, a UID", "1.2.276.0.99.4711.83749201.7.nii", plain)
    yield _file("file name, a number", "MRN83749201.nii", plain)
    yield _file("folder name", "Voss^Ada/volume.nii", plain)
    yield _file("folder name, initials and birth date", "AV030561/volume.nii", plain)
    yield _file("format that is not known", "notes.bin", b"\x07\x01\x00Quandt^Ottilie\x00")
