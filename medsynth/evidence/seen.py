"""Images as a judging network sees them: in [-1, 1], averaged over blocks of voxels where they are large."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from medsynth.models.layout import Layout


def as_seen(images: Sequence[Mapping[str, NDArray[Any]]], layout: Layout, longest: int) -> Tensor:
    """Images in units -> (N, C, *spatial) in [-1, 1], averaged over blocks until no side exceeds `longest`.

    Args:
        images: of every sample or case, by channel.
        layout: names the channels and their ranges; what is stored in whole numbers is rounded.
        longest: the most voxels a side may have.
    """
    parts = []
    for image in images:
        channels = []
        for channel in layout.images:
            array = np.round(image[channel.name]) if channel.integer else image[channel.name]
            scaled = (torch.from_numpy(array).float() - channel.low) / (channel.high - channel.low)
            channels.append(scaled.clamp(0, 1) * 2 - 1)
        parts.append(torch.stack(channels))
    x, block = torch.stack(parts), math.ceil(max(layout.grid.shape) / longest)
    if block == 1:
        return x
    pool = F.avg_pool2d if layout.rank == 2 else F.avg_pool3d
    return pool(x, block, ceil_mode=True, count_include_pad=False)
