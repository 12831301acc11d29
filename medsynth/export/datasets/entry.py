"""One case of a data set, real or synthetic, and what all cases of one have in common."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from medsynth.errors import MedsynthError
from medsynth.export.dicom_origin import patient_id
from medsynth.records import Attribute, Record, SampleRecord, Split

Source = Literal["real", "synthetic"]
SOURCES: tuple[Source, ...] = ("real", "synthetic")
_SAMPLE = re.compile(r"s\d{6}\Z")
_CASE = re.compile(r"c[0-9a-f]{16}\Z")
_LONGEST = 64


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A case that goes out.

    Args:
        record: of a case or a sample.
        folder: that the record's paths start in.
        split: of the data set that it is in.
        verdict: of the audit: "pass", "cannot-assess", "not audited"; empty for a real case.
        people: whose scans are in it, one key a person; empty for a sample of nobody's.
        said: what the gate says of it.
    """

    record: Record
    folder: Path
    split: Split
    verdict: str = ""
    people: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """Whether a patient was scanned, or it was made."""
        return "synthetic" if isinstance(self.record, SampleRecord) else "real"

    @property
    def name(self) -> str:
        """Of its files: the id where it is one of ours, else a part of the record's hash: no id is a path."""
        if isinstance(self.record, SampleRecord):
            return self.record.id if _SAMPLE.match(self.record.id) else f"x{self.record.sha256[:16]}"
        return self.record.id if _CASE.match(self.record.id) else f"r{self.record.sha256[:16]}"

    @property
    def patient(self) -> str:
        """The pseudonym, or a key of its own for a sample of nobody's."""
        return patient_id(self.record) if isinstance(self.record, SampleRecord) else self.record.patient

    @property
    def parents(self) -> tuple[str, ...]:
        """Hashes of the records that it was made from."""
        return self.record.parents if isinstance(self.record, SampleRecord) else ()

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What is known of a case, or what a sample was asked to be."""
        return self.record.condition if isinstance(self.record, SampleRecord) else self.record.attributes

    @property
    def licences(self) -> tuple[str, ...]:
        """Of the scans behind it, as far as they are said."""
        if isinstance(self.record, SampleRecord):
            return self.record.licences
        return (self.record.licence,) if self.record.licence else ()

    @property
    def mark(self) -> str:
        """For the header of each of its files, up to 79 ASCII characters."""
        kind = "real" if self.source == "real" else "SYNTHETIC IN PART" if self.people else "SYNTHETIC"
        return f"{kind}, medsynth, record {self.record.sha256[:32]}"


class Form(NamedTuple):
    """What every case of the data set has: image channels with their units, a label map, its values and their names.

    `labels` lacks the background.
    """

    images: dict[str, str]
    label: str | None
    labels: dict[int, str]
    rank: int


def form_of(records: Sequence[SampleRecord]) -> Form:
    """The form of samples, the same for all.

    Raises:
        MedsynthError: samples of several forms, without an image, or with several label maps.
    """
    first = _channels(records[0])
    for record in records[1:]:
        if _channels(record) != first:
            raise MedsynthError(f"sample {record.id} has other channels than the first; export samples of one model")
    images, maps, rank = first
    if not images:
        raise MedsynthError("the samples have no image; export samples with one")
    if len(maps) > 1:
        raise MedsynthError("the samples have several label maps, and these formats take one; export samples with one")
    return Form(dict(images), maps[0] if maps else None, agreed_labels(records), rank)


def agreed_labels(records: Sequence[Record]) -> dict[int, str]:
    """Name of each value but the background's.

    Raises:
        MedsynthError: one value under two names.
    """
    agreed: dict[int, str] = {}
    for record in records:
        for value, name in record.labels.items():
            if value and agreed.setdefault(value, name) != name:
                raise MedsynthError(
                    f"case {record.id}: its label map names the value {value} otherwise than others do; ingest it with "
                    "the labels= of the samples"
                )
    if any(value < 0 for value in agreed):
        raise MedsynthError("a label has a value below 0; ingest the cases with labels= of 0 and more")
    return dict(sorted(agreed.items()))


def _channels(record: Record) -> tuple[list[tuple[str, str]], list[str], int]:
    images = sorted((name, one.units) for name, one in record.channels.items() if one.kind == "image")
    maps = sorted(name for name, channel in record.channels.items() if channel.kind == "label")
    return images, maps, record.geometry.rank


def plain_labels(labels: Mapping[int, str]) -> dict[int, str]:
    """Names that are one line and no two alike, none of them "background" or "ignore", which nnU-Net keeps for itself.

    >>> plain_labels({1: "liver", 4: "liver", 5: "ignore"})
    {1: 'liver (1)', 4: 'liver (4)', 5: 'label 5'}
    """
    fine = {value: one_line(name)[:_LONGEST] for value, name in labels.items()}
    fine = {
        value: f"label {value}" if not name or name.lower() in ("background", "ignore") else name
        for value, name in fine.items()
    }
    names = list(fine.values())
    return {value: f"{name} ({value})" if names.count(name) > 1 else name for value, name in fine.items()}


def one_line(text: str) -> str:
    """Letters that can be printed and stored; others become blanks, and those at the ends fall."""
    fine = "".join(letter if letter.isprintable() else " " for letter in text)
    return fine.encode("utf-8", "replace").decode().strip()
