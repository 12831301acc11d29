"""The demo's check: are generated phantoms torsos, and would the check notice if they were not?

A bar needs a control. Beside the samples, the same check sees real held-out cases, which
must pass, and sets of the same size that must not: label maps shuffled between samples,
mirrored real cases, one training case over and over, and what an untrained model makes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy import ndimage

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.metrics.torso import OrganRange, torso_findings, training_ranges

BAR = 30 / 32
"""Part of a set that has to be torsos."""

DIVERSITY = 0.75
"""Mean distance between two volumes of a set, in units of that in real sets of the same size: at least this."""

NEAREST = 0.5
"""Mean distance to the nearest other volume of the set, in the same units: at least this."""

HU_WINDOW = (-1000.0, 400.0)
DRAWS = 20

Pair = tuple[NDArray[Any], NDArray[Any]]
"""(ct in HU, label), both (I, J, K)."""


class SetResult(NamedTuple):
    """What the check says of one set of volumes.

    `passing` of `size` volumes are torsos; `strictly` counts those that also stay inside
    the bare training ranges of HU. `diversity` and `nearest` are ratios to real sets.
    `failures` counts volumes by what they failed.
    """

    name: str
    must: str
    size: int
    passing: int
    strictly: int
    diversity: float
    nearest: float
    failures: dict[str, int]

    @property
    def passed(self) -> bool:
        """Enough torsos, different enough from each other."""
        enough = self.passing >= BAR * self.size - 1e-9
        return enough and self.diversity >= DIVERSITY and self.nearest >= NEAREST

    @property
    def as_it_must(self) -> bool:
        """Whether this set came out as a set of its kind has to."""
        return self.passed == (self.must == "pass")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**self._asdict(), "passed": self.passed, "as_it_must": self.as_it_must}


class PhantomCheck(NamedTuple):
    """The samples' result and the controls'."""

    samples: SetResult
    controls: tuple[SetResult, ...]

    @property
    def proves(self) -> bool:
        """Whether every control came out as it must; else the check proves nothing."""
        return all(control.as_it_must for control in self.controls)

    @property
    def passed(self) -> bool:
        """The samples pass, and the check proves something."""
        return self.samples.passed and self.proves

    @property
    def exit_code(self) -> int:
        """0 passed, 1 not."""
        return 0 if self.passed else 1

    @property
    def verdict(self) -> str:
        """One line."""
        if not self.proves:
            wrong = ", ".join(control.name for control in self.controls if not control.as_it_must)
            return f"proves nothing: these controls did not come out as they must: {wrong}"
        of = self.samples
        counted = f"{of.passing} of {of.size} are torsos, {of.strictly} of them inside the bare range of HU too"
        return f"{'passed' if of.passed else 'the samples missed the bar'}: {counted}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "bars": {"torsos": BAR, "diversity": DIVERSITY, "nearest": NEAREST},
            "samples": self.samples.to_json(),
            "controls": [control.to_json() for control in self.controls],
        }

    def table(self) -> Table:
        """For a terminal."""
        table = Table()
        for heading in ("set", "must", "torsos", "bare HU range", "diversity", "nearest", "result", "most often wrong"):
            table.add_column(heading)
        for result in (self.samples, *self.controls):
            worst = sorted(result.failures.items(), key=lambda item: -item[1])[:3]
            table.add_row(
                result.name,
                result.must,
                f"{result.passing} of {result.size}",
                f"{result.strictly} of {result.size}",
                f"{result.diversity:.2f}",
                f"{result.nearest:.2f}",
                ("passed" if result.passed else "failed") + ("" if result.as_it_must else " (WRONG)"),
                ", ".join(f"{name} {count}" for name, count in worst),
            )
        return table


def check_phantoms(
    samples: Sequence[Pair],
    training: Sequence[Pair],
    held_out: Sequence[Pair],
    geometry: Geometry,
    *,
    untrained: Sequence[Pair] | None = None,
) -> PhantomCheck:
    """Judge `samples` and the controls by the same findings and the same diversity.

    Diversity is the root mean square difference of two CTs, clipped to -1000..400 HU and
    smoothed by one voxel so that noise does not count; its unit is the mean over 20 draws
    of as many training cases as there are samples.

    Args:
        samples: generated, on `geometry`; at least 2.
        training: real cases the model saw, at least as many as samples.
        held_out: real cases it did not see, at least as many as samples; the first are used.
        geometry: the common grid.
        untrained: what the same model makes before training, at least as many as samples.

    Raises:
        MedsynthError: too few volumes for controls of the samples' size.
    """
    count = len(samples)
    if count < 2:
        raise MedsynthError("the check needs at least 2 samples")
    for name, cases in (("training", training), ("held-out", held_out), ("untrained", untrained)):
        if cases is not None and len(cases) < count:
            raise MedsynthError(
                f"{len(cases)} {name} volumes for {count} samples: controls need as many; make more, or check fewer"
            )
    ranges = training_ranges(training, geometry)
    unit = real_spread(training, count)

    def judge(name: str, must: str, volumes: Sequence[Pair]) -> SetResult:
        return judge_set(name, must, volumes, geometry, ranges, unit)

    mirror = int(np.argmax(np.abs(geometry.direction[0])))
    half = count // 2
    controls = [
        judge("real, held out", "pass", held_out[:count]),
        judge("labels shuffled", "fail", [(ct, samples[(i + half) % count][1]) for i, (ct, _) in enumerate(samples)]),
        judge(
            "real, mirrored", "fail", [(np.flip(ct, mirror), np.flip(label, mirror)) for ct, label in held_out[:count]]
        ),
        judge("one training case repeated", "fail", [training[0]] * count),
    ]
    if untrained is not None:
        controls.append(judge("untrained model", "fail", untrained[:count]))
    return PhantomCheck(judge("samples", "pass", samples), tuple(controls))


def judge_set(
    name: str,
    must: str,
    volumes: Sequence[Pair],
    geometry: Geometry,
    ranges: dict[str, OrganRange],
    unit: tuple[float, float],
) -> SetResult:
    """Findings of each volume and the diversity of all; `unit` as `real_spread` gives it."""
    passing = strictly = 0
    failures: dict[str, int] = {}
    for ct, label in volumes:
        wrong = [finding.name for finding in torso_findings(ct, label, geometry, ranges) if not finding.fine]
        passing += not wrong
        strictly += not wrong and all(
            finding.fine for finding in torso_findings(ct, label, geometry, ranges, hu_margin=0.0)
        )
        for finding in wrong:
            failures[finding] = failures.get(finding, 0) + 1
    mean, nearest = spread(between(features(volumes)))
    return SetResult(name, must, len(volumes), passing, strictly, mean / unit[0], nearest / unit[1], failures)


def features(volumes: Sequence[Pair]) -> NDArray[np.float64]:
    """(N, voxels): clipped, smoothed HU."""
    rows = [ndimage.gaussian_filter(np.clip(ct, *HU_WINDOW).astype(np.float32), 1.0).ravel() for ct, _ in volumes]
    return np.stack(rows).astype(np.float64)


def between(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, N): root mean square difference of every two rows of (N, voxels)."""
    squares = (rows**2).mean(axis=1)
    apart: NDArray[np.float64] = squares[:, None] + squares[None] - 2 * rows @ rows.T / rows.shape[1]
    return np.sqrt(np.maximum(apart, 0))


def spread(apart: NDArray[np.float64]) -> tuple[float, float]:
    """Of a matrix (N, N) of distances: the mean over all pairs, and the mean to the nearest other."""
    others = ~np.eye(len(apart), dtype=bool)
    return float(apart[others].mean()), float(np.where(others, apart, np.inf).min(axis=1).mean())


def real_spread(cases: Sequence[Pair], count: int) -> tuple[float, float]:
    """`spread` of real sets of `count`, averaged over fixed draws without replacement.

    Raises:
        MedsynthError: the cases are all alike.
    """
    apart = between(features(cases))
    rng = np.random.default_rng(0)
    chosen = [rng.choice(len(apart), count, replace=False) for _ in range(DRAWS)]
    mean, nearest = (float(value) for value in np.mean([spread(apart[np.ix_(some, some)]) for some in chosen], axis=0))
    if min(mean, nearest) < 1e-3:
        raise MedsynthError("the training cases are all alike: there is no diversity to compare with")
    return mean, nearest
