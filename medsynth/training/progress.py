"""What a person sees while a model trains: a bar with time left, and previews."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console

from medsynth.data.contact_sheet import contact_sheet
from medsynth.data.progress import progress_bar
from medsynth.training.averaged import AveragedModule


class TrainingBar(Callback):
    """The bar; where standard error is no terminal, a line at each validation instead."""

    def __init__(self, steps: int, show: bool) -> None:
        self.steps, self.show = steps, show
        self._bar = progress_bar(show and Console(stderr=True).is_terminal)
        self._plain = show and not Console(stderr=True).is_terminal
        self._loss = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin where training begins."""
        del pl_module
        if trainer.is_global_zero:
            self._bar.start()
            self._task = self._bar.add_task("training", total=self.steps, completed=trainer.global_step, note="")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step on."""
        del pl_module, batch, batch_idx
        loss = float(outputs["loss"])
        self._loss = loss if not self._loss else 0.98 * self._loss + 0.02 * loss
        if trainer.is_global_zero:
            self._bar.update(self._task, completed=trainer.global_step, note=f"loss {self._loss:.3f}")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the validation loss."""
        del pl_module
        if trainer.is_global_zero and not trainer.sanity_checking and self._plain:
            value = float(trainer.callback_metrics["validation/loss"])
            print(
                f"step {trainer.global_step}/{self.steps}  loss {self._loss:.4f}  validation loss {value:.4f}",
                flush=True,
            )

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Leave the terminal as it was."""
        del trainer, pl_module, stage
        self._bar.stop()


class Previews(Callback):
    """A contact sheet of synthetic samples, never of a real scan, into RUN/previews and TensorBoard.

    Args:
        run: RUN.
        count: samples on a sheet, 0 for none.
        every: steps between two sheets; a multiple of the validation's distance.
    """

    def __init__(self, run: Path, count: int, every: int) -> None:
        self.run, self.count, self.every = run, count, every

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Sample the averaged weights from the same noise each time."""
        if not isinstance(pl_module, AveragedModule) or trainer.sanity_checking or not trainer.is_global_zero:
            return
        if not self.count or trainer.global_step % self.every:
            return
        model = pl_module.average
        made = pl_module.preview(self.count)
        first = model.layout.images[0]
        path = self.run / "previews" / f"step-{trainer.global_step:08d}.png"
        contact_sheet(
            path,
            [sample.images[first.name] for sample in made],
            geometries=[model.layout.grid] * len(made),
            window=(first.low, first.high),
            labels=[sample.label for sample in made if sample.label is not None] or None,
        )
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                import numpy as np
                from PIL import Image

                picture = np.asarray(Image.open(path).convert("RGB"))
                logger.experiment.add_image("previews", picture, trainer.global_step, dataformats="HWC")
