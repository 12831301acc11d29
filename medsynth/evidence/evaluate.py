"""Evaluate a folder of samples against the real cases that its model came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from medsynth.data.preparation import PREPARATION_FILE, Preparation, PreparedCase, load_prepared
from medsynth.data.prepared import default_cache
from medsynth.data.progress import progress_bar
from medsynth.errors import GeometryError, MedsynthError
from medsynth.evidence.comparison import Compared, Verdict
from medsynth.evidence.groups import ALL, Group, compare_group, make_groups
from medsynth.evidence.pictures import Picture, write_pictures
from medsynth.evidence.report import evaluation_json
from medsynth.evidence.reporting.run import evaluation_page
from medsynth.evidence.sample_files import read_sample_file
from medsynth.evidence.segmenter_check import judge_by_segmenter, with_segmenter
from medsynth.evidence.segmenter_pairs import pair_of, with_label
from medsynth.evidence.summary import summary_text
from medsynth.files import sha256_file, write_json, write_text
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, HaarPlan
from medsynth.models.layout import ImageChannel
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

EVALUATION_FILE = "evaluation.json"
PAGE_FILE = "evaluation.html"
_STEPS = 13  # of a group and channel, for the progress bar


@dataclass(frozen=True)
class Evaluation:
    """What came out: the verdict over all lines, the JSON's content and where both files lie."""

    verdict: Verdict
    content: dict[str, Any]
    json: Path
    page: Path

    @property
    def summary(self) -> str:
        """The verdicts as text: every line with its value and its bar, and the bad cases."""
        return f"{summary_text(self.content)}\nverdict: {self.verdict}; see {self.page}".lstrip("\n")

    def lines(self) -> list[dict[str, Any]]:
        """Every line of every group and channel, with their names; a segmenter's are of all channels."""
        lines = [
            {"group": group["name"], "channel": channel["name"], **line}
            for group in self.content["groups"]
            for channel in group["channels"]
            for line in channel["lines"]
        ]
        judged = self.content.get("segmenter", {"lines": []})
        return lines + [{"group": ALL, "channel": ALL, **line} for line in judged["lines"]]


class Samples(NamedTuple):
    """The synthetic images by channel (N, *spatial), label maps (N, *spatial) or None, and their records."""

    records: list[SampleRecord]
    images: dict[str, NDArray[np.float32]]
    labels: NDArray[np.integer] | None


def evaluate(
    samples: Path,
    cases: Path,
    out: Path,
    *,
    seed: int = 0,
    permutations: int = 999,
    splits: int = 200,
    progress: bool = True,
    by: str | None = None,
    features: Mapping[str, FeaturePlan] | None = None,
    segmenter: int | None = None,
    cache: Path | None = None,
) -> Evaluation:
    """Judge the samples of a folder beside real draws and bad cases; write evaluation.json, its page and its pictures.

    Args:
        samples: SAMPLES, as generate left it (samples.jsonl, preparation.json, NIfTI).
        cases: CASES that the model was trained on.
        out: folder for the files.
        seed: of all chance: splits, controls, permutations; 0 or more.
        permutations: of the MMD's p, at least 1.
        splits: real-against-real splits that the bars come from, at least 20.
        progress: show a bar on the terminal.
        features: plans of feature extractors by the name that results carry, `HaarPlan` alone by default. All are
            fixed on real training images.
        by: condition whose values are evaluated each against their own reals, and then together; None is
            their first; without any, all at once.
        segmenter: training steps of a segmenter that judges images against their label maps; None trains none.
        cache: folder for features that are trained, an encoder's; None is the user's own.

    Raises:
        MedsynthError: a folder that is not whole, samples on another grid than the preparation says,
            cases that are not those of the training.
    """
    if splits < 20 or permutations < 1:
        raise MedsynthError("evaluate needs at least 20 splits and 1 permutation")
    if seed < 0:
        raise MedsynthError("seed is 0 or more")
    plans = {"haar": HaarPlan()} if features is None else dict(features)
    if not plans:
        raise MedsynthError("features: none are given; haar does for all images")
    if segmenter is not None and segmenter < 1:
        raise MedsynthError("segmenter is a number of training steps, 1 or more; null trains none")
    preparation = Preparation.read(samples / PREPARATION_FILE)
    if segmenter is not None:
        with_label(preparation, read_records(samples / SAMPLES_FILE, SampleRecord))
    synthetic = read_samples(samples, preparation)
    by = _condition(by, synthetic.records)
    with progress_bar(progress) as bar:
        task = bar.add_task("reading real cases", total=None, note="")
        prepared = load_prepared(cases, preparation)
        groups = make_groups(synthetic.records, prepared, by, seed, splits)
        total = len(groups) * len(preparation.layout.images) * _STEPS
        bar.update(task, total=total, description="evaluating")

        def step(word: str) -> None:
            bar.update(task, advance=1, note=word)

        compared = _compare(
            groups, synthetic, prepared, preparation, plans, permutations, seed, cache or default_cache(), step
        )
        bar.update(task, completed=total, note="")
        judged = None
        if segmenter is not None:
            judged = _segmented(samples, cases, out, preparation, steps=segmenter, seed=seed, bar=bar)
    pictures = _pictures(groups, synthetic, prepared, preparation)
    content = evaluation_json(
        groups,
        compared,
        synthetic.records,
        prepared,
        preparation,
        settings={
            "seed": seed,
            "permutations": permutations,
            "splits": splits,
            "by": by,
            "features": list(plans),
            "segmenter": segmenter,
        },
        samples_sha256=sha256_file(samples / SAMPLES_FILE),
        pictures=write_pictures(out, pictures, seed),
    )
    content = content if judged is None else with_segmenter(content, judged)
    write_text(out / PAGE_FILE, evaluation_page(content, out, synthetic.records, preparation, seed=seed))
    write_json(out / EVALUATION_FILE, content)
    return Evaluation(content["verdict"], content, out / EVALUATION_FILE, out / PAGE_FILE)


def _condition(by: str | None, records: Sequence[SampleRecord]) -> str | None:
    """The condition to group by: the one asked for, or the samples' first; None where they have none."""
    known = list(dict.fromkeys(name for record in records for name in record.condition))
    if by is not None and by not in known:
        raise MedsynthError(f"by={by}: the samples were conditioned on {', '.join(known) or 'nothing'}; set by=null")
    return by or next(iter(known), None)


def read_samples(folder: Path, preparation: Preparation) -> Samples:
    """Read every sample of a folder and check that all lie on the preparation's grid.

    Raises:
        MedsynthError: a record or a file that is missing, altered or on another grid.
    """
    records = read_records(folder / SAMPLES_FILE, SampleRecord)
    wanted = [channel.name for channel in preparation.layout.images]
    label = preparation.layout.label.name if preparation.layout.label else None
    arrays: dict[str, list[NDArray[Any]]] = {name: [] for name in [*wanted, *([label] if label else [])]}
    for record in records:
        for name, found in arrays.items():
            volume = read_sample_file(folder, record, name)
            array, grid = volume.array, preparation.grid
            if array.ndim == grid.rank + 1 and array.shape[-1] == 1:  # a 2D image stored as one slice
                array = array[..., 0]
            spacing = volume.geometry.spacing[: grid.rank]
            if array.shape != grid.shape or not np.allclose(spacing, grid.spacing, rtol=1e-3):
                raise GeometryError(
                    f"sample {record.id} has {array.shape} voxels of {np.round(spacing, 3).tolist()} mm, the "
                    f"preparation says {grid.shape} of {np.round(grid.spacing, 3).tolist()}; edited scans lie on "
                    "grids of their own: evaluate samples that are not edited, or generate anew"
                )
            found.append(array)
    images = {name: np.stack(arrays[name]).astype(np.float32) for name in wanted}
    return Samples(records, images, np.stack(arrays[label]).astype(np.int32) if label else None)


def _segmented(
    samples: Path, cases: Path, out: Path, preparation: Preparation, *, steps: int, seed: int, bar: Progress
) -> dict[str, Any]:
    """What a segmenter says; also of samples whose run takes the label map as its condition and makes none."""
    labelled = with_label(preparation, read_records(samples / SAMPLES_FILE, SampleRecord))
    found = read_samples(samples, labelled)
    assert found.labels is not None
    rows = range(len(found.records))
    images = [{name: stack[row] for name, stack in found.images.items()} for row in rows]
    owners = [record.patient or record.id for record in found.records]
    pair = pair_of(images, list(found.labels), owners, labelled.layout)
    task = bar.add_task("training a segmenter", total=steps, note="")

    def after(number: int, loss: float) -> None:
        bar.update(task, completed=number, note=f"loss {loss:.3f}")

    prepared = load_prepared(cases, labelled)
    return judge_by_segmenter(pair, prepared, labelled, steps=steps, seed=seed, keep=out, progress=after)


def _compare(
    groups: Sequence[Group],
    synthetic: Samples,
    prepared: Sequence[PreparedCase],
    preparation: Preparation,
    plans: Mapping[str, FeaturePlan],
    permutations: int,
    seed: int,
    cache: Path,
    step: Callable[[str], None],
) -> list[dict[str, Compared]]:
    """By group, by channel; an empty dictionary where the group cannot be measured."""
    names = _label_names(preparation)
    owners = np.array([record.id for record in synthetic.records])
    real_labels = np.stack([case.label for case in prepared if case.label is not None]) if names else None
    real_owners = np.array([case.record.patient for case in prepared])
    found = []
    for group in groups:
        compared = {}
        for number, channel in enumerate(preparation.layout.images if group.draws else ()):
            real = np.stack([_as_stored(case.images[channel.name], channel) for case in prepared])
            compared[channel.name] = compare_group(
                group,
                ImageSet(synthetic.images[channel.name], synthetic.labels if names else None, owners),
                ImageSet(real, real_labels, real_owners),
                features=plans,
                spacing=preparation.grid.spacing,
                units=channel.units,
                labels=names,
                shape_checks=number == 0,
                permutations=permutations,
                seed=seed,
                cache=cache,
                step=step,
            )
        found.append(compared)
    return found


def _as_stored(image: NDArray[Any], channel: ImageChannel) -> NDArray[np.float32]:
    """Whole numbers where samples are stored as whole numbers: rounding is no difference."""
    return (np.round(image) if channel.integer else image).astype(np.float32)


def _label_names(preparation: Preparation) -> dict[int, str]:
    label = preparation.layout.label
    return {value: name for value, name in label.values.items() if value != 0} if label else {}


def _pictures(
    groups: Sequence[Group], synthetic: Samples, prepared: Sequence[PreparedCase], preparation: Preparation
) -> list[list[Picture]]:
    """Of every group and channel, the first synthetic images and as many real ones."""
    grid = preparation.grid
    pictures = []
    for group in groups:
        ours, reals = group.samples[:8], group.pool[:: max(1, len(group.pool) // 8)][:8]
        known = [label for label in (prepared[row].label for row in reals) if label is not None]
        found: list[Picture] = []
        for channel in preparation.layout.images:
            window = (channel.low, channel.high)
            if len(ours):
                maps = None if synthetic.labels is None else list(synthetic.labels[ours])
                images = list(synthetic.images[channel.name][ours])
                found.append(Picture("synthetic", images, maps, grid, window, channel.name))
            if len(reals):
                images = [prepared[row].images[channel.name] for row in reals]
                maps = known if len(known) == len(reals) and synthetic.labels is not None else None
                found.append(Picture("real", images, maps, grid, window, channel.name))
        pictures.append(found)
    return pictures
