"""Phantom scans as classic single-frame DICOM: CT Image Storage and MR Image Storage.

Names, ids and dates are invented and look it. Every object says that it is synthetic
(0008,001C) and that its subject is a phantom (0010,0200).
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from medsynth.data.phantom import PhantomScan
from medsynth.files import write_atomic
from medsynth.geometry import DicomPlane, Geometry, dicom_planes

_CT_INTERCEPT = -1024
_FIRST_DAY = date(2001, 1, 1)


def write_dicom_study(folder: Path, found: PhantomScan, geometry: Geometry, seed: int) -> None:
    """Write a CT and an MR series of one scan below `folder`, one file a slice, without extension.

    Args:
        folder: of the patient; study and series folders are made in it.
        found: the scan.
        geometry: where it lies; the array is indexed (column, row, slice).
        seed: of the population, part of every UID.

    Raises:
        GeometryError: the array axes are not perpendicular.
        MedsynthError: the disk is full or not writable.
    """
    study = folder / f"study{found.attributes['scan']}"
    for modality, array in (("CT", found.ct), ("MR", found.mr)):
        for name, dataset in _series(modality, array, found, geometry, seed):
            write_atomic(study / modality / name, partial(_write, dataset))


def _write(dataset: Dataset, file: IO[bytes]) -> None:
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)


def _series(
    modality: str, array: NDArray[np.float32], found: PhantomScan, geometry: Geometry, seed: int
) -> Iterator[tuple[str, Dataset]]:
    stored = _stored(modality, array)
    common = _common(modality, found, seed)
    slices = dicom_planes(geometry)
    thickness = geometry.spacing[2]
    for k, plane in enumerate(slices):
        dataset = Dataset()
        dataset.update(common)
        dataset.file_meta = _file_meta(common.SOPClassUID, _uid("image", modality, seed, found, k))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        # As many scanners do, the first image is the last in space: order comes from positions alone.
        dataset.InstanceNumber = len(slices) - k
        _place(dataset, plane, thickness)
        dataset.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
        yield f"IM{dataset.InstanceNumber:04d}", dataset


def _stored(modality: str, array: NDArray[np.float32]) -> NDArray[Any]:
    whole = np.rint(array)
    if modality == "CT":
        signed: NDArray[Any] = np.clip(whole - _CT_INTERCEPT, -32768, 32767).astype("<i2")
        return signed
    unsigned: NDArray[Any] = np.clip(whole, 0, 4095).astype("<u2")
    return unsigned


def _common(modality: str, found: PhantomScan, seed: int) -> Dataset:
    """What all slices of a series share: Patient, Study, Series, Equipment, Image Pixel, CT or MR Image."""
    patient, scan = int(found.attributes["patient"]), int(found.attributes["scan"])
    day = (_FIRST_DAY + timedelta(days=3 * patient + 90 * scan)).strftime("%Y%m%d")
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    dataset.SyntheticData = "YES"  # PS3.3 C.12.1.1: SOP Common
    dataset.PatientName = f"Phantom^Nobody{patient:03d}"
    dataset.PatientID = f"PHANTOM-{seed}-{patient:03d}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.QualityControlSubject = "YES"
    dataset.StudyInstanceUID = _uid("study", "", seed, found)
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = f"{8 + scan % 12:02d}0000"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = f"{scan + 1}"
    dataset.AccessionNumber = ""
    dataset.StudyDescription = "procedural phantom, synthetic"
    dataset.Modality = modality
    dataset.SeriesInstanceUID = _uid("series", modality, seed, found)
    dataset.SeriesNumber = 1 if modality == "CT" else 2
    dataset.SeriesDescription = "torso CT" if modality == "CT" else "torso MR, CT's frame"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = _uid("frame", "", seed, found)
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "medsynth phantom"
    dataset.ManufacturerModelName = "procedural torso"
    dataset.AcquisitionNumber = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.update(_ct_image() if modality == "CT" else _mr_image())
    return dataset


def _ct_image() -> Dataset:
    """PS3.3 C.8.2.1 CT Image Module, and how it is stored."""
    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _CT_INTERCEPT, 1, "HU"
    dataset.KVP = "120"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    return dataset


def _mr_image() -> Dataset:
    """PS3.3 C.8.3.1 MR Image Module, and how it is stored; values are arbitrary units."""
    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "GR", "SP", ""
    dataset.MRAcquisitionType = "3D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength, dataset.FlipAngle = "5", "2", 1, "10"
    return dataset


def _place(dataset: Dataset, plane: DicomPlane, thickness: float) -> None:
    """PS3.3 C.7.6.2 Image Plane Module."""
    dataset.Rows, dataset.Columns = plane.rows, plane.columns
    dataset.PixelSpacing = [_ds(v) for v in plane.pixel_spacing]
    dataset.ImageOrientationPatient = [_ds(v) for v in plane.orientation]
    dataset.ImagePositionPatient = [_ds(v) for v in plane.position]
    dataset.SliceThickness = _ds(thickness)
    if dataset.Modality == "MR":
        dataset.SpacingBetweenSlices = _ds(thickness)


def _ds(value: float) -> DSfloat:
    """A decimal string of at most 16 characters (PS3.5 6.2), never "-0"."""
    return DSfloat(round(value, 12) + 0.0, auto_format=True)


def _uid(kind: str, modality: str, seed: int, found: PhantomScan, k: int = 0) -> str:
    """The same UID for the same object, whenever and wherever it is written."""
    patient, scan = found.attributes["patient"], found.attributes["scan"]
    grid = np.array2string(found.geometry.affine, precision=6) + str(found.geometry.shape)
    sources = ["medsynth phantom", kind, modality, str(seed), str(patient), str(scan), str(k), grid]
    return str(generate_uid(entropy_srcs=sources))


def _file_meta(sop_class: Any, instance: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
