"""Real cases and samples of a folder as material of a task."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.data.preparation import Preparation, PreparedCase, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import read_samples
from medsynth.evidence.seen import as_seen
from medsynth.evidence.utility.arms import Pools
from medsynth.evidence.utility.folders import Row, SampleFolder
from medsynth.evidence.utility.tasks import Classification, Material, Segmentation, class_numbers
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

Rows = Sequence[int] | NDArray[np.intp]


class Loaded(NamedTuple):
    """Material of one folder: what is trained on, and the real test images."""

    pools: Pools
    test: Material


def choose_task(name: str | None, of: str, rows: Sequence[Row], device: str | None) -> Segmentation | Classification:
    """The task asked for; None takes segmentation where samples have label maps, else classification by `of`.

    Raises:
        MedsynthError: samples without label maps, or without that condition.
    """
    folder = rows[0].folders[0]
    label = folder.preparation.layout.label
    if name == "segmentation" or (name is None and label is not None):
        if label is None:
            raise MedsynthError("task=segmentation needs samples with label maps: train with data.label")
        values = tuple(sorted(label.values))
        return Segmentation(values, tuple(label.values[value] for value in values[1:]), device)
    records = read_records(folder.path / SAMPLES_FILE, SampleRecord)
    classes = sorted({str(record.condition[of]) for record in records if record.condition.get(of) is not None})
    if len(classes) < 2:
        raise MedsynthError(f"task=classification needs samples of two classes: generate with the condition {of}")
    return Classification(tuple(classes), device)


def load(folder: SampleFolder, cases: Path, task: Segmentation | Classification, of: str, longest: int) -> Loaded:
    """Read a folder of samples, and all real cases in the form that its generator learnt from its own patients.

    Args:
        folder: of samples.
        cases: CASES.
        task: says what a target is.
        of: attribute that classes are read from.
        longest: largest side of an image for classification; larger ones are averaged over blocks.
    """
    preparation = folder.preparation
    # Of all patients that are not held out, those that the generator did not have are the others.
    everyone = replace(preparation, split=replace(preparation.split, patients=None, draw=0))
    prepared = load_prepared(cases, everyone)
    longest = max(preparation.grid.shape) if isinstance(task, Segmentation) else longest

    def part(chosen: Sequence[PreparedCase]) -> Material:
        return _real(chosen, preparation, task, of, longest)

    test = [case for case in prepared if case.record.patient in folder.test]
    own = [case for case in prepared if case.record.patient in folder.patients]
    others = [case for case in prepared if case.record.patient not in folder.test | folder.patients]
    if not own or not test:
        raise MedsynthError("the row's patients, or those held out, have no case with what the samples have")
    real = part(own)
    return Loaded(
        Pools(
            real,
            part(others) if others else real.take(np.array([], dtype=np.intp)),
            _synthetic(folder, task, of, longest),
        ),
        part(test),
    )


def _real(
    cases: Sequence[PreparedCase], preparation: Preparation, task: Segmentation | Classification, of: str, longest: int
) -> Material:
    owners = np.array([case.record.patient for case in cases])
    images = as_seen([case.images for case in cases], preparation.layout, longest)
    if isinstance(task, Classification):
        return Material(images, class_numbers([case.record.attributes.get(of) for case in cases], task.parts), owners)
    labels = [case.label for case in cases if case.label is not None]
    if len(labels) < len(cases):
        raise MedsynthError("some real cases have no label map; ingest those that have")
    return Material(images, np.stack(labels).astype(np.int32), owners)


def _synthetic(folder: SampleFolder, task: Segmentation | Classification, of: str, longest: int) -> Material:
    samples = read_samples(folder.path, folder.preparation)
    rows = range(len(samples.records))
    images = as_seen(
        [{name: stack[row] for name, stack in samples.images.items()} for row in rows],
        folder.preparation.layout,
        longest,
    )
    owners = np.array([record.id for record in samples.records])
    if isinstance(task, Classification):
        return Material(images, class_numbers([r.condition.get(of) for r in samples.records], task.parts), owners)
    assert samples.labels is not None
    return Material(images, samples.labels.astype(np.int32), owners)
