"""From noise to latents: one batch of samples, guided, clipped and edited as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser, to_rank
from medsynth.diffusion.guidance import autoguided, classifier_free
from medsynth.diffusion.noise import seeded_noise
from medsynth.diffusion.samplers import Sampler
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked
from medsynth.models.sampling import SAMPLERS, SamplingPlan
from medsynth.models.spinning import spun

if TYPE_CHECKING:
    from medsynth.models.model import DiffusionModel


class Edit(Protocol):
    """What differs where a sample is not made from noise alone."""

    def denoiser(self, denoise: Denoiser) -> Denoiser:
        """The denoiser, kept to what is known of the sample."""

    def begin(self, start: Tensor, noise: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Where sampling begins and the grid that it walks.

        Args:
            start: (B, C', *spatial) where it would begin at the grid's first level.
            noise: the white noise behind it.
            grid: (N + 1,) from high to low.
        """

    def sampler(self, sampler: Sampler) -> Sampler:
        """The sampler, or one around it."""


@torch.no_grad()
def sample_latents(
    model: DiffusionModel,
    indices: Sequence[int],
    asked: Sequence[Asked],
    *,
    seed: int | Sequence[int],
    plan: SamplingPlan,
    worse: DiffusionModel | None = None,
    edit: Edit | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Latents (B, C', *spatial) of samples `indices` of the plan with `seed`.

    Sample i meets the same noise, at the start and in every step, whatever else is in the batch.

    Args:
        model: whose samples.
        indices: of the samples.
        asked: of each.
        seed: of the plan, or one for each sample.
        plan: the sampler and its settings.
        worse: an earlier or smaller model of the same samples, for autoguidance by plan.guidance;
            without it guidance is classifier-free.
        edit: where the samples are edited from others.
        on_step: told the steps done.

    Raises:
        MedsynthError: a grid the model does not have, or a worse model of other samples.
    """
    device = model.sigma_data.device
    seeds = [seed] * len(indices) if isinstance(seed, int) else list(seed)

    def drawn(purpose: str) -> Tensor:
        pairs = zip(seeds, indices, strict=True)
        return torch.cat([seeded_noise(one, [index], model.latent_shape, purpose) for one, index in pairs]).to(device)

    def fresh(step: int) -> Tensor:
        return drawn(f"sample, step {step}")

    noise, condition = drawn("sample"), model.condition(asked)
    denoise, sampler = denoiser_of(model, asked, plan, worse), SAMPLERS[plan.name]
    grid = plan.levels(model.parametrisation.schedule)
    start = model.start(noise, grid[0].item())
    if edit is not None:
        start, grid = edit.begin(start, noise, grid)
        denoise, sampler = edit.denoiser(denoise), edit.sampler(sampler)
    ends: Tensor = sampler(denoise, start, grid, condition, fresh, on_step, **plan.options)
    if not ends.isfinite().all():
        raise MedsynthError(
            f"sampler={plan.name} ended in no numbers: set guidance and the grid as in its configuration, or take "
            "weights of another step"
        )
    return ends


def denoiser_of(
    model: DiffusionModel, asked: Sequence[Asked], plan: SamplingPlan, worse: DiffusionModel | None = None
) -> Denoiser:
    """D for samples that are asked for so, guided and clipped as the plan says.

    Raises:
        MedsynthError: a worse model of other samples, guidance without conditions.
    """
    guided = _guided(model, asked, plan, worse)
    found = _clipped(model, guided) if plan.clip else guided
    return _in_bfloat16(found) if plan.precision == "bf16" else found


def _guided(
    model: DiffusionModel, asked: Sequence[Asked], plan: SamplingPlan, worse: DiffusionModel | None
) -> Denoiser:
    own = spun(model, plan.spin_below)
    if worse is not None:
        if worse.latent_shape != model.latent_shape or worse.layout.to_json() != model.layout.to_json():
            raise MedsynthError("guide: a run of other samples; give an earlier or smaller run of the same cases")
        its = worse.condition([replace(each, attributes=worse.conditioner.known(each.attributes)) for each in asked])
        other = spun(worse, plan.spin_below * float(model.latent_scale / worse.latent_scale))
        denoise = _translated(model, worse, lambda x, sigma, _: other(x, sigma, its))
        return autoguided(own, denoise, plan.guidance, *plan.interval)
    if not model.conditional:
        if plan.guidance != 1:
            raise MedsynthError("sampler.guidance: the model has no conditions; set it to 1, or give guide=RUN")
        return own
    return classifier_free(own, model.condition(asked, dropped=True), plan.guidance, *plan.interval)


def _in_bfloat16(denoise: Denoiser) -> Denoiser:
    """The network's products in bfloat16; what is around it stays float32, as in training."""

    def rounded(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return denoise(x, sigma, condition)

    return rounded


def _clipped(model: DiffusionModel, denoise: Denoiser) -> Denoiser:
    """Every estimate brought back to the range of samples, [-1, 1]."""

    def clipped(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        return model.encode(model.decode(denoise(x, sigma, condition)).clamp(-1, 1))

    return clipped


def _translated(model: DiffusionModel, other: DiffusionModel, denoise: Denoiser) -> Denoiser:
    """A denoiser of the other's latents as one of the model's, which are centred and scaled by other numbers."""
    scale = model.latent_scale / other.latent_scale
    shift = (model.latent_mean - other.latent_mean) / other.latent_scale
    factor = float(scale)

    def translated(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        moved = to_rank(shift[None], x.ndim)
        return (denoise(x * scale + moved, sigma * factor, condition) - moved) / scale

    return translated
