"""What each kind of image object has beyond patient, study, equipment and pixels (PS3.3 Annex A)."""

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from medsynth.export.dicom_settings import DicomSettings, Kind
from medsynth.export.dicom_values import Stored, decimal_string

SOP_CLASSES: Mapping[Kind, UID] = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "SC": SecondaryCaptureImageStorage,
}
_PT_UNITS = {"SUV": "GML", "Bq/ml": "BQML"}


def modality_of(kind: Kind) -> str:
    """The Modality (0008,0060): a secondary capture is of none that is known."""
    return "OT" if kind == "SC" else kind


def module(kind: Kind, values: Stored, units: str, slices: int, settings: DicomSettings) -> Dataset:
    """The modules of one kind, with the rescale that leads back to the units.

    Args:
        kind: of object.
        values: as they are stored.
        units: of the channel.
        slices: of the series.
        settings: of the export.
    """
    dataset = _MODULES[kind]()
    if kind != "DX":
        dataset.Laterality = ""  # of which side of a pair, if of a pair, is not known
    if kind == "PT":
        dataset.Units = _PT_UNITS.get(units, "NONE")
        dataset.NumberOfSlices = slices
        dataset.SeriesDate, dataset.SeriesTime = settings.date, "000000"
    if kind == "DX":
        dataset.PatientOrientation = list(settings.orientation)
    identity = (values.slope, values.intercept) == (1, 0)
    if kind in ("CT", "PT", "DX") or not identity:
        dataset.RescaleIntercept = decimal_string(values.intercept)
        dataset.RescaleSlope = decimal_string(values.slope)
    if kind in ("CT", "DX") or (kind != "PT" and not identity):
        dataset.RescaleType = "HU" if units == "HU" else "US"  # PS3.3 C.11.1.1.2: unspecified
    return dataset


def _ct() -> Dataset:
    """PS3.3 C.8.2.1."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.KVP = dataset.AcquisitionNumber = None
    dataset.PatientPosition = ""
    return dataset


def _mr() -> Dataset:
    """PS3.3 C.8.3.1: no pulse sequence made it."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
    dataset.MRAcquisitionType = ""
    dataset.RepetitionTime = dataset.EchoTime = dataset.EchoTrainLength = None
    dataset.PatientPosition = ""
    return dataset


def _pt() -> Dataset:
    """PS3.3 C.8.9.1 to C.8.9.4: no tracer, no time; the second word of its image type is PRIMARY (C.8.9.4.1.1)."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.CountsSource = "EMISSION"
    dataset.SeriesType = ["STATIC", "IMAGE"]
    dataset.CorrectedImage = ""
    dataset.DecayCorrection = "NONE"
    dataset.CollimatorType = "NONE"
    dataset.RadiopharmaceuticalInformationSequence = []
    dataset.PatientOrientationCodeSequence = dataset.PatientGantryRelationshipCodeSequence = []
    dataset.FrameReferenceTime = decimal_string(0)
    dataset.ActualFrameDuration = 0
    dataset.AcquisitionDate = dataset.AcquisitionTime = ""
    return dataset


def _cr() -> Dataset:
    """PS3.3 C.8.1.1 and C.8.1.2."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.BodyPartExamined = dataset.ViewPosition = dataset.PatientOrientation = ""
    return dataset


def _dx() -> Dataset:
    """PS3.3 C.8.11.1 to C.8.11.5: for presentation, larger is brighter; what part of whom from where is not known."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "SECONDARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = []
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"  # nothing in it identifies a patient and a date (PS3.3 C.7.6.1)
    dataset.DetectorType = dataset.PositionerType = ""
    dataset.AcquisitionContextSequence = []
    return dataset


def _sc() -> Dataset:
    """PS3.3 C.8.6.1 and C.8.6.2."""
    dataset = Dataset()
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "SYN"  # synthetic image
    dataset.SecondaryCaptureDeviceManufacturer = "medsynth"
    dataset.PatientOrientation = ""
    return dataset


_MODULES: Mapping[Kind, Callable[[], Dataset]] = {
    "CT": _ct,
    "MR": _mr,
    "PT": _pt,
    "CR": _cr,
    "DX": _dx,
    "SC": _sc,
}
