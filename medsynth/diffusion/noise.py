"""Noise and noise levels that are a function of (seed, place), whatever the batch."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator_for(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by all `parts`: other parts, independent numbers."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def seeded_noise(seed: int, indices: Sequence[int], shape: Sequence[int], purpose: str = "sample") -> Tensor:
    """White noise (B, *shape), float32, one generator a sample.

    The noise of index i is the same bits in any batch, on any number of processes and
    for any device: it is drawn on the CPU.
    """
    return torch.stack([torch.randn(*shape, generator=generator_for(purpose, seed, index)) for index in indices])


def stratified_uniform(seed: int, step: int, indices: Sequence[int], batch: int) -> Tensor:
    """One uniform number an index of the global batch, spread evenly over the batch.

    The same shift for the whole batch, a function of (seed, step), plus index / batch:
    each number is uniform by itself, together they cover (0, 1) (Kingma et al. 2021, I.1).
    """
    shift = torch.rand((), generator=generator_for("sigma", seed, step), dtype=torch.float64)
    return ((shift + torch.tensor(indices, dtype=torch.float64) / batch) % 1).float()
