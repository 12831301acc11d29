"""Averages of the weights over training, and those of another width made from snapshots afterwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medsynth.errors import MedsynthError, RunError
from medsynth.files import sha256_file
from medsynth.models.sealed import read_sealed, write_sealed

FOLDER = "averages"
"""Below RUN/weights."""


def power_gamma(sigma_rel: float) -> float:
    """Exponent gamma of the power-function average of relative width `sigma_rel` (Karras et al. 2024, eq. 124).

    sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)); 0.1 gives 6.94.
    """
    if not 0 < sigma_rel < 0.28:
        raise ValueError("sigma_rel lies between 0 and 0.28")
    t = sigma_rel**-2
    roots = np.roots([1, 7, 16 - t, 12 - t])
    return float(roots[np.isreal(roots)].real.max())


def power_decay(step: int, gamma: float) -> float:
    """Decay of the power-function average at `step` >= 1 (Karras et al. 2024, eq. 127)."""
    return float((1 - 1 / step) ** (gamma + 1))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Average <- decay average + (1 - decay) model, parameters that are trained; buffers are copied."""
    pairs = zip(average.parameters(), model.parameters(), strict=True)
    trained = [(kept, weight) for kept, weight in pairs if weight.requires_grad]
    torch._foreach_lerp_([kept for kept, _ in trained], [weight for _, weight in trained], 1 - decay)
    for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)


def profile_products(
    first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Integrals of the products of averaging profiles (Karras et al. 2024, appendix C.3 and Algorithm 3).

    The profile of exponent gamma at step t is (gamma + 1) tau^gamma / t^(gamma + 1) for tau below t.

    Args:
        first, second: (step, gamma) each.

    Returns:
        (len(first), len(second)), divided by the geometric mean of the two profiles' own: 1 where they are one.
    """
    (t, a), (u, b) = (np.array(pairs, dtype=np.float64).T for pairs in (first, second))
    t, a, u, b = t[:, None], a[:, None], u[None], b[None]
    least = np.minimum(t, u)
    whole = np.sqrt((2 * a + 1) * (2 * b + 1)) / (a + b + 1)
    product: NDArray[np.float64] = whole * (least / t) ** (a + 0.5) * (least / u) ** (b + 0.5)
    return product


def snapshot_weights(snapshots: Sequence[tuple[float, float]], step: float, width: float) -> NDArray[np.float64]:
    """Weights of snapshots whose sum is nearest to the average of `width` at `step` (Karras et al. 2024, eq. 6).

    Args:
        snapshots: (step, gamma) each, none after `step`.
        step: of the average that is wanted.
        width: its relative width, sigma_rel.

    Returns:
        (len(snapshots),), sum 1 about.
    """
    target = [(step, power_gamma(width))]
    solved = np.linalg.lstsq(profile_products(snapshots, snapshots), profile_products(snapshots, target), rcond=1e-12)[
        0
    ]
    norms = [np.sqrt((gamma + 1) ** 2 / ((2 * gamma + 1) * at)) for at, gamma in (*snapshots, *target)]
    weights: NDArray[np.float64] = solved[:, 0] * norms[-1] / np.array(norms[:-1])
    return weights


def save_snapshot(run: Path, step: int, networks: Mapping[float, nn.Module]) -> None:
    """Write the averages of several widths at a step: {width: network}, the width that is trained with first."""
    content = {
        "step": step,
        "widths": list(networks),
        "networks": [network.state_dict() for network in networks.values()],
    }
    write_sealed(snapshot_path(run, step), content)


def load_average(run: Path, width: float, device: str = "cpu") -> dict[str, Tensor]:
    """State of the network whose weights are averaged with another width, at the last snapshot.

    Raises:
        MedsynthError: a width outside 0 to 0.28, a run without snapshots.
        RunError: a snapshot that is cut short or altered.
    """
    if not 0 < width < 0.28:
        raise MedsynthError("ema is a relative width between 0 and 0.28")
    paths = sorted((run / "weights" / FOLDER).glob("step-*.ckpt"))
    if not paths:
        raise MedsynthError("ema: the run kept no snapshots; train with trainer.snapshot_every, or leave ema=null")
    known = [(float(step), power_gamma(own)) for path in paths for step, own, _ in _read_snapshot(path, device)]
    weights = iter(snapshot_weights(known, max(step for step, _ in known), width).tolist())
    total: dict[str, Tensor] = {}
    for path in paths:  # one at a time: together they need not fit the memory
        for _, _, state in _read_snapshot(path, device):
            weight = next(weights)
            for name, value in state.items():
                total[name] = total.get(name, torch.zeros((), dtype=torch.float64)) + weight * value.double()
    return {name: value.float() for name, value in total.items()}


def load_snapshot(run: Path, step: int, device: str = "cpu") -> dict[str, Tensor]:
    """State of the network as its average stood at a step, of the width that was trained with.

    Raises:
        MedsynthError: the run kept no snapshot of that step.
        RunError: it is cut short or altered.
    """
    path = snapshot_path(run, step)
    if not path.is_file():
        there = ", ".join(str(int(found.stem[5:])) for found in sorted(path.parent.glob("step-*.ckpt")))
        raise MedsynthError(
            f"the run has snapshots of the steps {there}; name one of these"
            if there
            else "the run kept no snapshots; train with trainer.snapshot_every"
        )
    return _read_snapshot(path, device)[0][2]


def snapshot_path(run: Path, step: int) -> Path:
    """Where the snapshot of a step lies."""
    return run / "weights" / FOLDER / f"step-{step:08d}.ckpt"


def snapshots_sha256(run: Path) -> list[str]:
    """Hashes of a run's snapshots, in order."""
    return [sha256_file(path) for path in sorted((run / "weights" / FOLDER).glob("step-*.ckpt"))]


def _read_snapshot(path: Path, device: str) -> list[tuple[int, float, dict[str, Tensor]]]:
    """Step, width and state of each network in a snapshot."""
    content = read_sealed(path, device).content
    try:
        step, widths, networks = content["step"], content["widths"], content["networks"]
        if not all(0 < width < 0.28 for width in widths):
            raise ValueError
        read = [(int(step), width, dict(state)) for width, state in zip(widths, networks, strict=True)]
        if not read:
            raise ValueError
        return read
    except (KeyError, TypeError, ValueError):
        raise RunError(f"snapshot {path.name} was altered; copy the run again") from None
