"""Train a model on a folder of cases: the whole way from cases.jsonl to a run folder."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from medsynth.data.datamodule import VolumeDataModule
from medsynth.data.preparation import Preparation
from medsynth.data.prepared import PreparedCases, default_cache
from medsynth.data.texts import Texts, embed_texts
from medsynth.errors import MedsynthError, RunError, Terminated
from medsynth.files import sha256_json
from medsynth.models.gan import GanModel
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import RUN_FILE, Run, load_run, save_run
from medsynth.models.sample_model import SampleModel
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.controlled import Controlled
from medsynth.nets.discriminator import Discriminator
from medsynth.nets.generator import Generator
from medsynth.nets.text import FrozenEncoder
from medsynth.nets.unet import UNet
from medsynth.training.assembly import build_model, check_network, control, fit_data, fit_latents, is_gan
from medsynth.training.checkpoints import Keeper, SealedCheckpointIO, initialise_from, newest_whole
from medsynth.training.environment import choose_accelerator, choose_precision, describe_environment, environments
from medsynth.training.gan_assembly import build_discriminator, build_gan, gan_module, require_one_kind
from medsynth.training.gan_module import GanModule
from medsynth.training.gan_objective import GanObjective
from medsynth.training.module import DiffusionModule
from medsynth.training.objective import Objective
from medsynth.training.origin import require_cleared, require_same, run_info
from medsynth.training.plan import DataPlan, Schedule, TrainReport
from medsynth.training.progress import Previews, TrainingBar
from medsynth.training.quiet import quiet


def train(
    cases: Path,
    out: Path,
    *,
    data: DataPlan,
    autoencoder: Identity | Haar,
    model: Callable[..., UNet] | Callable[..., Generator],
    objective: Objective | GanObjective,
    trainer: Schedule,
    discriminator: Callable[..., Discriminator] | None = None,
    parametrisation: ParametrisationPlan | None = None,
    text_encoder: FrozenEncoder | None = None,
    seed: int = 0,
    workers: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    init_from: Path | None = None,
    uncleared: Literal["i_accept"] | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> TrainReport:
    """Train, or go on with a training that stopped; the newest whole state in `out` is resumed.

    Args:
        cases: CASES.
        out: RUN.
        data: what of the cases is learnt.
        autoencoder: between samples and latents.
        model: makes the network from rank, channels and vector; a Generator for a GAN.
        objective: what is minimised.
        trainer: how long, and how often to look.
        discriminator: of a GAN: makes it from rank, channels, grid and vector.
        parametrisation: what the network says; EDM where none is given, nothing of a GAN.
        text_encoder: frozen; embeds what data.text says of the cases.
        seed: of everything random, 0 or more.
        workers: loading processes.
        device: "auto", "cpu" or "cuda".
        precision: "auto" (bfloat16 where the processor computes in it), "bf16" or "fp32".
        threads: of the CPU's arithmetic; None leaves torch's choice. Recorded.
        init_from: a run whose averaged weights to start from.
        uncleared: "i_accept" takes cases that no identity gate cleared; it is recorded.
        cache: folder of prepared scans; by default outside every run.
        progress: whether to show bars.

    Raises:
        MedsynthError: cases that were not cleared, that do not fit the plan, not enough patients, a damaged state.
    """
    started = time.monotonic()
    if seed < 0 or workers < 0 or (threads is not None and threads < 1):
        raise MedsynthError("seed and workers are 0 or more, threads 1 or more, or null")
    if threads is not None:
        torch.set_num_threads(threads)
    require_one_kind(model, objective, discriminator, parametrisation, text_encoder, init_from)
    check_network(data, autoencoder, model)
    accelerator = choose_accelerator(device, precision)
    require_cleared(cases, accepted=uncleared == "i_accept")
    fitted = fit_data(cases, data, cache or default_cache(), progress)
    _note_units(fitted.preparation, progress)
    texts = embed_texts(data.text, text_encoder, [*fitted.cases["train"].records, *fitted.cases["validation"].records])
    _note_texts(texts, progress)
    made: SampleModel
    if is_gan(model):
        made = build_gan(fitted, data, autoencoder, cast(Callable[..., Generator], model), seed)
    else:
        network = cast(Callable[..., UNet], model)
        made = build_model(
            fitted, data, autoencoder, network, parametrisation or ParametrisationPlan(), seed, text_encoder
        )
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
        made.conditioner,
        data.augmentation,
        batch_size=data.batch_size,
        workers=workers,
        seed=seed,
        validation_most=data.validation_most,
        texts=texts,
    )
    parent = None if init_from is None else load_run(init_from)
    if init_from is not None:
        _require_its_split(init_from, fitted.preparation)
    if state is None:
        _begin(made, parent, loaders, progress)
    bits = choose_precision(accelerator, precision, made)
    critic = None if discriminator is None else build_discriminator(cast(GanModel, made), discriminator, seed)
    facts = {
        "seed": seed,
        "schedule": asdict(trainer),
        "objective": asdict(objective),
        "batch_size": data.batch_size,
        "validation_most": data.validation_most,
        "augmentation": data.augmentation.to_json(),
        "init_from": None if parent is None else parent.checkpoint,
        "text": None if data.text.of is None else sha256_json(asdict(data.text)),
    }
    if critic is not None:
        facts["discriminator"] = critic.spec
    info = run_info(cases, fitted, facts, None if parent is None else parent.info)
    if (out / RUN_FILE).exists():
        require_same(out, made, fitted.preparation, info)
    environment = describe_environment(accelerator, bits, workers, text_encoder)
    info = replace(info, training={**facts, "environments": environments(out, begin, environment, progress)})
    module: DiffusionModule | GanModule
    if critic is not None and isinstance(objective, GanObjective):
        module = gan_module(cast(GanModel, made), critic, objective, fitted, seed, trainer)
    else:
        module = DiffusionModule(
            cast(DiffusionModel, made),
            cast(Objective, objective),
            seed=seed,
            batch_size=data.batch_size,
            steps=trainer.steps,
            snapshots=trainer.snapshot_every is not None,
        )
    fitted.preparation.write(out)
    save_run(out, made, info)
    keeper = Keeper(out, trainer.checkpoint_every, snapshot_every=trainer.snapshot_every)
    if begin < trainer.steps:
        callbacks = [TrainingBar(trainer.steps, progress), keeper]
        callbacks.append(Previews(out, trainer.preview_count, trainer.preview_every))
        clip = objective.clip if isinstance(objective, Objective) else None
        _run_trainer(out, module, loaders, callbacks, trainer, clip, accelerator, bits, begin, state)
    best = load_run(out).facts
    return TrainReport(
        trainer.steps, float(best["validation_loss"]), int(best["step"]), time.monotonic() - started, begin
    )


def _begin(model: SampleModel, parent: Run | None, loaders: VolumeDataModule, progress: bool) -> None:
    """Measure the latents and take over what a parent has learnt; a controlled model takes both from it."""
    if not isinstance(model.network, Controlled):
        fit_latents(model, loaders.training, progress)
        if parent is not None:
            initialise_from(model.network, parent.model.network.state_dict())
    elif parent is None:
        raise MedsynthError("model=controlled steers a finished run: name it with init_from=RUN")
    elif isinstance(parent.model.network, Controlled):
        raise MedsynthError("init_from: that run is controlled already; begin with the run that it began with")
    else:
        control(cast(DiffusionModel, model), parent, loaders.training.augmentation)


def _run_trainer(
    out: Path,
    module: DiffusionModule | GanModule,
    loaders: VolumeDataModule,
    callbacks: list[Any],
    schedule: Schedule,
    clip: float | None,
    accelerator: str,
    bits: str,
    begin: int,
    state: Path | None,
) -> None:
    version = f"from-{begin:08d}"
    with quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            precision="bf16-mixed" if bits == "bf16" else "32-true",
            max_steps=schedule.steps,
            max_epochs=-1,
            val_check_interval=schedule.validate_every,
            check_val_every_n_epoch=None,
            gradient_clip_val=clip,
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
            if isinstance(end, SIGTERMException):
                raise Terminated from None
            raise


def _note_units(preparation: Preparation, progress: bool) -> None:
    """CT that was ingested without its modality looks like any other picture."""
    for image in preparation.layout.images:
        if progress and image.units == "arbitrary" and image.low < 0:
            print(
                f"note: channel {image.name} has a window below 0 and arbitrary units, and samples will have them too; "
                "if these are CTs in HU, ingest them with modality=CT",
                flush=True,
            )


def _note_texts(texts: Texts | None, progress: bool) -> None:
    """What of the texts is not heard."""
    for note in texts.notes if progress and texts is not None else ():
        print(f"note: {note}", flush=True)


def _require_its_split(parent: Path, preparation: Preparation) -> None:
    """Refuse to hold out patients of the same cases that the parent has trained on."""
    earlier = Preparation.read(parent)
    if earlier.cases_sha256 == preparation.cases_sha256 and earlier.split != preparation.split:
        whole = asdict(earlier.split).items()
        same = ", ".join(f"data.split.{name}={'null' if value is None else value}" for name, value in whole)
        raise RunError(
            f"init_from: that run divided the same patients in another way, and trained on some that are held out now; "
            f"set {same}"
        )
