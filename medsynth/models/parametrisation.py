"""Which parametrisation a model has, as plain settings that its run folder keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from medsynth.diffusion.schedules import VpSchedule
from medsynth.errors import MedsynthError

NAMES = ("edm", "epsilon", "v", "flow")


@dataclass(frozen=True, kw_only=True)
class ParametrisationPlan:
    """What the network says; see `medsynth.diffusion.parametrisations`.

    Args:
        name: "edm", "epsilon" (DDPM), "v" or "flow" (rectified flow).
        modes: of "edm": principal modes of the training cases in its Gaussian; None is one for every 16
            training patients, at most 64; 0 is EDM as published. 0 for the others.
        schedule: of "epsilon" and "v": their steps.
        standardise: of all but "edm", which measures every channel: whether latents are centred and
            brought to variance 1; images in [-1, 1] stay as they are without.

    Raises:
        MedsynthError: another name, or settings that it does not read.
    """

    name: str = "edm"
    modes: int | None = None
    schedule: VpSchedule | None = None
    standardise: bool = True

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise MedsynthError(f"parametrisation {self.name} is not known; there are {', '.join(NAMES)}")
        if (self.schedule is not None) != (self.name in ("epsilon", "v")):
            raise MedsynthError("parametrisation: epsilon and v have a schedule, edm and flow have none")
        if self.name != "edm" and self.modes:
            raise MedsynthError(f"parametrisation: modes belong to edm; set parametrisation.modes=0 for {self.name}")
        if self.name == "edm" and not self.standardise:
            raise MedsynthError("parametrisation: edm measures its latents; set parametrisation.standardise=true")

    @property
    def views(self) -> int:
        """How many times the latent's channels the network sees."""
        return 2 if self.name == "edm" else 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back; unknown fields are refused (TypeError)."""
        schedule = content["schedule"]
        return cls(**{**content, "schedule": None if schedule is None else VpSchedule(**schedule)})
