"""DiffusionModule: the denoising objective around a DiffusionModel, for Lightning."""

import math
from typing import Any

import torch
from torch import Tensor

from medsynth.data.dataset import Sample
from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.loss import denoising_loss, loss_weight
from medsynth.diffusion.noise import generator_for, seeded_noise, stratified_uniform
from medsynth.errors import MedsynthError
from medsynth.models.layout import Decoded
from medsynth.models.model import DiffusionModel
from medsynth.training.averaged import AveragedModule, Dropping
from medsynth.training.objective import Objective


class DiffusionModule(AveragedModule[DiffusionModel]):
    """Trains `model`; `average` is what samples are made with.

    All randomness of a step (noise, noise level, dropped conditions, the network's own)
    is a function of (seed, step, index in the global batch), so a training that was
    stopped and resumed ends in the same bits.

    Args:
        model: with its latents fitted.
        objective: what is minimised.
        seed: of the training.
        batch_size: of the global batch.
        steps: at which the learning rate has come down.
        snapshots: whether a second average, half as wide, is kept for averages of other widths.
    """

    def __init__(
        self,
        model: DiffusionModel,
        objective: Objective,
        *,
        seed: int,
        batch_size: int,
        steps: int,
        snapshots: bool = False,
    ) -> None:
        super().__init__(model, seed, objective.ema, Dropping(objective.drop_condition, objective.drop_each), snapshots)
        self.objective = objective
        self.batch_size, self.steps = batch_size, steps
        self._sums = torch.zeros(2, dtype=torch.float64)

    def channel_weight(self) -> Tensor:
        """(C',) weight of each latent channel, mean 1."""
        layout, std = self.model.layout, self.model.sigma_data
        weight = (std / std.max()) ** self.objective.band_power
        is_label = torch.arange(len(std), device=std.device) % layout.channels >= len(layout.images)
        weight = torch.where(is_label, weight * self.objective.label_weight, weight)
        return weight / weight.mean()

    def _losses(
        self, model: DiffusionModel, latent: Tensor, noise: Tensor, uniform: Tensor, condition: Condition
    ) -> Tensor:
        rms = model.sigma_data.square().mean().sqrt()
        sigma = self.objective.levels.sigma(uniform, rms, model.parametrisation.schedule)
        weight = loss_weight(self.objective.weight, sigma, latent.ndim, model.form, self.objective.snr_gamma)
        weight = weight * to_rank(self.channel_weight()[None], latent.ndim)
        return denoising_loss(model.denoise, latent, noise, sigma, condition, weight)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Mean loss of this process's share of the batch."""
        del batch_idx
        step, numbers = self.global_step, batch.number.tolist()
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator_for("network", self.seed, numbers[0]))))
        latent = self.model.encode(batch.x)
        noise = seeded_noise(self.seed, numbers, latent.shape[1:], "train").to(latent.device)
        places = [number % self.batch_size for number in numbers]
        uniform = stratified_uniform(self.seed, step, places, self.batch_size).to(latent.device)
        condition = self.model.tell(*self.dropped(batch, numbers))
        loss = self._losses(self.model, latent, noise, uniform, condition).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then bring the average of the weights up to date, before any callback can save it."""
        done = self.global_step
        super().optimizer_step(*args, **kwargs)
        self.update_averages(done + 1)

    def preview(self, count: int) -> list[Decoded]:
        """Samples 0 to count - 1 of the plan with seed 0, by the average."""
        return self.average.sample(count, seed=0, steps=12)

    def on_validation_epoch_start(self) -> None:
        """Start the sums anew."""
        self._sums = torch.zeros(2, dtype=torch.float64)

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Loss of the average at fixed noise: sample i meets the same noise and levels every time."""
        del batch_idx
        numbers, levels = batch.number.tolist(), self.objective.validation_levels
        latent = self.average.encode(batch.x)
        condition = self.average.tell(batch.vector, batch.tokens, batch.given, batch.present)
        for level in range(levels):
            noise = seeded_noise(level, numbers, latent.shape[1:], "validation").to(latent.device)
            # The golden ratio spreads the levels of successive samples over (0, 1).
            spread = torch.tensor([(level + (n * 0.6180339887 + 0.5) % 1) / levels for n in numbers])
            losses = self._losses(self.average, latent, noise, spread.to(latent.device), condition)
            self._sums += torch.tensor([losses.double().sum().item(), len(numbers)], dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all samples and levels."""
        total, count = self._sums.tolist()
        if not math.isfinite(total):
            raise MedsynthError(
                f"the loss is no number after step {self.global_step}: lower objective.learning_rate or set "
                "precision=fp32, and train into a new folder"
            )
        self.log("validation/loss", total / count, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam with warm-up and a half cosine."""
        # foreach: all weights in few calls; fused would not let Lightning clip the gradient.
        optimizer = torch.optim.Adam(
            self.model.parameters(), lr=self.objective.learning_rate, betas=(0.9, 0.99), foreach=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        rising = min(1.0, (step + 1) / max(self.objective.warmup, 1))
        return rising * (0.525 + 0.475 * math.cos(math.pi * min(step / self.steps, 1.0)))
