"""Export a folder of samples: the gate first, then the samples in a format, then the list of all that was written."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from medsynth import __version__
from medsynth.data.nifti import read_nifti
from medsynth.data.progress import progress_bar
from medsynth.errors import GeometryError, MedsynthError, UnreadableError
from medsynth.export.datasets.run import DatasetReport, export_dataset
from medsynth.export.datasets.settings import DATASET_FORMATS, DatasetSettings
from medsynth.export.dicom import Series, encoded, sample_series
from medsynth.export.dicom_settings import EXPORTER, DicomSettings
from medsynth.export.gate import Gate, cleared
from medsynth.export.leftovers import files_before, require_none_left
from medsynth.export.sending.destinations import Destination, destination
from medsynth.export.sending.run import SendReport, require_confirmed, require_packages, send
from medsynth.files import inside, sha256_file, write_bytes, write_json
from medsynth.identity.export_names import EXPORT_FILE
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

DICOM_FOLDER = "dicom"
_PLAIN = re.compile(r"s\d{6}\Z")


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what stayed behind."""

    studies: int
    objects: int
    flagged: int
    unaudited: int
    folder: Path
    sending: SendReport | None = None

    @property
    def exit_code(self) -> int:
        """1 where something was to be sent and did not get through."""
        return self.sending.exit_code if self.sending else 0

    @property
    def summary(self) -> str:
        """For the terminal."""
        return self._exported + (f"\n{self.sending.summary}" if self.sending else "")

    @property
    def _exported(self) -> str:
        said = f"{self.studies} studies, {self.objects} objects in {self.folder}"
        said += f"; {self.flagged} samples left out: the audit flagged them" if self.flagged else ""
        return said + (f"; {self.unaudited} went out without a passed audit, and say so" if self.unaudited else "")


def export(
    samples: Path,
    out: Path,
    *,
    format: Literal["dicom", "nnunet", "decathlon", "bids", "monai"] = "dicom",  # the command's own word
    audit: Path | None = None,
    unaudited: str | None = None,
    real: Path | None = None,
    uncleared: str | None = None,
    dicom: DicomSettings | None = None,
    pacs: str | None = None,
    pacs_list: Path | None = None,
    confirm: str | None = None,
    dataset: DatasetSettings | None = None,
    progress: bool = True,
) -> ExportReport | DatasetReport:
    """Write the samples that may go out; twice gives the same bytes.

    Args:
        samples: SAMPLES.
        out: folder for dicom/STUDY/SERIES/NUMBER.dcm, or for FORMAT/..., and export.json.
        format: "dicom", or that of a data set.
        audit: AUDIT of these samples.
        unaudited: "i_accept" lets out what no audit passed, which every object then says.
        real: CASES that the generator was trained on, for a data set of real and synthetic cases.
        uncleared: "i_accept" lets real cases out that no identity gate cleared, which the data set then says.
        dicom: how samples become objects.
        pacs: name of a destination in the list, to which the objects are sent; None to send nothing.
        pacs_list: of destinations; None for the file that MEDSYNTH_PACS names.
        confirm: "send"; without it nothing is sent, and the report says what would be.
        dataset: how a data set is named and divided.
        progress: whether to show a bar.

    Raises:
        MedsynthError: the gate is shut; a sample that was changed or fits no kind of object; a full disk; files of
            another export in `out`; a destination that is not in the list, is not there or does not let us in.
    """
    if pacs is not None and format != "dicom":
        raise MedsynthError("pacs is sent DICOM objects: leave it out, or set format=dicom")
    to = _destination(pacs, pacs_list, confirm)
    records = read_records(samples / SAMPLES_FILE, SampleRecord)
    if format in DATASET_FORMATS:
        return export_dataset(
            samples,
            cleared(samples, records, audit, unaudited),
            out,
            EXPORT_FILE,
            kind=format,
            settings=dataset or DatasetSettings(),
            real=real,
            uncleared=uncleared,
            progress=progress,
        )
    if format != "dicom":
        raise MedsynthError(f"format is dicom, {', '.join(DATASET_FORMATS[:-1])} or {DATASET_FORMATS[-1]}")
    if real is not None or uncleared is not None:
        raise MedsynthError("real and uncleared belong to a data set: set format=nnunet, decathlon, bids or monai")
    settings = dicom or DicomSettings()
    _require_known_channels(records, settings)
    gate = cleared(samples, records, audit, unaudited)
    folders = study_folders([record for record, _ in gate.cleared])
    before = files_before(out / DICOM_FOLDER)
    studies = []
    with progress_bar(progress) as bar:
        task = bar.add_task("exporting", total=len(gate.cleared), note="")
        for record, said in gate.cleared:
            arrays = read_channels(samples, record)
            try:
                found = list(sample_series(record, arrays, said, settings))
            except MedsynthError as error:
                raise type(error)(f"sample {record.id}: {error}") from None
            studies.append(_write_study(out, folders[record.id], record, found))
            bar.update(task, advance=1)
    require_none_left(out / DICOM_FOLDER, before)
    write_json(out / EXPORT_FILE, _listed(studies, gate, settings))
    objects = sum(len(series["objects"]) for study in studies for series in study["series"])
    report = ExportReport(len(studies), objects, len(gate.flagged), len(gate.unaudited), out / DICOM_FOLDER)
    return report if to is None else replace(report, sending=send(out, EXPORT_FILE, to, confirm, progress))


def study_folders(records: Sequence[SampleRecord]) -> dict[str, str]:
    """Folder by id: the id where it is one of generate's, else a part of the record's hash: no name is a path."""
    return {record.id: record.id if _PLAIN.match(record.id) else f"x{record.sha256[:16]}" for record in records}


def read_channels(samples: Path, record: SampleRecord) -> dict[str, NDArray[Any]]:
    """The channels of a sample, each checked against its hash and the record's shape.

    Raises:
        MedsynthError: a file that is missing or was changed.
        GeometryError: a file that lies elsewhere than the record says.
    """
    arrays = {}
    for name, channel in record.channels.items():
        path = inside(samples, channel.path)
        try:
            digest = sha256_file(path)
        except (OSError, ValueError):  # ValueError: of a name that no disk can hold
            raise MedsynthError(f"sample {record.id}: the file of channel {name} is missing; generate again") from None
        if digest != channel.sha256:
            raise MedsynthError(
                f"sample {record.id}: channel {name} was changed since it was generated; generate and audit again"
            )
        try:
            volume = read_nifti(path)
        except UnreadableError as error:
            raise UnreadableError(f"sample {record.id}: channel {name}: {error}") from None
        # A float32 header rounds what the record says in full.
        if not volume.geometry.as_volume.is_close(record.geometry.as_volume, tolerance_mm=1e-2):
            raise GeometryError(
                f"sample {record.id}: channel {name} lies elsewhere than its record says; generate again"
            )
        arrays[name] = volume.array.reshape(record.geometry.shape)
    return arrays


def _destination(pacs: str | None, pacs_list: Path | None, confirm: str | None) -> Destination | None:
    """Where to, before the first object is written."""
    require_confirmed(confirm)
    if pacs is None:
        if confirm is not None:
            raise MedsynthError("confirm=send needs pacs=NAME, one of the list of destinations")
        return None
    require_packages()
    return destination(pacs, pacs_list)


def _require_known_channels(records: Sequence[SampleRecord], settings: DicomSettings) -> None:
    known = {name for record in records for name, channel in record.channels.items() if channel.kind == "image"}
    unknown = sorted(set(settings.modalities) - known)
    if unknown:
        raise MedsynthError(
            f"dicom.modality names {', '.join(unknown)}; the samples' images are {', '.join(sorted(known)) or 'none'}"
        )


def _write_study(out: Path, folder: str, record: SampleRecord, found: Sequence[Series]) -> dict[str, Any]:
    """Write the objects of a sample; what export.json says of it."""
    listed = []
    for series in found:
        place = f"{DICOM_FOLDER}/{folder}/{series.number:02d}_{series.modality}"
        objects = []
        for number, dataset in enumerate(series.objects, 1):
            content, path = encoded(dataset), f"{place}/{number:05d}.dcm"
            write_bytes(out / path, content)
            digest = hashlib.sha256(content).hexdigest()
            objects.append({"uid": str(dataset.SOPInstanceUID), "path": path, "sha256": digest})
        first = series.objects[0]
        listed.append(
            {
                "channel": series.channel,
                "modality": series.modality,
                "uid": str(first.SeriesInstanceUID),
                "sop_class": str(first.SOPClassUID),
                "objects": objects,
            }
        )
    study = found[0].objects[0]
    return {
        "sample": record.id,
        "sha256": record.sha256,
        "patient": str(study.PatientID),
        "uid": str(study.StudyInstanceUID),
        "series": listed,
    }


def _listed(studies: Sequence[Mapping[str, Any]], gate: Gate, settings: DicomSettings) -> dict[str, Any]:
    return {
        "schema": "medsynth.export/1",
        "medsynth": __version__,
        "exporter": EXPORTER,
        "settings": settings.to_json(),
        "flagged": list(gate.flagged),
        "unaudited": list(gate.unaudited),
        "studies": list(studies),
    }
