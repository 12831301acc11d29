"""What bfloat16 costs each parametrisation, by noise level.

`python benchmarks/precision.py` takes a denoiser that is known (a mixture of three Gaussians with variance 1),
turns it into what each network would have to say, rounds input and answer to bfloat16 as a network under
autocast would, and prints the root mean square error of D that is left, in units of the data. The column
float32 is the same with float32 and has to be near 0.
"""

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.parametrisations import Edm, Epsilon, Flow, Parametrisation, Velocity
from medsynth.diffusion.schedules import VpSchedule

PARTS = ((0.3, -1.25, 0.3), (0.4, 0.1, 0.2), (0.3, 1.1, 0.3))
LEVELS = (0.002, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 80.0, 1000.0)
COUNT = 100_000


def known(x: Tensor, level: float) -> Tensor:
    """E[y | x] of PARTS."""
    v = level**2
    logs = [
        torch.tensor(w).log() - 0.5 * torch.tensor(s * s + v).log() - (x - m) ** 2 / 2 / (s * s + v)
        for w, m, s in PARTS
    ]
    means = [(s * s * x + v * m) / (s * s + v) for _, m, s in PARTS]
    return (torch.stack(logs).softmax(0) * torch.stack(means)).sum(0)


def error(form: Parametrisation, x: Tensor, level: float, kind: torch.dtype) -> float:
    """Of D, where the network's answer is rounded and its input was."""
    sigma = torch.full((len(x),), level, dtype=torch.float64)
    clean = known(x, level)
    frame = form.frame(x, sigma)
    # The network computes its answer from the rounded input: x as it would be behind it.
    scale = (frame.seen[:, :1] / x).mean()
    seen = frame.seen[:, :1].to(kind).double() / scale
    answer = ((known(seen, level) - form.frame(seen, sigma).base) / frame.out).to(kind).double()
    return (frame.base + frame.out * answer - clean).square().mean().sqrt().item()


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, means, stds = (torch.tensor(column, dtype=torch.float64) for column in zip(*PARTS, strict=True))
    which = torch.multinomial(weights, COUNT, replacement=True, generator=generator)
    y = means[which] + stds[which] * torch.randn(COUNT, dtype=torch.float64, generator=generator)
    std = float(y.std())
    prior = GaussianPrior(1, (1,)).double()
    for own in (prior.coarse_std, prior.fine_std):
        own.fill_(std)
    forms: dict[str, Parametrisation] = {
        "edm": Edm(prior, torch.tensor([std], dtype=torch.float64)),
        "epsilon": Epsilon(VpSchedule()),
        "v": Velocity(VpSchedule()),
        "flow": Flow(),
    }
    table = Table("sigma", *forms, "float32, the worst")
    for level in LEVELS:
        x = (y + level * torch.randn(COUNT, dtype=torch.float64, generator=generator)).reshape(-1, 1, 1)
        exact = max(error(form, x, level, torch.float32) for form in forms.values())
        table.add_row(
            f"{level:g}", *(f"{error(form, x, level, torch.bfloat16):.2e}" for form in forms.values()), f"{exact:.1e}"
        )
    Console().print(f"standard deviation of the data {std:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
