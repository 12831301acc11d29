"""Samples with the cases of their generator beside them, written by hand."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.resampling import Intensity, Resampling
from medsynth.data.split import SplitPlan, split_patients
from medsynth.export.run import export
from medsynth.files import sha256_file, write_json
from medsynth.geometry import Geometry
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.records import CaseRecord, Channel, SampleRecord, read_records, write_records
from tests.export.conftest import _label, place, values

LABELS = {0: "background", 1: "liver", 4: "left kidney"}
CHANNELS = {"image": ("HU", None), "label": ("label", None)}
SHAPE = (8, 7, 6)


@dataclass
class Pair:
    """SAMPLES and CASES; split of each patient."""

    samples: Path
    cases: Path
    splits: dict

    def patients(self, split):
        return sorted(patient for patient, name in self.splits.items() if name == split)

    def case(self, split, number=0) -> CaseRecord:
        return [r for r in read_records(self.cases / "cases.jsonl", CaseRecord) if self.splits[r.patient] == split][
            number
        ]

    def records(self):
        return read_records(self.samples / "samples.jsonl", SampleRecord)

    def change(self, number, **changes):
        """Another record in the place of a sample's."""
        records = self.records()
        records[number] = replace(records[number], **changes)
        write_records(self.samples / "samples.jsonl", records)
        return records[number]

    def derive(self, number, *cases, **changes):
        """Make a sample one that was derived from these cases."""
        given = {
            "parents": tuple(case.sha256 for case in cases),
            "patient": ".".join(sorted({case.patient for case in cases})),
            "split": self.splits[cases[0].patient],
            **changes,
        }
        return self.change(number, **given)


def write_cases(
    folder, geometry, channels=CHANNELS, patients=10, scans=2, labels=LABELS, identity="cleared", **changes
):
    """A folder of cases, and identity.json beside them."""
    records = []
    for number in range(patients * scans):
        made = {}
        for name, (units, modality) in channels.items():
            kind = "label" if units == "label" else "image"
            shape = geometry.shape
            array = _label(shape, labels) if kind == "label" else values(units, shape, 100 + number)
            array = array + np.uint8(number) if units == "grey" else array
            path = f"volumes/{number:03d}_{name}.nii.gz"
            write_nifti(folder / path, array, geometry)
            digest = sha256_file(folder / path)
            made[name] = Channel(path=path, kind=kind, units=units, modality=modality, sha256=digest)
        record = CaseRecord(
            id=f"c{number:016x}",
            patient=f"p{number // scans:016x}",
            patient_source="csv",
            identity="cleared",
            channels=made,
            geometry=geometry,
            labels=labels if any(units == "label" for units, _ in channels.values()) else {},
            attributes={"class": "ab"[number % 2], "age": 40 + number},
            licence="CC-BY-4.0",
        )
        records.append(replace(record, **changes))
    write_records(folder / "cases.jsonl", records)
    clear(folder)
    return folder


def clear(folder):
    records = read_records(folder / "cases.jsonl", CaseRecord)
    content = {"schema": "medsynth.clearance/1", "content": [record.sha256 for record in records]}
    write_json(folder / "identity.json", content)


def write_preparation(samples, cases, geometry, channels=CHANNELS, labels=LABELS):
    records = read_records(cases / "cases.jsonl", CaseRecord)
    images = [name for name, (units, _) in channels.items() if units != "label"]
    label = next((name for name, (units, _) in channels.items() if units == "label"), None)
    preparation = Preparation(
        layout=Layout(
            images=tuple(ImageChannel(name=name, units=channels[name][0], low=0.0, high=1.0) for name in images),
            label=None if label is None else LabelChannel(name=label, values=labels),
            grid=geometry,
        ),
        intensity={name: Intensity(kind="window", low=0.0, high=1.0) for name in images},
        resampling=Resampling(orientation=None, spacing=None, size=geometry.shape),
        split=SplitPlan(seed=0, validation=0.2, test=0.2),
        cases_sha256=cases_digest(records),
    )
    preparation.write(samples)
    return split_patients(records, preparation.split)


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs"), {}


@pytest.fixture
def make_pair(make_samples, templates, tmp_path):
    """Each kind of pair is written once and copied."""
    folder, made = templates

    def make(geometry=None, channels=CHANNELS, count=4, labels=LABELS, name="pair", **changes) -> Pair:
        geometry = geometry or place("oblique", SHAPE)
        key = repr((geometry.shape, geometry.affine.tolist(), channels, count, labels, changes))
        if key not in made:
            whole = folder / str(len(made))
            samples = make_samples(whole / "samples", geometry, channels, count, labels)
            cases = write_cases(whole / "cases", geometry, channels, labels=labels, **changes)
            made[key] = Pair(samples, cases, write_preparation(samples, cases, geometry, channels, labels))
        shutil.copytree(made[key].samples.parent, tmp_path / name)
        return Pair(tmp_path / name / "samples", tmp_path / name / "cases", dict(made[key].splits))

    return make


def go(pair, out, kind, **options):
    """Export; the data set's folder."""
    options = {"unaudited": "i_accept", "real": pair.cases, "progress": False, **options}
    return export(pair.samples, out, format=kind, **options).folder


def picture(shape=(9, 8)) -> Geometry:
    return Geometry.image_plane(shape, (0.7, 1.3))


def table(folder):
    import csv

    with (folder / "dataset.csv").open(newline="") as file:
        return {line["case"]: line for line in csv.DictReader(file)}


def content(folder, name="dataset.json"):
    return json.loads((folder / name).read_text())


def same(one, other):
    return one.shape == other.shape and bool(np.array_equal(one, other))
