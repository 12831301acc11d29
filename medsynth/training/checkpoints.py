"""Training states on disk: whole, sealed, and the newest whole one is resumed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback

from medsynth.errors import RunError
from medsynth.models.averages import save_snapshot
from medsynth.models.run import save_weights
from medsynth.models.sealed import read_sealed, write_sealed
from medsynth.training.averaged import AveragedModule

_NAME = re.compile(r"step-(\d{8})\.ckpt\Z")


class SealedCheckpointIO(CheckpointIO):
    """Lightning's checkpoints as sealed files: temp, fsync, rename; digest inside; tensors only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a training state."""
        del storage_options
        write_sealed(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a training state; never runs code in it."""
        del map_location, weights_only
        content: dict[str, Any] = read_sealed(Path(path)).content
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a training state."""
        Path(path).unlink(missing_ok=True)


def newest_whole(folder: Path) -> Path | None:
    """The newest training state in `folder` that reads back whole; None when there is none.

    Newer ones that do not are said in one line, with the one that is taken.

    Raises:
        RunError: there are states, and each is cut short or altered.
    """
    states = sorted((path for path in folder.glob("step-*.ckpt") if _NAME.match(path.name)), reverse=True)
    skipped: list[str] = []
    for path in states:
        try:
            read_sealed(path)
        except RunError:
            skipped.append(path.name)
            continue
        if skipped:
            print(
                f"note: {', '.join(skipped)} was cut short or altered and is left aside; training goes on from "
                f"{path.name}",
                flush=True,
            )
        return path
    if states:
        raise RunError("every training state of the run was cut short or altered; train again into a new folder")
    return None


class Keeper(Callback):
    """Writes the training state and the averaged weights; keeps the newest states.

    A state is written after the validation of every `every`-th step and of the last.
    `weights/last.ckpt` follows each validation, `weights/best.ckpt` the lowest loss.

    Args:
        run: RUN.
        every: steps between two states; a multiple of the validation's distance.
        keep: how many states to keep.
        snapshot_every: steps between two snapshots of the averages; None for none.
    """

    def __init__(self, run: Path, every: int, keep: int = 2, snapshot_every: int | None = None) -> None:
        self.run, self.every, self.keep, self.snapshot_every = run, every, keep, snapshot_every
        self.best = float("inf")
        self.best_step = 0

    def state_dict(self) -> dict[str, Any]:
        """The lowest validation loss so far."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.best, self.best_step = float(state_dict["best"]), int(state_dict["best_step"])

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the weights, and the state where it is due."""
        if trainer.sanity_checking or not isinstance(pl_module, AveragedModule):
            return
        step, loss = trainer.global_step, float(trainer.callback_metrics["validation/loss"])
        facts = {"step": step, "validation_loss": loss}
        if trainer.is_global_zero:
            save_weights(self.run, "last", pl_module.average, facts)
            if loss < self.best:
                save_weights(self.run, "best", pl_module.average, facts)
            if self.snapshot_every and (step % self.snapshot_every == 0 or step == trainer.max_steps):
                save_snapshot(self.run, step, pl_module.averages())
        if loss < self.best:
            self.best, self.best_step = loss, step
        if step % self.every == 0 or step == trainer.max_steps:
            folder = self.run / "checkpoints"
            trainer.save_checkpoint(folder / f"step-{step:08d}.ckpt")
            if trainer.is_global_zero:
                for old in sorted(folder.glob("step-*.ckpt"))[: -self.keep]:
                    old.unlink()


def initialise_from(model: torch.nn.Module, state: Mapping[str, Any]) -> None:
    """Start from another run's weights; those whose shape differs (another number of classes) start anew.

    Raises:
        RunError: not even half of the weights fit: it is another network.
    """
    own = model.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    if sum(value.numel() for value in fitting.values()) < 0.5 * sum(value.numel() for value in own.values()):
        raise RunError("init_from: less than half of that run's weights fit this model; use the same model settings")
    model.load_state_dict(fitting, strict=False)
