"""The same metrics as torchmetrics classes, for training loops and other people's code."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from medsynth.metrics.features import FeatureExtractor
from medsynth.metrics.frechet import frechet, frechet_distance
from medsynth.metrics.kid import kid
from medsynth.metrics.mmd import unbiased_mmd2
from medsynth.metrics.prdc import prdc


class FeaturesOfTensors:
    """A `FeatureExtractor` for batches of tensors: (B, 1, *spatial) in its units -> (B, F)."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor

    def __call__(self, images: Tensor) -> Tensor:
        """Features on the device of the images.

        Raises:
            ValueError: images with other than one channel.
        """
        if images.ndim < 3 or images.shape[1] != 1:
            raise ValueError(f"features are of one channel; here are images of shape {tuple(images.shape)}")
        return torch.from_numpy(self.extractor(images[:, 0].cpu().numpy())).to(images.device)


class TwoSamples(Metric):
    """Features of real and synthetic images, gathered over batches and processes.

    Args:
        features: takes a batch (B, ...) to features (B, F), fixed beforehand; `FeaturesOfTensors` makes one of a
            `FeatureExtractor`.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False

    def __init__(self, features: Callable[[Tensor], Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.real: list[Tensor]
        self.synthetic: list[Tensor]
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("synthetic", default=[], dist_reduce_fx="cat")

    def update(self, images: Tensor, real: bool) -> None:
        """Add a batch (B, ...) of real or synthetic images."""
        (self.real if real else self.synthetic).append(self.features(images).double())

    def _sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sides = [dim_zero_cat(side) if len(side) else torch.empty(0, 1) for side in (self.synthetic, self.real)]
        if min(len(side) for side in sides) < 2:
            name = type(self).__name__
            raise ValueError(f"{name} needs at least two real and two synthetic images; update it with both")
        synthetic, real = (side.cpu().numpy() for side in sides)
        return synthetic, real


class MaximumMeanDiscrepancy(TwoSamples):
    """Unbiased RBF-MMD^2 between real and synthetic images (Gretton et al. 2012, eq. 3).

    Args:
        features: as in `TwoSamples`.
        bandwidth: of the RBF kernel, in feature units, fixed beforehand.
        kwargs: of torchmetrics.Metric.
    """

    def __init__(self, features: Callable[[Tensor], Tensor], bandwidth: float, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        if bandwidth <= 0:
            raise ValueError(f"bandwidth is {bandwidth}; it must be above 0")
        self.bandwidth = bandwidth

    def compute(self) -> Tensor:
        """MMD^2, a scalar; below zero by chance where the distributions are equal.

        Raises:
            ValueError: fewer than two images on a side.
        """
        synthetic, real = self._sides()
        return torch.tensor(unbiased_mmd2(synthetic, real, self.bandwidth))


class KernelDistance(TwoSamples):
    """KID (Binkowski et al. 2018) on all images, see `medsynth.metrics.kid`."""

    def compute(self) -> Tensor:
        """KID, a scalar; below zero by chance where the distributions are equal.

        Raises:
            ValueError: fewer than two images on a side.
        """
        return torch.tensor(kid(*self._sides()).value)


class FrechetDistance(TwoSamples):
    """Frechet distance, extrapolated to endless samples (Chong and Forsyth 2020) or as it is.

    Args:
        features: as in `TwoSamples`.
        extrapolate: False for the plain, biased distance of Heusel et al. 2017.
        seed: of the subsets of the extrapolation.
        kwargs: of torchmetrics.Metric.
    """

    def __init__(
        self, features: Callable[[Tensor], Tensor], *, extrapolate: bool = True, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(features, **kwargs)
        self.extrapolate = extrapolate
        self.seed = seed

    def compute(self) -> Tensor:
        """The squared distance, a scalar.

        Raises:
            ValueError: fewer than two images on a side.
            MedsynthError: too few images to extrapolate.
        """
        sides = self._sides()
        return torch.tensor(frechet(*sides, seed=self.seed).value if self.extrapolate else frechet_distance(*sides))


class PrecisionRecallDensityCoverage(TwoSamples):
    """Kynkaanniemi et al. 2019 and Naeem et al. 2020, see `medsynth.metrics.prdc`.

    Args:
        features: as in `TwoSamples`.
        k: number of neighbours; by default `medsynth.metrics.prdc.neighbours` says.
        kwargs: of torchmetrics.Metric.
    """

    higher_is_better = True

    def __init__(self, features: Callable[[Tensor], Tensor], *, k: int | None = None, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """`precision`, `recall`, `density` and `coverage`, each a scalar.

        Raises:
            ValueError: fewer than two images on a side.
        """
        found = prdc(*self._sides(), k=self.k)
        return {name: torch.tensor(getattr(found, name).value) for name in found._fields[:4]}
