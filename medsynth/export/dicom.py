"""A sample as DICOM: one study, a series of single-frame objects a channel, a segmentation a label map."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.dicom_image import ImageChannel, image_objects
from medsynth.export.dicom_origin import equipment, frame_of_reference, marks, patient, study
from medsynth.export.dicom_seg import segmentation
from medsynth.export.dicom_settings import EXPORTER, VOLUMES, Compression, DicomSettings, kind_of
from medsynth.export.uids import uid
from medsynth.files import sha256_json
from medsynth.geometry import Facing, facing
from medsynth.records import SampleRecord

_SYNTAXES: Mapping[Compression, UID] = {
    "none": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
}
_IMPLEMENTATION = uid("medsynth")


class Series(NamedTuple):
    """A series of a study: its channel, its modality and its objects, whole and ready to be written."""

    channel: str
    number: int
    modality: str
    objects: list[Dataset]


def sample_series(
    record: SampleRecord,
    arrays: Mapping[str, NDArray[Any]],
    gate: tuple[str, ...] = (),
    settings: DicomSettings | None = None,
) -> Iterator[Series]:
    """The series of a sample, images first, all in one study and, volumes, in one frame of reference.

    Every UID is a function of the sample's hash, the settings, what the gate says and EXPORTER; that of a series also
    of all that is in its objects, and that of an object of this and of its own content, so that one UID never names
    two contents, whatever version of a library wrote them.

    Args:
        record: of the sample.
        arrays: by channel, in units, each of the record's shape.
        gate: sentences of the gate before the export, written into every object.
        settings: of the export; None for the usual ones.

    Raises:
        MedsynthError: no image, a channel that fits no kind of object.
        GeometryError: axes that are not perpendicular.
    """
    settings = settings or DicomSettings()
    names = [EXPORTER, record.sha256, sha256_json([settings.to_json(), list(gate)])]
    turn = facing(record.geometry, settings.plane)
    common = _common(record, gate, settings, names)
    images = [name for name, channel in record.channels.items() if channel.kind == "image"]
    if not images:
        raise MedsynthError("it has no image, which a segmentation must lie on; export samples with an image")
    first: list[Dataset] = []
    for number, name in enumerate(images, 1):
        kind = kind_of(name, record.channels[name], turn.geometry.shape[2], settings)
        channel = ImageChannel(name, arrays[name], record.channels[name].units, kind)
        own = Dataset()
        own.update(common)
        if kind in VOLUMES:
            own.update(frame_of_reference(record, *names))
        found = _whole(image_objects(channel, turn, own, number, settings), names, settings.compression)
        first = first or found
        yield Series(name, number, found[0].Modality, found)
    maps = [name for name, channel in record.channels.items() if channel.kind == "label"]
    for number, name in enumerate(maps, len(images) + 1):
        dataset = segmentation(name, _frames(arrays[name], turn), record.labels, first, common, number, settings.date)
        yield Series(name, number, "SEG", _whole([dataset], names, "none"))


def encoded(dataset: Dataset) -> bytes:
    """The bytes of a file (PS3.10): the same for the same object."""
    with io.BytesIO() as file:
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
        return file.getvalue()


def _common(record: SampleRecord, gate: tuple[str, ...], settings: DicomSettings, names: list[str]) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    study_uid = uid("study", *names)
    for part in (patient(record), study(record, study_uid, settings.date), equipment(record), marks(record, gate)):
        dataset.update(part)
    return dataset


def _frames(labels: NDArray[Any], turn: Facing) -> NDArray[Any]:
    """(slice, row, column)."""
    return turn.turned(labels).transpose(2, 1, 0)


def _whole(datasets: Iterable[Dataset], names: list[str], compression: Compression) -> list[Dataset]:
    """The objects of a series, compressed, under UIDs that their contents fix."""
    found = [(dataset, _fixed(dataset, compression)) for dataset in datasets]
    digests = [digest for _, digest in found]
    # Of what another version made of the same sample, an archive would stack the slices in one series.
    series = uid("series", *names, str(found[0][0].SeriesNumber), *digests)
    for dataset, digest in found:
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = uid("object", *names, series, digest)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return [dataset for dataset, _ in found]


def _fixed(dataset: Dataset, compression: Compression) -> str:
    """Compress an object; the SHA-256 of all of it but its own and its series' UID."""
    dataset.SeriesInstanceUID = dataset.SOPInstanceUID = uid("placeholder")
    dataset.file_meta = _file_meta(dataset)
    if compression != "none":
        try:
            dataset.compress(_SYNTAXES[compression], generate_instance_uid=False)
        except RuntimeError:
            raise MedsynthError(
                f"dicom.compression={compression} needs an encoder: pip install '.[codecs]' in the folder of "
                "medsynth's source, or set dicom.compression=none"
            ) from None
    return hashlib.sha256(encoded(dataset)).hexdigest()


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = f"MEDSYNTH {__version__}"[:16]
    return meta
