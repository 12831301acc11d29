"""Generate: a plan of samples -> NIfTI volumes and samples.jsonl, resumable."""

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import Progress, TaskID

from medsynth.data.preparation import Preparation
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError, RunError
from medsynth.generation.edits import RETURNS_BELOW
from medsynth.generation.inpainting import REACH
from medsynth.generation.making import Maker
from medsynth.generation.parents import Origins, Parents
from medsynth.generation.plan import LEVELS, EditPlan, Row
from medsynth.generation.rows import cut_texts, rows_of
from medsynth.generation.writing import (
    PARTS,
    SHEET_FILE,
    Made,
    finished,
    label_of,
    sheet,
    write_part,
    write_volumes,
)
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import denoiser_of
from medsynth.models.model import DiffusionModel, require_diffusion
from medsynth.models.run import Run, load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import SAMPLES_FILE, Attribute, SampleRecord, least_cleared, write_records


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
    count: int | None = None,
    seed: int = 0,
    sampler: SamplingPlan | None = None,
    plan: EditPlan | None = None,
    parents: Path | None = None,
    table: Path | None = None,
    guide: Path | None = None,
    guide_step: int | None = None,
    condition: Mapping[str, Attribute] | None = None,
    weights: str = "best",
    ema: float | None = None,
    batch_size: int = 8,
    device: str = "auto",
    progress: bool = True,
) -> GenerateReport:
    """Make `count` samples, or the rest of them where an earlier call stopped.

    A model with classes makes them in turn, sample i the i-th class, unless `condition` names one. With
    a table or an edit nothing goes in turn: what neither says, nor an edited parent, is left open.

    Args:
        run: RUN.
        out: SAMPLES.
        count: how many; with a table its rows, and None then.
        seed: with a sample's index it fixes the sample's noise.
        sampler: how noise becomes a sample; a GAN has none.
        plan: what samples are made from; None is noise alone.
        parents: CASES or SAMPLES that they are made from.
        table: a CSV with one row a sample, see `table_rows`.
        guide: a worse run of the same samples, earlier or smaller: autoguidance by sampler.guidance.
        guide_step: step of a snapshot of the guide, which may be the run itself; None takes its `weights`.
        condition: attributes for all samples, and a text.
        weights: "best", "last" or "untrained" (a control).
        ema: with "last": relative width of the average of the weights; None is the trained one.
        batch_size: how many at a time; does not change the samples.
        device: "auto", "cpu" or "cuda".
        progress: whether to show a bar.

    Raises:
        MedsynthError: a damaged run, a condition or a plan that the model has no use for, a guide that has seen those
            who are held out for test, a full disk.
    """
    started = time.monotonic()
    if batch_size < 1 or (count is not None and count < 1):
        raise MedsynthError("count and batch_size are at least 1")
    place = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    loaded = load_run(run, weights=weights, ema=ema, device=place)
    worse = _guide(guide, guide_step, weights, place)
    preparation, model = Preparation.read(run), loaded.model
    if guide is not None:
        _require_same_test_patients(guide, preparation)
    found = None if parents is None else Parents(parents, preparation, model.layout)
    maker = Maker(
        model, None if worse is None else worse.model, preparation, sampler or SamplingPlan(), plan or EditPlan(), found
    )
    maker.check()
    rows = rows_of(maker, table, count, seed, dict(condition or {}))
    job = _Job(out, loaded, worse, guide_step, maker, weights, ema)
    job.check(rows)
    out.mkdir(parents=True, exist_ok=True)
    done = finished(out, len(rows))
    if any(not job.made(done[index], rows[index]) for index in done):
        raise MedsynthError(f"{out} holds samples of another run or plan; choose another out")
    preparation.write(out)
    note = cut_texts(maker, rows) if progress else None
    if note:
        print(f"note: {note}", flush=True)
    todo = [row for row in rows if row.index not in done]
    with progress_bar(progress) as bar:
        steps = maker.steps
        task = bar.add_task("generating", total=len(rows) * steps, completed=(len(rows) - len(todo)) * steps, note="")
        for batch in _batches(todo, batch_size):
            done.update(job.make(batch, _advance(bar, task, len(batch))))
            bar.update(task, completed=len(done) * steps)
    records = [done[row.index] for row in rows]
    write_records(out / SAMPLES_FILE, records)
    sheet(out, records, model.layout)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return GenerateReport(len(rows), len(todo), time.monotonic() - started, out / SHEET_FILE)


def _guide(guide: Path | None, step: int | None, weights: str, device: str) -> Run | None:
    """The run that guides, as it is or as it was at a step."""
    if guide is None:
        if step is not None:
            raise MedsynthError("guide_step is a step of the guide: set guide=RUN too, the run itself for instance")
        return None
    if step is None:
        return load_run(guide, weights=weights, device=device)
    try:
        return load_run(guide, weights="last", step=step, device=device)
    except RunError:
        raise
    except MedsynthError as error:
        raise MedsynthError(f"guide_step={step}: {error}") from None


def _require_same_test_patients(guide: Path, preparation: Preparation) -> None:
    """Refuse a guide that has trained on patients who are held out for test: the samples would have learnt from them.

    Which of the others it saw may differ: a worse guide is often one that saw fewer.
    """
    other = Preparation.read(guide)
    same = all(getattr(other.split, key) == getattr(preparation.split, key) for key in ("seed", "validation", "test"))
    if other.cases_sha256 == preparation.cases_sha256 and not same:
        raise MedsynthError(
            "guide: that run divided the same patients in another way, and has seen some that are held out for test "
            "here; take one with the data.split.seed, validation and test of the run"
        )


def _batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Rows that go together: those of one strength, which walk one grid."""
    for _, alike in itertools.groupby(sorted(rows, key=lambda row: row.strength), key=lambda row: row.strength):
        together = list(alike)
        yield from (together[start : start + size] for start in range(0, len(together), size))


@dataclass(frozen=True)
class _Job:
    """What all samples of a folder have in common, and what their records say of it."""

    out: Path
    run: Run
    guide: Run | None
    guide_step: int | None
    maker: Maker
    weights: str
    ema: float | None

    @property
    def sampler(self) -> dict[str, Attribute]:
        """Of the samples' records."""
        guide: dict[str, Attribute] = {} if self.guide is None else {"guide": self.guide.checkpoint}
        if self.guide_step is not None:
            guide["guide_step"] = self.guide_step
        return {**self.maker.sampler, "weights": self.weights, "ema": self.ema, **guide}

    def edit(self, row: Row) -> dict[str, Attribute]:
        """What the record says of an edit, beside the sampler."""
        plan = self.maker.plan
        own: dict[str, Attribute] = {"noise": row.noise} if row.noise != row.index else {}
        if row.parents:
            order = list(dict.fromkeys(row.parents.values()))
            own["edit.roles"] = " ".join(f"{role}={order.index(name)}" for role, name in sorted(row.parents.items()))
        if plan.edit == "none":
            return own
        names = {
            "inpaint": ("returns", "label"),
            "thin_slices": ("returns", "axis", "factor"),
            "image_to_image": (),
            "variations": (),
            "interpolate": (),
        }[plan.edit]
        said: dict[str, Attribute] = {f"edit.{name}": getattr(plan, name) for name in names}
        if plan.edit == "inpaint":
            said |= {"edit.mask": json.dumps(asdict(plan.mask), sort_keys=True), "edit.reach": REACH}
        if "returns" in names:  # no setting, but it fixes the result: samples of another version are not gone on with
            said["edit.returns_below"] = RETURNS_BELOW
        level = LEVELS.get(plan.edit)
        if level is not None:
            said[f"edit.{level}"] = getattr(row, level)
        return {**own, "edit": plan.edit, **said}

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse a plan or a guide that the model has no use for, before anything is written."""
        maker = self.maker
        if isinstance(maker.model, DiffusionModel):
            worse = None if maker.worse is None else require_diffusion(maker.worse, "guide: it")
            denoiser_of(maker.model, [Asked()], maker.sampling, worse)
            maker.sampling.levels(maker.model.parametrisation.schedule)
        maker.asked(rows[0])

    def made(self, record: SampleRecord, row: Row) -> bool:
        """Whether a record is of this row."""
        return (
            record.seed == row.seed
            and record.checkpoint == self.run.checkpoint
            and record.sampler == {**self.sampler, **self.edit(row)}
            and record.condition == self.maker.attributes(row, self.maker.source(row))
            and record.parents == self._origins(row).parents
        )

    def _origins(self, row: Row) -> Origins:
        return Origins() if self.maker.parents is None else self.maker.parents.origins(row.parents.values())

    def make(self, rows: Sequence[Row], on_step: Callable[[int], None]) -> dict[int, SampleRecord]:
        """Make and write a batch of samples: records by index."""
        return {row.index: self._write(row, asked, made) for row, asked, made in self.maker.make(rows, on_step)}

    def _write(self, row: Row, asked: Asked, made: Made) -> SampleRecord:
        layout, origins = self.run.model.layout, self._origins(row)
        channels = write_volumes(self.out, row.index, made, layout, derived=bool(origins.parents))
        # A guide has seen patients too.
        trained = [run.info for run in (self.run, self.guide) if run is not None]
        label = label_of(layout)
        record = SampleRecord(
            id=f"s{row.index:06d}",
            index=row.index,
            seed=row.seed,
            condition=asked.attributes,
            sampler={**self.sampler, **self.edit(row)},
            channels=channels,
            geometry=made.geometry,
            checkpoint=self.run.checkpoint,
            identity=least_cleared([origins.identity, *(info.identity for info in trained)]),
            labels=label.values if label and label.name in channels else {},
            overrides=tuple(sorted({*origins.overrides, *(name for info in trained for name in info.overrides)})),
            licences=tuple(sorted({*origins.licences, *(name for info in trained for name in info.licences)})),
            parents=origins.parents,
            patient=origins.patient,
            split=origins.split,
        )
        write_part(self.out, record)
        return record


def _advance(bar: Progress, task: TaskID, samples: int) -> Callable[[int], None]:
    return lambda _step: bar.advance(task, samples)
