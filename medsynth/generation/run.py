"""Generate: a plan of samples -> NIfTI volumes and samples.jsonl, resumable."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID

from medsynth.data.contact_sheet import contact_sheet
from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.data.preparation import Preparation
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.files import inside, sha256_file, write_json
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import denoiser_of, sample_latents
from medsynth.models.layout import Decoded
from medsynth.models.model import DiffusionModel
from medsynth.models.run import Run, load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import (
    SAMPLES_FILE,
    Attribute,
    Channel,
    SampleRecord,
    least_cleared,
    read_records,
    write_records,
)

SYNTHETIC = "synthetic, medsynth: no patient's scan"
"""Stands in the header of every volume."""

_PARTS = ".parts"
SHEET_FILE = "contact_sheet.png"


@dataclass(frozen=True)
class GenerateReport:
    """How many samples lie in the folder, how many of them this call made, its seconds, and the contact sheet."""

    samples: int
    made: int
    seconds: float
    sheet: Path

    @property
    def summary(self) -> str:
        """One line for the eye."""
        return f"{self.samples} samples, {self.made} of them made now in {self.seconds:.0f} s; see {self.sheet}"


def generate(
    run: Path,
    out: Path,
    *,
    count: int,
    seed: int = 0,
    sampler: SamplingPlan | None = None,
    guide: Path | None = None,
    condition: Mapping[str, Attribute] | None = None,
    weights: str = "best",
    ema: float | None = None,
    batch_size: int = 8,
    device: str = "auto",
    progress: bool = True,
) -> GenerateReport:
    """Make `count` samples, or the rest of them where an earlier call stopped.

    A model with classes makes them in turn, sample i the i-th class, unless `condition`
    names one.

    Args:
        run: RUN.
        out: SAMPLES.
        count: how many.
        seed: with a sample's index it fixes the sample's noise.
        sampler: how noise becomes a sample.
        guide: a worse run of the same samples, earlier or smaller: autoguidance by sampler.guidance.
        condition: attributes for all samples.
        weights: "best", "last" or "untrained" (a control).
        ema: with "last": relative width of the average of the weights; None is the trained one.
        batch_size: how many at a time; does not change the samples.
        device: "auto", "cpu" or "cuda".
        progress: whether to show a bar.

    Raises:
        MedsynthError: a damaged run, a condition the model does not know, a full disk.
    """
    started = time.monotonic()
    if count < 1 or batch_size < 1:
        raise MedsynthError("count and batch_size are at least 1")
    place = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    loaded = load_run(run, weights=weights, ema=ema, device=place)
    worse = None if guide is None else load_run(guide, weights=weights, device=place)
    conditioner, given = loaded.model.conditioner, dict(condition or {})
    conditioner.check(given)
    wanted = [conditioner.in_turn(index, given) for index in range(count)]
    preparation = Preparation.read(run)
    job = _Job(out, loaded, worse, preparation, sampler or SamplingPlan(), seed, weights, ema)
    job.check([Asked(each) for each in wanted[:1]])
    out.mkdir(parents=True, exist_ok=True)
    finished = _finished(out, count)
    asked = {index: (seed, job.sampler, wanted[index], loaded.checkpoint) for index in finished}
    if any((r.seed, r.sampler, r.condition, r.checkpoint) != asked[index] for index, r in finished.items()):
        raise MedsynthError(f"{out} holds samples of another run or plan; choose another out")
    preparation.write(out)
    todo = [index for index in range(count) if index not in finished]
    with progress_bar(progress) as bar:
        steps = job.plan.steps
        task = bar.add_task("generating", total=count * steps, completed=(count - len(todo)) * steps, note="")
        for start in range(0, len(todo), batch_size):
            indices = todo[start : start + batch_size]
            made = job.make(indices, [Asked(wanted[index]) for index in indices], _advance(bar, task, len(indices)))
            finished.update(zip(indices, made, strict=True))
    records = [finished[index] for index in range(count)]
    write_records(out / SAMPLES_FILE, records)
    _sheet(out, records, loaded)
    shutil.rmtree(out / _PARTS, ignore_errors=True)
    return GenerateReport(count, len(todo), time.monotonic() - started, out / SHEET_FILE)


@dataclass(frozen=True)
class _Job:
    """What all samples of a folder have in common."""

    out: Path
    run: Run
    guide: Run | None
    preparation: Preparation
    plan: SamplingPlan
    seed: int
    weights: str
    ema: float | None

    @property
    def sampler(self) -> dict[str, Attribute]:
        """Of the samples' records."""
        guide = {} if self.guide is None else {"guide": self.guide.checkpoint}
        return {**self.plan.to_record(), "weights": self.weights, "ema": self.ema, **guide}

    @property
    def worse(self) -> DiffusionModel | None:
        """The guide's model."""
        return None if self.guide is None else self.guide.model

    @property
    def grid(self) -> Geometry:
        """Where the files lie: a slice of a volume somewhere in the patient, which a plane cannot say."""
        grid = self.run.model.layout.grid
        return grid if self.preparation.resampling.slices is None else grid.as_volume

    def check(self, asked: Sequence[Asked]) -> None:
        """Refuse a plan or a guide that the model has no use for, before anything is written."""
        model = self.run.model
        denoiser_of(model, asked, self.plan, self.worse)
        self.plan.levels(model.parametrisation.schedule)

    def make(
        self, indices: Sequence[int], asked: Sequence[Asked], on_step: Callable[[int], None]
    ) -> list[SampleRecord]:
        """Make and write a batch of samples."""
        model = self.run.model
        latents = sample_latents(
            model,
            indices,
            asked,
            seed=self.seed,
            plan=self.plan,
            worse=self.worse,
            on_step=on_step,
        )
        decoded = [model.layout.decode(x) for x in model.decode(latents)]
        return [
            self._write(index, each.attributes, made) for index, each, made in zip(indices, asked, decoded, strict=True)
        ]

    def _write(self, index: int, condition: Mapping[str, Attribute], decoded: Decoded) -> SampleRecord:
        """Write one sample's volumes, then the part that says they are whole."""
        layout, out, grid = self.run.model.layout, self.out, self.grid
        channels = {}
        for image in layout.images:
            path = f"volumes/{index:06d}_{image.name}.nii.gz"
            write_nifti(out / path, decoded.images[image.name].reshape(grid.shape), grid, SYNTHETIC)
            channels[image.name] = Channel(
                path=path, kind="image", units=image.units, modality=image.modality, sha256=sha256_file(out / path)
            )
        if layout.label is not None and decoded.label is not None:
            path = f"volumes/{index:06d}_{layout.label.name}.nii.gz"
            write_nifti(out / path, decoded.label.reshape(grid.shape), grid, SYNTHETIC)
            sha256 = sha256_file(out / path)
            channels[layout.label.name] = Channel(path=path, kind="label", units="label", sha256=sha256)
        # A guide has seen patients too.
        origins = [run.info for run in (self.run, self.guide) if run is not None]
        record = SampleRecord(
            id=f"s{index:06d}",
            index=index,
            seed=self.seed,
            condition=condition,
            sampler=self.sampler,
            channels=channels,
            geometry=grid,
            checkpoint=self.run.checkpoint,
            identity=least_cleared(info.identity for info in origins),
            labels=layout.label.values if layout.label else {},
            overrides=tuple(sorted({name for info in origins for name in info.overrides})),
            licences=tuple(sorted({name for info in origins for name in info.licences})),
        )
        write_json(out / _PARTS / f"{index:06d}.json", record.to_json())
        return record


def _finished(out: Path, count: int) -> dict[int, SampleRecord]:
    """Samples that an earlier call of the same plan wrote whole."""
    found: dict[int, SampleRecord] = {}
    candidates = []
    if (out / SAMPLES_FILE).exists():
        candidates = read_records(out / SAMPLES_FILE, SampleRecord)
    for part in sorted((out / _PARTS).glob("*.json")):
        try:
            candidates.append(SampleRecord.from_json(json.loads(part.read_text())))
        except (MedsynthError, ValueError, KeyError, TypeError, AttributeError):
            continue
    for record in candidates:
        whole = all(
            inside(out, channel.path).is_file() and sha256_file(inside(out, channel.path)) == channel.sha256
            for channel in record.channels.values()
        )
        if whole and record.index < count:
            found[record.index] = record
    return found


def _sheet(out: Path, records: list[SampleRecord], run: Run) -> None:
    layout = run.model.layout
    first = layout.images[0]
    shown = records[:64]
    label = layout.label.name if layout.label else None

    def array(record: SampleRecord, name: str) -> NDArray[Any]:
        return read_nifti(inside(out, record.channels[name].path)).array.reshape(layout.grid.shape)

    contact_sheet(
        out / SHEET_FILE,
        [array(record, first.name) for record in shown],
        geometries=[layout.grid] * len(shown),
        window=(first.low, first.high),
        labels=[array(record, label) for record in shown] if label else None,
        label_names=layout.label.values if layout.label else None,
        captions=[" ".join(str(value) for value in (record.id, *record.condition.values())) for record in shown],
        title=f"synthetic, {len(records)} samples" + (f", the first {len(shown)}" if len(records) > len(shown) else ""),
    )


def _advance(bar: Progress, task: TaskID, samples: int) -> Callable[[int], None]:
    return lambda _step: bar.advance(task, samples)
