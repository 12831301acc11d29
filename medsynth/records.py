"""The two records that travel between folders: a case that went in, a sample that came out.

Both are frozen, checked when made, written one JSON object a line, and refuse fields
that this version does not know. `CaseRecord` names no person: the patient key is a
keyed hash, file paths are relative to the record's folder.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from medsynth.errors import MedsynthError
from medsynth.files import sha256_json, write_text
from medsynth.geometry import Geometry

CASES_FILE = "cases.jsonl"
SAMPLES_FILE = "samples.jsonl"

Attribute = str | float | int | bool | None
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
GAN = "gan"
"""The sampler's name in the records of samples that a GAN made."""
IDENTITY = ("cleared", "trusted", "unknown")
PATIENT_SOURCES = ("dicom", "bids", "csv", "pattern", "presumed")
"""Where a patient key comes from. "presumed": guessed (one file one patient, say); every report says so."""
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One file of a case or sample.

    Args:
        path: relative to the record's folder, with forward slashes.
        kind: "image", or "label" for a map of whole numbers.
        units: "HU", "arbitrary" (MR), "grey" (pictures, 0 to 255), "SUV", "Bq/ml", "label".
        modality: DICOM modality code ("CT", "MR", ...), None when not known.
        sha256: of the file's bytes.
    """

    path: str
    kind: Literal["image", "label"]
    units: str
    sha256: str
    modality: str | None = None

    def __post_init__(self) -> None:
        _require(self.kind in ("image", "label"), "a channel is an image or a label")
        _require(
            bool(self.path) and not self.path.startswith("/") and "\0" not in self.path,
            "a channel needs a relative path",
        )
        _require(".." not in Path(self.path).parts, "a channel's path leads out of its folder")
        _require(_SHA256.match(self.sha256) is not None, "a channel needs the SHA-256 of its file")


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """A real case, as ingest leaves it.

    Args:
        id: pseudonymous, unique in the folder.
        patient: pseudonymous patient key (keyed hash); splits are by it.
        patient_source: one of PATIENT_SOURCES.
        identity: "cleared" by the gate, "trusted" on the user's word, or "unknown".
        channels: by name ("ct", "mr", "label", ...), all on one grid.
        geometry: the native grid of the channels.
        labels: name of each value of the label map; empty without one.
        attributes: what is known of the case (class, age, ...).
        licence: under which the scan came, None when not said.
        split: fixed by the source, else None and decided by `train` from its seed.
    """

    id: str
    patient: str
    patient_source: str
    identity: str
    channels: Mapping[str, Channel]
    geometry: Geometry
    labels: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    licence: str | None = None
    split: Split | None = None
    schema: str = "medsynth.case/1"

    def __post_init__(self) -> None:
        _require(
            self.schema == "medsynth.case/1", "the record was written by another version of medsynth; ingest again"
        )
        _require(self.identity in IDENTITY, f"identity is one of {', '.join(IDENTITY)}")
        _require(self.patient_source in PATIENT_SOURCES, f"patient_source is one of {', '.join(PATIENT_SOURCES)}")
        _require(self.split is None or self.split in SPLITS, f"split is one of {', '.join(SPLITS)}, or none")
        _common(self)

    @property
    def sha256(self) -> str:
        """Hash of the record and, through its channels' hashes, of every byte of its files."""
        return sha256_json(_plain(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)  # read-only mappings do not pickle

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, with the content hash."""
        return {**_plain(self), "sha256": self.sha256}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CaseRecord":
        """Read back; unknown or missing fields and a wrong content hash are refused."""
        return _read(CaseRecord, content)


@dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """A synthetic case, as generate leaves it.

    Args:
        id: unique in the folder.
        index: place in the plan; with `seed` it fixes the sample's noise.
        seed: of the plan.
        condition: what was asked for (class, text, ...); empty when unconditional.
        sampler: name, steps, guidance and all else that fixes the result.
        channels, geometry, labels: as in CaseRecord.
        checkpoint: SHA-256 of the weights.
        parents: hashes of the cases or samples it was made from; a sample with parents
            is derived, not free: it carries its parent's `patient` and `split`.
        identity: clearance of the training data, or of the parent.
        overrides: every gate that was passed by an override, by name.
    """

    id: str
    index: int
    seed: int
    condition: Mapping[str, Attribute]
    sampler: Mapping[str, Attribute]
    channels: Mapping[str, Channel]
    geometry: Geometry
    checkpoint: str
    identity: str
    labels: Mapping[int, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    patient: str | None = None
    split: Split | None = None
    licences: tuple[str, ...] = ()
    schema: str = "medsynth.sample/1"

    def __post_init__(self) -> None:
        _require(
            self.schema == "medsynth.sample/1", "the record was written by another version of medsynth; generate again"
        )
        _require(_SHA256.match(self.checkpoint) is not None, "a sample names its checkpoint by SHA-256")
        _require(self.identity in IDENTITY, f"identity is one of {', '.join(IDENTITY)}")
        _require(bool(self.parents) == (self.patient is not None), "a sample has a patient exactly when it has parents")
        _require(self.split is None or bool(self.parents), "only a sample with parents inherits a split")
        _require(self.split is None or self.split in SPLITS, f"split is one of {', '.join(SPLITS)}")
        for name in ("overrides", "parents", "licences"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _common(self)

    @property
    def sha256(self) -> str:
        """Hash of the record and, through its channels' hashes, of every byte of its files."""
        return sha256_json(_plain(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)  # read-only mappings do not pickle

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, with the content hash."""
        return {**_plain(self), "sha256": self.sha256}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "SampleRecord":
        """Read back; unknown or missing fields and a wrong content hash are refused."""
        return _read(SampleRecord, content)


Record = CaseRecord | SampleRecord
R = TypeVar("R", CaseRecord, SampleRecord)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line; the file appears when it is whole."""
    write_text(path, "".join(json.dumps(r.to_json(), sort_keys=True, allow_nan=False) + "\n" for r in records))


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read a file of records.

    Raises:
        MedsynthError: the file is missing, empty, cut short, altered or of another version.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        verb = "ingest" if kind is CaseRecord else "generate"
        raise MedsynthError(
            f"{path.parent} holds no {path.name}: is it a folder that `medsynth {verb}` finished?"
        ) from None
    except (OSError, UnicodeDecodeError):
        raise MedsynthError(f"{path} cannot be read as text; make the folder anew") from None
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            records.append(kind.from_json(json.loads(line)))
        except (MedsynthError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = error if isinstance(error, MedsynthError) else "it is no whole record"
            raise MedsynthError(f"{path.name} line {number}: {reason}") from None
    if not records:
        raise MedsynthError(f"{path} holds no record")
    if len({record.id for record in records}) != len(records):
        raise MedsynthError(f"{path} holds an id twice; make the folder anew")
    return records


def require_token(text: str, what: str) -> None:
    """Refuse a name that could be more than a name: it becomes part of a file's path.

    Raises:
        MedsynthError: `text` is not 1 to 64 letters, digits, '.', '_' and '-'.
    """
    fine = isinstance(text, str) and _TOKEN.match(text) is not None
    _require(fine, f"{what} has letters, digits, '.', '_' and '-' alone")


def _common(record: Record) -> None:
    require_token(record.id, "an id")
    _require(record.patient is None or _TOKEN.match(record.patient) is not None, "a patient key is a plain token")
    _require(bool(record.channels), "a record needs at least one channel")
    for name in record.channels:
        require_token(name, "a channel's name")
    for name in ("channels", "labels", "attributes", "condition", "sampler"):
        if hasattr(record, name):
            object.__setattr__(record, name, MappingProxyType(dict(getattr(record, name))))


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise MedsynthError(otherwise)


def _plain(record: Record) -> dict[str, Any]:
    content = {entry.name: getattr(record, entry.name) for entry in dataclasses.fields(record)}
    content["channels"] = {name: dataclasses.asdict(channel) for name, channel in record.channels.items()}
    content["labels"] = {str(value): name for value, name in record.labels.items()}
    content["geometry"] = record.geometry.to_record()
    return {
        key: dict(v) if isinstance(v, Mapping) else list(v) if isinstance(v, tuple) else v for key, v in content.items()
    }


def least_cleared(identities: Iterable[str]) -> str:
    """The worst of several clearances: what is made of all of them has no better one."""
    return max(identities, key=IDENTITY.index)


def _read(kind: type[R], content: Mapping[str, Any]) -> R:
    known = {entry.name for entry in dataclasses.fields(kind)} | {"sha256"}
    unknown = set(content) - known
    _require(not unknown, "the record has fields that this version of medsynth does not know; update medsynth")
    values = {key: value for key, value in content.items() if key != "sha256"}
    values["channels"] = {name: Channel(**channel) for name, channel in content["channels"].items()}
    values["labels"] = {int(value): name for value, name in content.get("labels", {}).items()}
    values["geometry"] = Geometry.from_record(content["geometry"])
    record = kind(**values)
    _require(
        record.sha256 == content.get("sha256"),
        "its content hash does not fit: the record was altered; make the folder anew",
    )
    return record
