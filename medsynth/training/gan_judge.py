"""The number by which a GAN's checkpoint is chosen: how far its samples are from real ones, on fixed features."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.metrics.features import FeatureSpace, fit_features
from medsynth.metrics.mmd import unbiased_mmd2
from medsynth.models.layout import Layout

Array = NDArray[np.float64]
P = TypeVar("P")


class Judge:
    """Unbiased MMD^2 between made and real samples, the mean over image channels and labels.

    A loss says nothing of how good a GAN's samples are: it is level where D and G are. Features and bandwidth of each
    channel are fixed on the training samples (`fit_features`); a label is the picture of where it is. A channel that
    never varies is not looked at.

    Args:
        layout: of the samples.
        training: (N, C, *spatial), training samples in model units, unaugmented.

    Raises:
        MedsynthError: fewer than 8 of them.
    """

    def __init__(self, layout: Layout, training: Tensor) -> None:
        self.layout = layout
        self.spaces: list[FeatureSpace | None] = []
        for picture in _pictures(layout, training):
            self.spaces.append(fit_features(picture) if picture.min() < picture.max() else None)

    def features(self, x: Tensor) -> list[Array]:
        """(N, C, *spatial) in model units -> features (N, F) of every channel that is looked at."""
        pairs = zip(self.spaces, _pictures(self.layout, x), strict=True)
        return [space(picture) for space, picture in pairs if space is not None]

    def distance(self, made: Sequence[Array], real: Sequence[Array]) -> float:
        """Mean over the channels of MMD^2 between two sets of features; about 0 where both are of one kind.

        Raises:
            MedsynthError: fewer than 2 real samples.
        """
        if len(real[0]) < 2:
            raise MedsynthError("model=gan is chosen by 2 or more validation samples: raise data.split.validation")
        spaces = [space for space in self.spaces if space is not None]
        values = [unbiased_mmd2(a, b, space.bandwidth) for a, b, space in zip(made, real, spaces, strict=True)]
        return float(np.mean(values))


def _pictures(layout: Layout, x: Tensor) -> list[NDArray[np.float32]]:
    """Images clipped to their range, and for each label but the background where it is; (N, *spatial) each."""
    count = len(layout.images)
    pictures = [part.clamp(-1, 1).numpy() for part in x[:, :count].float().cpu().unbind(1)]
    if layout.label:
        winner = x[:, count:].argmax(1).cpu()
        for number, value in enumerate(layout.label.values):
            if value:
                pictures.append((winner == number).float().numpy())
    return pictures


def stacked(parts: Sequence[Sequence[Array]]) -> list[Array]:
    """Features of several batches as one, channel by channel."""
    return [np.concatenate(channel) for channel in zip(*parts, strict=True)]


def training_samples(places: Sequence[P], read: Callable[[P], Tensor], most: int = 512) -> Tensor:
    """At most `most` samples at even distances, read and stacked."""
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))
    return torch.stack([read(places[i]) for i in chosen])
