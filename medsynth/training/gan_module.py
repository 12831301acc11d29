"""GanModule: a generator and a discriminator against each other, for Lightning."""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from medsynth.data.dataset import Sample
from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.noise import seeded_noise
from medsynth.errors import MedsynthError
from medsynth.models.gan import GanModel
from medsynth.training.averaged import AveragedModule, Dropping
from medsynth.training.gan_augmentation import disturbed
from medsynth.training.gan_judge import Array, Judge, stacked
from medsynth.training.gan_objective import GanObjective, Rates, gradient_penalty, relativistic_loss


class DiscriminatorLoss(NamedTuple):
    """Mean over the batch: the pairs' loss, R1 on real samples and R2 on made ones (without their weight)."""

    pairs: Tensor
    r1: Tensor
    r2: Tensor


class GanModule(AveragedModule[GanModel]):
    """Trains `model` against a discriminator; `average` is what samples are made with.

    A step is one of D, then one of G, on the same real samples and with noise of their own. All randomness is a
    function of (seed, index of the sample in the training), so a training that was stopped and resumed ends in the
    same bits. Rates come from the step alone.

    Args:
        model: with its latents fitted.
        discriminator: for its latents.
        objective: what is minimised.
        judge: of validation; None validates nothing.
        seed: of the training.
        steps: at which the schedules end.
        snapshots: whether a second average, half as wide, is kept for averages of other widths.
    """

    def __init__(
        self,
        model: GanModel,
        discriminator: nn.Module,
        objective: GanObjective,
        judge: Judge | None,
        *,
        seed: int,
        steps: int,
        snapshots: bool = False,
    ) -> None:
        dropping = Dropping(objective.drop_condition, objective.drop_each)
        super().__init__(model, seed, objective.ema, dropping, snapshots)
        self.discriminator, self.objective, self.judge, self.steps = discriminator, objective, judge, steps
        self.automatic_optimization = False
        self._made: list[list[Array]] = []
        self._real: list[list[Array]] = []

    def channel_weight(self) -> Tensor:
        """(C',) factor of each latent channel in what D sees, 1 for the widest image channel."""
        layout, std = self.model.layout, self.model.sigma_data
        is_label = torch.arange(len(std), device=std.device) % layout.channels >= len(layout.images)
        weight = (std / std[~is_label].max()) ** (self.objective.band_power - 1)
        return torch.where(is_label, weight * self.objective.label_weight, weight)

    def judged(self, latent: Tensor, condition: Condition, numbers: list[int], purpose: str) -> Tensor:
        """D's logits (B,) of latents (B, C', *spatial), disturbed as the step asks."""
        share = self.objective.augment * self.objective.progress(self.global_step, self.steps)
        if share:
            latent = self.model.encode(disturbed(self.model.decode(latent), share, self.seed, numbers, purpose))
        said: Tensor = self.discriminator(latent * to_rank(self.channel_weight()[None], latent.ndim), condition)
        return said

    def discriminator_loss(
        self, real: Tensor, made: Tensor, condition: Condition, numbers: list[int], gamma: float
    ) -> DiscriminatorLoss:
        """What D minimises is pairs + N gamma / 2 (r1 + r2); with gamma 0 neither penalty is computed."""
        real, made = (x.detach().requires_grad_(gamma > 0) for x in (real, made))
        of_real = self.judged(real, condition, numbers, "D real")
        of_made = self.judged(made, condition, numbers, "D made")
        pairs = relativistic_loss(of_real, of_made).mean()
        if not gamma:
            return DiscriminatorLoss(pairs, pairs.new_zeros(()), pairs.new_zeros(()))
        return DiscriminatorLoss(pairs, gradient_penalty(of_real, real).mean(), gradient_penalty(of_made, made).mean())

    def generator_loss(self, real: Tensor, made: Tensor, condition: Condition, numbers: list[int]) -> Tensor:
        """Mean of the pairs' loss, turned round."""
        with torch.no_grad():
            of_real = self.judged(real, condition, numbers, "G real")
        return relativistic_loss(self.judged(made, condition, numbers, "G made"), of_real).mean()

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """A step of D and a step of G; returns the pairs' loss of D, ln 2 where the two are level."""
        del batch_idx
        step, numbers = self.global_step, batch.number.tolist()
        rates = self.objective.rates(step, self.steps)
        # D's steps do not count: global_step is the number of batches, as in every training.
        of_g = cast(list[Any], self.optimizers())[0]
        of_d = cast(list[Any], self.optimizers(use_pl_optimizer=False))[1]
        with torch.no_grad():
            real = self.model.encode(batch.x)
        condition = self.model.tell(*self.dropped(batch, numbers))
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            made = self.model.latents(self._noise(numbers, "D", real), condition)
        loss = self.discriminator_loss(real, made, condition, numbers, rates.gamma)
        weight = rates.gamma * real[0].numel() / 2
        self._descend(of_d, loss.pairs + weight * (loss.r1 + loss.r2), rates)
        self.discriminator.requires_grad_(False)
        made = self.model.latents(self._noise(numbers, "G", real), condition)
        of_made = self.generator_loss(real, made, condition, numbers)
        self._descend(of_g, of_made, rates)
        self.update_averages(step + 1)
        self.log_dict({"train/loss": loss.pairs, "train/generator": of_made, "train/r1": loss.r1, "train/r2": loss.r2})
        return loss.pairs.detach()

    def _noise(self, numbers: list[int], of: str, like: Tensor) -> Tensor:
        return seeded_noise(self.seed, numbers, [self.model.network.noise], f"train {of}").to(like.device)

    def _descend(self, optimizer: Any, loss: Tensor, rates: Rates) -> None:
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = rates.learning_rate, (0.0, rates.beta2)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_validation_epoch_start(self) -> None:
        """Start anew."""
        self._made, self._real = [], []

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Features of the validation samples, and of as many times `validation_draws` made ones asked for alike."""
        del batch_idx
        if self.judge is None:
            return
        numbers = batch.number.tolist()
        condition = self.average.tell(batch.vector, batch.tokens, batch.given, batch.present)
        self._real.append(self.judge.features(batch.x))
        for draw in range(self.objective.validation_draws):
            noise = seeded_noise(draw, numbers, [self.average.network.noise], "validation").to(batch.x.device)
            made = self.average.decode(self.average.latents(noise, condition))
            if not made.isfinite().all():
                raise MedsynthError(
                    f"the generator makes no numbers after step {self.global_step}: raise objective.gamma or lower "
                    "objective.learning_rate, and train into a new folder"
                )
            self._made.append(self.judge.features(made))

    def on_validation_epoch_end(self) -> None:
        """Log the distance, which stands where a diffusion model has its loss; without a judge the step's number."""
        value = -float(self.global_step)  # the newest is the best
        if self.judge is not None:
            value = self.judge.distance(stacked(self._made), stacked(self._real))
        if not math.isfinite(value):
            raise MedsynthError(f"the samples cannot be measured after step {self.global_step}: train anew")
        self.log("validation/loss", value, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam without a first moment, one for each network; rates are set at every step."""
        rates = self.objective.rates(0, self.steps)
        return [
            torch.optim.Adam(net.parameters(), lr=rates.learning_rate, betas=(0.0, rates.beta2), foreach=True)
            for net in (self.model.network, self.discriminator)
        ]
