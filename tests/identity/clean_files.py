"""Small files of every format that name nobody."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])


def clean_dicom() -> FileDataset:
    """A CT slice as it is after de-identification: geometry, rescale, acquisition, made-up UIDs."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "2.25.1001"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1001", "2.25.1002", "2.25.1003"
    dataset.FrameOfReferenceUID = "2.25.1004"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Manufacturer, dataset.ManufacturerModelName = "SIEMENS", "SOMATOM Definition Flash"
    dataset.PatientName = dataset.PatientID = "p0123456789abcdef"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "", "F", "061Y"
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = ""
    dataset.SeriesDescription, dataset.ProtocolName = "Thorax venous 1.5 B30f", "ThoraxRoutine (Adult)"
    dataset.ConvolutionKernel, dataset.KVP, dataset.ExposureTime = "B30f", "120", "500"
    dataset.SliceThickness, dataset.PixelSpacing = "2.5", ["0.7421875", "0.7421875"]
    dataset.ImagePositionPatient = ["-190.12890625", "-190.12890625", "-1021.5"]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored = 8, 8, 16, 12
    dataset.HighBit, dataset.PixelRepresentation = 11, 0
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    dataset.AnatomicRegionSequence = Sequence([code])
    dataset.PixelData = np.arange(64, dtype=np.uint16).tobytes()
    return dataset


def nest(dataset: Dataset, depth: int) -> Dataset:
    """An item that many sequences below the data set."""
    for _ in range(depth):
        item = Dataset()
        dataset.RelatedSeriesSequence = Sequence([item])
        dataset = item
    return dataset


def save(dataset: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def clean_nifti(**fields: bytes) -> nib.Nifti1Image:
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    for name, value in fields.items():
        image.header[name] = value
    return image


def packed(raw: bytes, name: str = "", comment: bytes = b"", extra: bytes = b"") -> bytes:
    """gzip with a header of one's own (RFC 1952)."""
    plain = gzip.compress(raw, mtime=0)
    flags = (4 if extra else 0) | (8 if name else 0) | (16 if comment else 0)
    head = plain[:3] + bytes([flags]) + plain[4:10]
    if extra:
        head += len(extra).to_bytes(2, "little") + extra
    return head + (name.encode() + b"\0" if name else b"") + (comment + b"\0" if comment else b"") + plain[10:]
