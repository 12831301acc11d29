"""How noise becomes a sample: a sampler, its grid and its guidance, as plain settings."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.grids import flow_grid, karras_grid, schedule_grid
from medsynth.diffusion.samplers import Sampler, ancestral, dpmpp_2m, dpmpp_2m_sde, euler, heun
from medsynth.diffusion.schedules import VpSchedule
from medsynth.diffusion.unipc import unipc
from medsynth.errors import MedsynthError
from medsynth.records import Attribute

SAMPLERS: dict[str, Sampler] = {
    "ancestral": ancestral,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "euler": euler,
    "heun": heun,
    "unipc": unipc,
}
GRIDS = ("karras", "schedule", "flow")
PRECISIONS = ("fp32", "bf16")
USUAL: Mapping[str, Mapping[str, Any]] = {
    "ancestral": {"steps": 1000, "grid": "schedule", "clip": True},
    "dpmpp_2m": {},
    "dpmpp_2m_sde": {"steps": 40, "options": {"calm": 0.4}},
    "euler": {"steps": 50},
    "heun": {"steps": 18},
    "unipc": {},
}
"""What the configuration of each sampler sets beside the defaults of the plan."""


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """How noise becomes a sample; goes into every sample's record.

    Args:
        name: "euler" (DDIM), "dpmpp_2m", "unipc", "dpmpp_2m_sde", "ancestral" (1 evaluation a step) or
            "heun" (2).
        steps: of the grid.
        grid: "karras", "schedule" (the model's own training steps, DDPM's where it has none) or "flow" (even in t).
        sigma_min, sigma_max, rho: of "karras".
        shift: of "flow", towards noise.
        guidance: scale of classifier-free guidance, or of autoguidance where there is a worse model; 1 for none.
        guidance_low, guidance_high: levels low < sigma <= high that are guided; None is no bound.
        clip: whether every estimate is clipped to the range of the images, as DDPM does.
        spin_below: level below which estimates are averaged over the positions of the wavelet's blocks, see
            `medsynth.models.spinning`; 0 for none.
        precision: "fp32", or "bf16": the network computes in bfloat16, all around it in float32.
        options: the sampler's own; see its function in `medsynth.diffusion`.
    """

    name: str = "dpmpp_2m"
    steps: int = 20
    grid: str = "karras"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    shift: float = 1.0
    guidance: float = 1.0
    guidance_low: float = 0.0
    guidance_high: float | None = None
    clip: bool = False
    spin_below: float = 0.0
    precision: str = "fp32"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise MedsynthError(f"sampler {self.name} is not known; there are {', '.join(SAMPLERS)}")
        if self.grid not in GRIDS:
            raise MedsynthError(f"sampler: grid {self.grid} is not known; there are {', '.join(GRIDS)}")
        if self.steps < 1 or not 0 < self.sigma_min < self.sigma_max or self.rho <= 0 or self.shift <= 0:
            raise MedsynthError("sampler: steps is at least 1, 0 < sigma_min < sigma_max, rho and shift above 0")
        if not self.spin_below >= 0:
            raise MedsynthError("sampler.spin_below is a noise level, 0 or more")
        if self.precision not in PRECISIONS:
            raise MedsynthError(f"sampler.precision is {' or '.join(PRECISIONS)}")
        if not 0 <= self.guidance_low < self._high:
            raise MedsynthError("sampler: 0 <= guidance_low < guidance_high")
        known = self.defaults(self.name)
        for name, value in self.options.items():
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise MedsynthError(f"sampler {self.name} has no option {name}; {has}")
            if type(value) is not type(known[name]) and not (type(value) is int and type(known[name]) is float):
                raise MedsynthError(f"sampler.options.{name} is of another kind than {known[name]!r}")
        # One step from 0 to 0: a value that the sampler refuses is refused here.
        nothing = torch.zeros(1, 1)
        SAMPLERS[self.name](_nothing, nothing, torch.tensor([1.0, 0.0]), Condition(), lambda _: nothing, **self.options)

    @classmethod
    def usual(cls, name: str, steps: int | None = None, guidance: float = 1.0) -> Self:
        """The plan of `sampler=name`, with another number of steps where one is given."""
        settings = {**USUAL.get(name, {}), **({} if steps is None else {"steps": steps})}
        return cls(name=name, guidance=guidance, **settings)

    @staticmethod
    def defaults(name: str) -> dict[str, Any]:
        """The options of a sampler, each with its default."""
        parameters = inspect.signature(SAMPLERS[name]).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def stochastic(self) -> bool:
        """Whether the sampler adds noise on its way."""
        return self.name in ("ancestral", "dpmpp_2m_sde") or self.options.get("churn", 0) > 0

    @property
    def _high(self) -> float:
        return math.inf if self.guidance_high is None else self.guidance_high

    @property
    def interval(self) -> tuple[float, float]:
        """Levels between which guidance acts."""
        return self.guidance_low, self._high

    def levels(self, schedule: VpSchedule | None) -> Tensor:
        """The grid, float64 (steps + 1,).

        Args:
            schedule: that the model was trained on; without one "schedule" is DDPM's own (linear, 1,000 steps).

        Raises:
            MedsynthError: more steps than the schedule has.
        """
        if self.grid == "karras":
            return karras_grid(self.steps, self.sigma_min, self.sigma_max, self.rho)
        if self.grid == "flow":
            return flow_grid(self.steps, self.shift)
        schedule = schedule or VpSchedule()
        if self.steps > schedule.steps:
            raise MedsynthError(f"sampler.steps={self.steps}: the model's schedule has {schedule.steps}")
        return schedule_grid(schedule, self.steps)

    def to_record(self) -> dict[str, Attribute]:
        """Plain types for the sample's record, the sampler's options among them."""
        values = asdict(self)
        options = values.pop("options")
        return {**values, **self.defaults(self.name), **options}


def _nothing(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    del sigma, condition
    return torch.zeros_like(x)
