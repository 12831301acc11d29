"""The same metrics as torchmetrics classes, for training loops and other people's code."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from medsynth.metrics.mmd import unbiased_mmd2


class MaximumMeanDiscrepancy(Metric):
    """Unbiased RBF-MMD^2 between real and synthetic images (Gretton et al. 2012, eq. 3).

    Args:
        features: takes a batch (B, ...) to features (B, F), fixed beforehand.
        bandwidth: of the RBF kernel, in feature units, fixed beforehand.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(self, features: Callable[[Tensor], Tensor], bandwidth: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if bandwidth <= 0:
            raise ValueError(f"bandwidth is {bandwidth}; it must be above 0")
        self.features = features
        self.bandwidth = bandwidth
        self.real: list[Tensor]
        self.synthetic: list[Tensor]
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("synthetic", default=[], dist_reduce_fx="cat")

    def update(self, images: Tensor, real: bool) -> None:
        """Add a batch (B, ...) of real or synthetic images."""
        (self.real if real else self.synthetic).append(self.features(images).double())

    def compute(self) -> Tensor:
        """MMD^2, a scalar; below zero by chance where the distributions are equal.

        Raises:
            ValueError: fewer than two images on a side.
        """
        sides = [dim_zero_cat(side) if len(side) else torch.empty(0, 1) for side in (self.synthetic, self.real)]
        if min(len(side) for side in sides) < 2:
            raise ValueError("MMD needs at least two real and two synthetic images; update it with both")
        first, second = (side.cpu().numpy() for side in sides)
        return torch.tensor(unbiased_mmd2(first, second, self.bandwidth))
