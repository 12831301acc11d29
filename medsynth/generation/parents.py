"""The cases and samples that others are made from: found, prepared, and what they hand down."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from medsynth.data.derived import attributes_of
from medsynth.data.nifti import Stored, read_stored
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.prepared import CasePlan, prepare_case
from medsynth.data.resampling import require_channel
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.files import sha256_json
from medsynth.ingest.clearance import identities
from medsynth.models.layout import Layout, Told
from medsynth.records import (
    CASES_FILE,
    SAMPLES_FILE,
    Attribute,
    CaseRecord,
    Record,
    SampleRecord,
    Split,
    least_cleared,
    read_records,
)

_LONGEST_KEY = 64


class Prepared(NamedTuple):
    """A parent in the form of a sample.

    Args:
        x: (C, *spatial) in model units, of the channels that are made.
        told: what is given of it.
        ranges: (images, 2), its own values that are -1 and +1.
        affine: (4, 4), its place on the model's grid.
    """

    x: Tensor
    told: Told
    ranges: Tensor
    affine: Tensor


@dataclass(frozen=True)
class Origins:
    """What a sample takes over from those that it was made from.

    Args:
        parents: hashes of their records.
        patient, split: theirs; None for a sample without parents.
        identity: the least clearance among them, "cleared" of none.
        licences, overrides: of all.
    """

    parents: tuple[str, ...] = ()
    patient: str | None = None
    split: Split | None = None
    identity: str = "cleared"
    licences: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


class Parents:
    """A folder of cases or samples that samples are made from.

    Args:
        folder: CASES or SAMPLES.
        preparation: of the run.
        layout: of its samples.

    Raises:
        MedsynthError: neither, or records that are damaged.
    """

    def __init__(self, folder: Path, preparation: Preparation, layout: Layout) -> None:
        self.folder, self.layout = folder, layout
        self.records: dict[str, Record] = {}
        self._split: Mapping[str, Split] = {}
        self._identity: dict[str, str] = {}
        if (folder / SAMPLES_FILE).is_file():
            self.records.update({record.id: record for record in read_records(folder / SAMPLES_FILE, SampleRecord)})
        elif (folder / CASES_FILE).is_file():
            cases = read_records(folder / CASES_FILE, CaseRecord)
            self.records.update({record.id: record for record in cases})
            self._identity = dict(zip(self.records, identities(folder, cases), strict=True))
            if cases_digest(cases) == preparation.cases_sha256:  # of others only the source may name a split
                self._split = split_patients(cases, preparation.split)
        else:
            raise MedsynthError(f"parents: {folder} holds no {CASES_FILE} or {SAMPLES_FILE}; ingest the scans first")
        self.plan = CasePlan.of(preparation)

    def ids(self, split: str | None) -> list[str]:
        """All ids, or those of a split, in the folder's order."""
        return [name for name, record in self.records.items() if split is None or self.split_of(record) == split]

    def record(self, name: str) -> Record:
        """The record with that id.

        Raises:
            MedsynthError: there is none.
        """
        if name not in self.records:
            raise MedsynthError(f"parents: there is no such id; ids are {', '.join(list(self.records)[:3])}, ...")
        return self.records[name]

    def require_fit(self, name: str) -> None:
        """Refuse a scan whose numbers mean something else than the run's: units, labels, axes, voxels.

        Raises:
            MedsynthError: so, by the record alone; the files are not read.
        """
        record, grid = self.record(name), self.layout.grid
        made = {image.name: image.units for image in self.layout.images}
        for name, units in {**made, **self.layout.given.images}.items():
            channel = record.channels.get(name)
            if channel is not None and channel.units != units:
                raise MedsynthError(
                    f"case {record.id}: its {name} is in {channel.units}, the run's in {units}; take scans "
                    "of the run's kind"
                )
        label = self.layout.label or self.layout.given.label
        if label is not None and any(label.values.get(v, text) != text for v, text in record.labels.items()):
            raise MedsynthError(
                f"case {record.id}: its label map names a value otherwise than the run's; ingest it with those labels="
            )
        resampling = self.plan.resampling
        if record.geometry.rank != (3 if resampling.slices is not None else grid.rank):
            raise MedsynthError(
                f"case {record.id}: a scan of {record.geometry.rank} axes, the run makes {grid.rank}; take scans of "
                "its kind"
            )
        codes, plain = record.geometry.axcodes, resampling.slices is None
        if resampling.orientation is None and plain and grid.rank == 3 and codes != grid.axcodes:
            raise MedsynthError(
                f"case {record.id}: its axes run {codes}, the run's {grid.axcodes}; turn it, or train with "
                "data.resampling.orientation"
            )

    def split_of(self, record: Record) -> Split | None:
        """Train, validation or test for the run; None where that is not known."""
        return self._split.get(record.patient or "") or record.split

    def prepared(self, name: str) -> Prepared:
        """A parent in the form of a sample; of a volume that is cut into slices the middle one.

        Raises:
            MedsynthError: it lacks a channel, or its file was changed.
        """
        return self._prepared(name, whole=True)

    def shown(self, name: str) -> Prepared:
        """What there is of a parent that something is taken of: it may lack what is made, the other modality, say.

        Raises:
            MedsynthError: it has no channel of the run, or its file was changed.
        """
        wanted = [*self.plan.intensity, *([self.plan.label] if self.plan.label and not self.plan.label_given else [])]
        return self._prepared(name, whole=all(channel in self.record(name).channels for channel in wanted))

    def stored(self, record: Record, name: str) -> Stored:
        """What a channel's file stores, bit for bit.

        Raises:
            MedsynthError: the record lacks the channel, or the file is not the one ingested.
        """
        return read_stored(require_channel(self.folder, record, name))

    def look(self, name: str) -> Tensor:
        """The images (I, *spatial) of a parent whose style is taken, which may lack a label map.

        Raises:
            MedsynthError: it lacks one of them, or its file was changed.
        """
        found = self.shown(name)
        if len(found.ranges) < len(self.plan.intensity):
            found = self.prepared(name)  # which says what it lacks
        return found.x[: len(self.plan.intensity)]

    @functools.lru_cache(maxsize=32)  # noqa: B019 - lives as long as the folder is worked on
    def _prepared(self, name: str, *, whole: bool) -> Prepared:
        plan = self.plan if whole else self.plan.without_missing(self.record(name))
        item = prepare_case(self.folder, self.record(name), plan)
        x = item["x"][len(item["x"]) // 2]
        return Prepared(x[: plan.made], Told(x[plan.made :], item["present"]), item["range"], item["affine"])

    def attributes(self, name: str) -> Mapping[str, Attribute]:
        """What is known of a case, its geometry's share too, or what a sample was asked to be."""
        record = self.record(name)
        return attributes_of(record, self.plan.resampling) if isinstance(record, CaseRecord) else record.condition

    def origins(self, names: Iterable[str]) -> Origins:
        """What a sample made from these takes over.

        Raises:
            MedsynthError: they are of different splits.
        """
        records = [self.record(name) for name in dict.fromkeys(names)]
        if not records:
            return Origins()
        splits = {self.split_of(record) for record in records}
        if len(splits) > 1:
            raise MedsynthError(
                "the scans that a sample is made from are of different splits, and it would be in both; take scans of "
                "one, or set plan.split"
            )
        licences = {
            licence
            for record in records
            for licence in (record.licences if isinstance(record, SampleRecord) else (record.licence,))
            if licence
        }
        least = least_cleared(self._identity.get(record.id, record.identity) for record in records)
        overrides = {name for record in records if isinstance(record, SampleRecord) for name in record.overrides}
        if least != "cleared":
            overrides.add(f"identity={'trust' if least == 'trusted' else least}")
        return Origins(
            parents=tuple(record.sha256 for record in records),
            patient=_patient(records),
            split=splits.pop(),
            identity=least,
            licences=tuple(sorted(licences)),
            overrides=tuple(sorted(overrides)),
        )


def _patient(records: Iterable[Record]) -> str:
    """The patient's key; of several theirs joined, in one order; of a sample of nobody's one of its own.

    Keys that are too long together give way to a hash of them all.
    """
    keys = {key for record in records for key in (record.patient or f"synthetic-{record.sha256[:16]}").split(".")}
    joined = ".".join(sorted(keys))
    return joined if len(joined) <= _LONGEST_KEY else f"several-{sha256_json(sorted(keys))[:32]}"
