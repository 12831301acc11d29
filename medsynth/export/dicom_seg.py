"""A label map as a DICOM segmentation on the images it belongs to."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from matplotlib import colormaps
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.dicom_origin import code_item
from medsynth.export.segment_codes import PRIVATE_SCHEME, plain_name, segment_code
from medsynth.export.uids import uid

_COLOURS = 10
_NOT_OURS = ("InstanceCreationDate", "InstanceCreationTime")
"""Of the clock."""


def segmentation(
    name: str,
    frames: NDArray[Any],
    labels: Mapping[int, str],
    images: Sequence[Dataset],
    common: Dataset,
    number: int,
    date: str,
) -> Dataset:
    """The segmentation of a label map: one segment of bits a label, in ascending order of the labels' values.

    Args:
        name: of the channel.
        frames: (slice, row, column), whole numbers; frame i lies on image i.
        labels: name by value; 0 is the background and no segment.
        images: the objects of the series that it lies on, whole.
        common: equipment and marks.
        number: of the series in its study.
        date: YYYYMMDD.

    Returns:
        The object; its SOP Instance UID and that of its series are placeholders.

    Raises:
        MedsynthError: no label has a name, or a value has none.
    """
    values = sorted(value for value in labels if value != 0)
    if not values:
        raise MedsynthError(f"channel {name} has no named label: nothing to segment; generate again")
    unnamed = sorted({int(value) for value in np.unique(frames)} - {0, *values})
    if unnamed:
        raise MedsynthError(f"channel {name} holds the values {unnamed} that its record does not name; generate again")
    numbers = np.zeros(frames.shape, dtype=np.uint8 if len(values) < 256 else np.uint16)
    for segment, value in enumerate(values, 1):
        numbers[frames == value] = segment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty label map is one
        found = Segmentation(
            source_images=list(images),
            pixel_array=numbers,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _segment(segment, labels[value], common.ManufacturerModelName)
                for segment, value in enumerate(values, 1)
            ],
            series_instance_uid=uid("placeholder"),
            series_number=number,
            sop_instance_uid=uid("placeholder"),
            instance_number=1,
            manufacturer=common.Manufacturer,
            manufacturer_model_name=common.ManufacturerModelName,
            software_versions=common.SoftwareVersions,
            device_serial_number=common.DeviceSerialNumber,
            content_label="SYNTHETIC",
            content_description="synthetic label map",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            series_description=f"synthetic {name}"[:64],
            content_date=date,
            content_time="000000",
        )
    return _made_ours(found, common)


def _segment(number: int, name: str, model: str) -> SegmentDescription:
    code = segment_code(name)
    colour = colormaps["tab10"](number % _COLOURS)[:3]
    description = SegmentDescription(
        segment_number=number,
        segment_label=plain_name(name) or f"label {number}",
        segmented_property_category=code.category,
        segmented_property_type=code.type,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=model, family=codes.DCM.ArtificialIntelligence, version=__version__
        ),
        display_color=CIELabColor.from_rgb(*(round(255 * part) for part in colour)),
    )
    if code.side is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [code_item(code.side)]
    return description


def _made_ours(found: Segmentation, common: Dataset) -> Dataset:
    """What the library takes from the clock and from chance is taken away; what made the images made it too."""
    dataset = Dataset()
    dataset.update(found)
    dataset.file_meta = found.file_meta
    dataset.update(common)
    if "FrameOfReferenceUID" not in dataset:
        dataset.PatientOrientation = ""  # of a picture
    for keyword in _NOT_OURS:
        dataset.pop(keyword, None)
    organisation = uid("dimensions", common.StudyInstanceUID)
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    dataset.ContributingEquipmentSequence = common.ContributingEquipmentSequence
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = PRIVATE_SCHEME, "medsynth: names of labels"
    scheme.CodingSchemeResponsibleOrganization = "medsynth"
    dataset.CodingSchemeIdentificationSequence = [scheme]
    return dataset
