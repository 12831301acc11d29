"""Train a model on a folder of cases: the whole way from cases.jsonl to a run folder."""

import logging
import platform
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import monai
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from medsynth import __version__
from medsynth.data.augmentation import Augmentation
from medsynth.data.datamodule import VolumeDataModule
from medsynth.data.dataset import PreparedCases, default_cache
from medsynth.data.fitting import FittedData, fit_preparation
from medsynth.data.resampling import Intensity, Resampling
from medsynth.data.split import SplitPlan, patients_in
from medsynth.diffusion.noise import generator_for
from medsynth.errors import MedsynthError, RunError
from medsynth.models.conditioner import ClassConditioner
from medsynth.models.model import DiffusionModel
from medsynth.models.run import RunInfo, load_run, read_run, save_run
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet
from medsynth.training.checkpoints import Keeper, SealedCheckpointIO, initialise_from, newest_whole
from medsynth.training.module import DiffusionModule, Objective
from medsynth.training.progress import Previews, TrainingBar, progress_bar


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """An image channel of the cases and its intensity; see Intensity.

    `name` "image" also stands for the only image channel there is, whatever its name.
    """

    name: str
    kind: Literal["window", "percentiles"]
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """What of the cases is learnt.

    Args:
        images: the image channels, in order.
        label: label channel generated along with the images, or None.
        resampling: orientation, spacing, size, slices.
        split: patients for validation and test.
        conditions: attributes the model is conditioned on ("class").
        augmentation: of training cases.
        batch_size: of the global batch.
        validation_most: largest number of validation samples.
    """

    images: Sequence[ImageInput]
    label: str | None
    resampling: Resampling
    split: SplitPlan
    conditions: Sequence[str] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_size: int = 8
    validation_most: int = 64

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.validation_most < 1 or not self.images:
            raise MedsynthError("data: batch_size and validation_most are at least 1, images names a channel")
        if len({image.name for image in self.images}) < len(self.images):
            raise MedsynthError("data.images names one channel twice")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and how often to look.

    Args:
        steps: optimiser steps.
        validate_every: steps between validations; divides `steps`.
        checkpoint_every: steps between training states; a multiple of `validate_every`.
        preview_every: steps between contact sheets; a multiple of `validate_every`.
        preview_count: samples on a contact sheet, 0 for none.
    """

    steps: int
    validate_every: int
    checkpoint_every: int
    preview_every: int
    preview_count: int = 4

    def __post_init__(self) -> None:
        every = self.validate_every
        if min(self.steps, every, self.checkpoint_every, self.preview_every) < 1 or self.preview_count < 0:
            raise MedsynthError("trainer: steps and the distances between looks are at least 1")
        if self.steps % every or self.checkpoint_every % every or self.preview_every % every:
            raise MedsynthError(
                f"trainer: steps={self.steps}, checkpoint_every={self.checkpoint_every} and "
                f"preview_every={self.preview_every} must be multiples of validate_every={every}"
            )


@dataclass(frozen=True)
class TrainReport:
    """How it went: the last step, the lowest validation loss and its step, seconds, where it resumed."""

    step: int
    best_loss: float
    best_step: int
    seconds: float
    resumed_from: int

    @property
    def summary(self) -> str:
        """One line for the eye."""
        return (
            f"{self.step} steps; lowest validation loss {self.best_loss:.4f} at step {self.best_step}; "
            f"{self.seconds / 60:.1f} minutes"
        )


def train(
    cases: Path,
    out: Path,
    *,
    data: DataPlan,
    autoencoder: Identity | Haar,
    model: Callable[..., UNet],
    objective: Objective,
    trainer: Schedule,
    seed: int = 0,
    workers: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    init_from: Path | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> TrainReport:
    """Train, or go on with a training that stopped; the newest whole state in `out` is resumed.

    Args:
        cases: CASES.
        out: RUN.
        data: what of the cases is learnt.
        autoencoder: between samples and latents.
        model: makes the network from rank, channels and vector.
        objective: what is minimised.
        trainer: how long, and how often to look.
        seed: of everything random.
        workers: loading processes.
        device: "auto", "cpu" or "cuda".
        precision: "auto" (bfloat16 where the processor computes in it), "bf16" or "fp32".
        threads: of the CPU's arithmetic; None leaves torch's choice. Recorded.
        init_from: a run whose averaged weights to start from.
        cache: folder of prepared scans; by default outside every run.
        progress: whether to show bars.

    Raises:
        MedsynthError: cases that do not fit the plan, not enough patients, a damaged state.
    """
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    fitted = _fit(cases, data, cache or default_cache(), progress)
    diffusion = _model(fitted, data, autoencoder, model, seed)
    state = newest_whole(out / "checkpoints")
    begin = 0 if state is None else int(state.stem.split("-")[1])
    with_margin = fitted.plan.with_margin(data.augmentation.shift)
    training_cases = (
        fitted.cases["train"]
        if with_margin is fitted.plan
        else PreparedCases(cases, fitted.cases["train"].records, with_margin, cache or default_cache())
    )
    loaders = VolumeDataModule(
        fitted,
        training_cases,
        diffusion.conditioner,
        data.augmentation,
        batch_size=data.batch_size,
        workers=workers,
        seed=seed,
        validation_most=data.validation_most,
    )
    parent = None if init_from is None else load_run(init_from)
    if state is None:
        _fit_latents(diffusion, fitted, progress)
        if parent is not None:
            initialise_from(diffusion.network, parent.model.network.state_dict())
    accelerator, bits = _hardware(device, precision, diffusion)
    facts = {
        "seed": seed,
        "schedule": asdict(trainer),
        "objective": asdict(objective),
        "batch_size": data.batch_size,
        "augmentation": data.augmentation.to_json(),
        "init_from": None if parent is None else parent.checkpoint,
    }
    info = _info(fitted, facts, None if parent is None else parent.info)
    if state is not None:
        _require_same(out, diffusion, info)
    environment = _environment(accelerator, bits, workers)
    info = replace(info, training={**facts, "environments": _environments(out, begin, environment, progress)})
    module = DiffusionModule(diffusion, objective, seed=seed, batch_size=data.batch_size, steps=trainer.steps)
    save_run(out, diffusion, info)
    fitted.preparation.write(out)
    keeper = Keeper(out, trainer.checkpoint_every)
    if begin < trainer.steps:
        callbacks = [TrainingBar(trainer.steps, progress), keeper]
        callbacks.append(Previews(out, trainer.preview_count, trainer.preview_every))
        _run_trainer(out, module, loaders, callbacks, trainer, objective, accelerator, bits, begin, state)
    best = load_run(out).facts
    return TrainReport(
        trainer.steps, float(best["validation_loss"]), int(best["step"]), time.monotonic() - started, begin
    )


def _run_trainer(
    out: Path,
    module: DiffusionModule,
    loaders: VolumeDataModule,
    callbacks: list[Any],
    schedule: Schedule,
    objective: Objective,
    accelerator: str,
    bits: str,
    begin: int,
    state: Path | None,
) -> None:
    version = f"from-{begin:08d}"
    with _quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            precision="bf16-mixed" if bits == "bf16" else "32-true",
            max_steps=schedule.steps,
            max_epochs=-1,
            val_check_interval=schedule.validate_every,
            check_val_every_n_epoch=None,
            gradient_clip_val=objective.clip,
            num_sanity_val_steps=0,
            log_every_n_steps=min(10, schedule.validate_every),
            logger=[
                CSVLogger(out / "logs", name="csv", version=version),
                TensorBoardLogger(out / "logs", name="tensorboard", version=version),
            ],
            callbacks=callbacks,
            plugins=[SealedCheckpointIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        try:
            trainer.fit(module, datamodule=loaders, ckpt_path=None if state is None else str(state))
        except SystemExit as end:  # what Lightning makes of an interrupt
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says of choices that were made on purpose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    hook = threading.excepthook

    def unless_told(args: threading.ExceptHookArgs) -> None:
        # TensorBoard's thread hands what it meets on a full disk to the main thread, which says it.
        if not isinstance(args.exc_value, OSError):
            hook(args)

    threading.excepthook = unless_told
    with warnings.catch_warnings():
        for said in (
            "does not have many workers",
            "Experiment logs directory",
            "not resumable",
            "in eval mode",
            "LeafSpec",
        ):
            warnings.filterwarnings("ignore", f".*{said}.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _fit(cases: Path, data: DataPlan, cache: Path, progress: bool) -> FittedData:
    with progress_bar(progress) as bar:

        def each(text: str, total: int) -> Callable[[], None]:
            task = bar.add_task(text, total=total, note="")
            return lambda: bar.advance(task)

        return fit_preparation(
            cases,
            images={part.name: Intensity(kind=part.kind, low=part.low, high=part.high) for part in data.images},
            label=data.label,
            resampling=data.resampling,
            split=data.split,
            conditions=data.conditions,
            cache=cache,
            each=each,
        )


def _model(
    fitted: FittedData, data: DataPlan, autoencoder: Identity | Haar, network: Callable[..., UNet], seed: int
) -> DiffusionModel:
    training = fitted.cases["train"].records
    classes = {}
    for name in data.conditions:
        values = sorted(
            {str(record.attributes[name]) for record in training if record.attributes.get(name) is not None}
        )
        if not values:
            known = sorted(
                {key for record in training for key, value in record.attributes.items() if value is not None}
            )
            raise MedsynthError(
                f"no training case has the attribute {name}: set data.conditions; known: {', '.join(known) or 'none'}"
            )
        classes[name] = values
    conditioner = ClassConditioner(classes)
    layout = fitted.preparation.layout
    augmentation = data.augmentation.width(layout.rank)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator_for("weights", seed))))
        made = network(
            rank=layout.rank,
            channels=autoencoder.latent_channels(layout.channels, layout.rank),
            vector=conditioner.width + augmentation,
        )
    model = DiffusionModel(layout, autoencoder, made, conditioner, augmentation)
    sides = model.latent_shape[1:]
    if any(side % made.stride for side in sides):
        raise MedsynthError(
            f"data.resampling.size={list(layout.grid.shape)} gives a latent of {list(sides)}, which does not divide by "
            f"{made.stride}: make every side a multiple of {made.stride * autoencoder.stride}"
        )
    return model


def _fit_latents(model: DiffusionModel, fitted: FittedData, progress: bool) -> None:
    cases = fitted.cases["train"]
    with progress_bar(progress) as bar:
        task = bar.add_task("measuring latents", total=len(cases), note="")

        def batches() -> Any:
            for index in range(len(cases)):
                yield cases[index]["x"]
                bar.advance(task)

        model.fit_latents(batches())


def _require_same(out: Path, model: DiffusionModel, info: RunInfo) -> None:
    """Refuse to go on with a training of other cases, another model or other settings."""
    earlier, its_info = read_run(out)
    same = (
        earlier.layout.to_json() == model.layout.to_json()
        and all(
            getattr(earlier, part).spec == getattr(model, part).spec
            for part in ("autoencoder", "network", "conditioner")
        )
        and its_info.cases_sha256 == info.cases_sha256
        and {name: its_info.training.get(name) for name in info.training} == info.to_json()["training"]
    )
    if not same:
        raise MedsynthError(f"{out} holds a training of other cases or with other settings; choose another out")


def _info(fitted: FittedData, facts: Mapping[str, Any], parent: RunInfo | None) -> RunInfo:
    """What the run says of its origin; a fine-tuned model has seen its parent's patients too."""
    order = ("cleared", "trusted", "unknown")
    least = max((record.identity for record in fitted.records), key=order.index)
    overrides = set() if least == "cleared" else {f"identity={'trust' if least == 'trusted' else least}"}
    licences = {record.licence for record in fitted.records if record.licence}
    presumed = any(record.patient_source == "presumed" for record in fitted.records)
    if parent is not None:
        if parent.identity not in order:
            raise RunError("init_from: the run does not say how its patients' identity was cleared; it was altered")
        least = max(least, parent.identity, key=order.index)
        overrides |= set(parent.overrides)
        licences |= set(parent.licences)
        presumed |= parent.patient_keys_presumed
    return RunInfo(
        cases_sha256=fitted.preparation.cases_sha256,
        identity=least,
        overrides=tuple(sorted(overrides)),
        licences=tuple(sorted(licences)),
        patients={str(name): count for name, count in patients_in(fitted.splits).items()},
        patient_keys_presumed=presumed,
        training=facts,
    )


def _hardware(device: str, precision: str, model: DiffusionModel) -> tuple[str, str]:
    """Accelerator and "bf16" or "fp32"."""
    if device not in ("auto", "cpu", "cuda") or precision not in ("auto", "bf16", "fp32"):
        raise MedsynthError("device is auto, cpu or cuda; precision is auto, bf16 or fp32")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise MedsynthError("device=cuda, but torch sees no GPU; set device=cpu or install a CUDA build of torch")
    accelerator = "gpu" if cuda and device != "cpu" else "cpu"
    if precision == "auto":
        able = torch.cuda.is_bf16_supported() if accelerator == "gpu" else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if able else "fp32"
        if _bf16_gradients_break(model, accelerator):
            precision = "fp32"
    if precision == "bf16" and _bf16_gradients_break(model, accelerator):
        raise MedsynthError(
            "bf16 on a CPU needs more than 2 voxels a side in the network's coarsest level: set precision=fp32, "
            "a larger data.resampling.size or fewer model.features"
        )
    return accelerator, precision


def _bf16_gradients_break(model: DiffusionModel, accelerator: str) -> bool:
    """Whether torch's bf16 gradient of a 3D convolution is not to be trusted.

    On a CPU with AVX512-BF16 the weight gradient of volumes 2 voxels thick reads memory
    that nobody wrote (measured with torch 2.13: NaN in most calls, other bits in each).
    """
    sides = model.latent_shape[1:]
    return accelerator == "cpu" and len(sides) == 3 and min(sides) // model.network.stride <= 2


def _environment(accelerator: str, bits: str, workers: int) -> dict[str, Any]:
    return {
        "medsynth": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "lightning": lightning.__version__,
        "processor": torch.cuda.get_device_name() if accelerator == "gpu" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "workers": workers,
        "precision": bits,
    }


def _environments(out: Path, begin: int, now: dict[str, Any], progress: bool) -> list[dict[str, Any]]:
    """What the training ran on, from which step: one entry, or more where it was resumed elsewhere."""
    before = list(read_run(out)[1].training.get("environments", [])) if begin else []
    if before:
        changed = [name for name, value in now.items() if before[-1].get(name) != value]
        if not changed:
            return before
        if progress:
            print(
                f"resumed with another {', '.join(changed)}: the bits will differ from an unbroken training", flush=True
            )
    return [*before, {"from_step": begin, **now}]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
