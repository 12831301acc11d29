"""Runs trained for a moment, shared by the tests of generation."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.data.preparation import Preparation
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.data.split import SplitPlan, split_patients
from medsynth.files import sha256_file
from medsynth.records import CaseRecord, read_records, write_records
from medsynth.training.plan import DataPlan, GivenPlan, ImageInput, Schedule
from tests.small import SPLIT, WINDOW, train_small

PERCENTILES = ImageInput(name="image", kind="percentiles", low=1, high=99)
ALIGNED = Resampling(orientation=None, spacing=None, size=(8, 8, 12))
KINDS = {
    # An image and its label map, on the scans' own grid.
    "joint": DataPlan(images=(WINDOW,), label="label", resampling=ALIGNED, split=SplitPlan(), conditions=("class",)),
    # On another grid, by percentiles.
    "coarse": DataPlan(
        images=(PERCENTILES,),
        label="label",
        resampling=Resampling(orientation="RAS", spacing=(1.5, 1.5, 2.0), size=(12, 12, 12)),
        split=SplitPlan(),
    ),
    # Told the label map and the look.
    "told": DataPlan(
        images=(PERCENTILES,),
        label=None,
        given=GivenPlan(label="label"),
        style=True,
        resampling=ALIGNED,
        split=SplitPlan(),
    ),
    "pictures": DataPlan(
        images=(WINDOW,),
        label="label",
        resampling=Resampling(orientation=None, spacing=None, size=(12, 12)),
        split=SplitPlan(),
        conditions=("class",),
    ),
    "slices": DataPlan(
        images=(WINDOW,),
        label="label",
        resampling=Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane="axial")),
        split=SplitPlan(),
    ),
}


@pytest.fixture(scope="session")
def trained(make_cases, tmp_path_factory):
    """From a kind of run (see KINDS) to its folder; its cases lie beside it."""

    @cache
    def make(kind):
        folder = tmp_path_factory.mktemp(kind)
        flat = {"shape": (12, 12), "affine": np.diag([0.5, 0.5, 1, 1])} if kind == "pictures" else {}
        units = "arbitrary" if kind in ("coarse", "told") else "HU"
        cases = make_cases(folder / "cases", units=units, **flat)
        data = replace(KINDS[kind], split=SPLIT, batch_size=2)
        trainer = Schedule(steps=4, validate_every=2, checkpoint_every=4, preview_every=4, preview_count=0)
        train_small(cases, folder / "run", data, trainer)
        return folder / "run"

    return make


@pytest.fixture
def rewritten():
    """Change the records and arrays of a folder of cases, hashes and all."""

    def change(folder, record=lambda number, record: record, array=None, geometry=None):
        changed = []
        for number, old in enumerate(read_records(folder / "cases.jsonl", CaseRecord)):
            channels, place = dict(old.channels), geometry or old.geometry
            if array is not None:
                for name, channel in channels.items():
                    write_nifti(folder / channel.path, array(number, name), place)
                    channels[name] = replace(channel, sha256=sha256_file(folder / channel.path))
            changed.append(record(number, replace(old, channels=channels, geometry=place)))
        write_records(folder / "cases.jsonl", changed)
        return folder

    return change


@pytest.fixture(scope="session")
def train_ids(trained):
    """Cases that the run "joint" was trained on."""
    run = trained("joint")
    cases = read_records(run.parent / "cases" / "cases.jsonl", CaseRecord)
    splits = split_patients(cases, Preparation.read(run).split)
    return [case.id for case in cases if splits[case.patient] == "train"]
