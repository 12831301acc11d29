"""What an audit asks, and where it draws its lines."""

from dataclasses import asdict, dataclass, field
from typing import Any

from medsynth.errors import MedsynthError
from medsynth.metrics.copies import LEAST_REALS
from medsynth.metrics.correlation import SearchPlan


@dataclass(frozen=True, kw_only=True)
class CopyBars:
    """Where copies are drawn the line at; conf/audit.yaml says why.

    Args:
        false_alarms: chance of one false alarm in a set without copies, half for single samples, half for their count.
        least_held_out: held-out patients, fewer cannot be assessed.
        calibration: real patients, at most, that show what chance does.
        planted: copies of each kind that are planted.
        least_found: share of each kind of whole copies that the search has to find.
        stand_ins: times that halves of the held-out patients stand in for samples.
    """

    false_alarms: float = 0.05
    least_held_out: int = LEAST_REALS
    calibration: int = 400
    planted: int = 20
    least_found: float = 0.9
    stand_ins: int = 40

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 0.5 or not 0 < self.least_found <= 1:
            raise MedsynthError("copies: false_alarms is above 0 and below .5, least_found above 0 and at most 1")
        if self.least_held_out < LEAST_REALS or self.calibration < 2 * LEAST_REALS:
            raise MedsynthError(
                f"copies: least_held_out is at least {LEAST_REALS}, calibration at least {2 * LEAST_REALS}"
            )
        if self.planted < 5 or self.stand_ins < 20:
            raise MedsynthError("copies: planted is at least 5, stand_ins at least 20")


@dataclass(frozen=True, kw_only=True)
class MembershipPlan:
    """The attack on who was trained on.

    Args:
        levels: noise levels, in standard deviations of the latents.
        draws: of noise at each level.
        most: patients of either side, at most.
        most_area: the run fails where the lower end of the AUC's interval lies above.
        batch_size: patients at once.
    """

    levels: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    draws: int = 2
    most: int = 256
    most_area: float = 0.7
    batch_size: int = 8

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) <= 0 or min(self.draws, self.batch_size) < 1:
            raise MedsynthError("membership: levels are above 0; draws and batch_size at least 1")
        if self.most < LEAST_REALS or not 0.5 < self.most_area <= 1:
            raise MedsynthError(f"membership: most is at least {LEAST_REALS}, most_area above .5 and at most 1")


@dataclass(frozen=True, kw_only=True)
class AuditPlan:
    """All of it."""

    search: SearchPlan = field(default_factory=SearchPlan)
    copies: CopyBars = field(default_factory=CopyBars)
    membership: MembershipPlan | None = field(default_factory=MembershipPlan)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)
