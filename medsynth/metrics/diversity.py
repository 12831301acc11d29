"""How alike the images of one set are: MS-SSIM of pairs, with an interval by patient."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
_WEIGHTS = (0.5, 0.3, 0.2)
_C1, _C2 = 0.01**2, 0.03**2


class Diversity(NamedTuple):
    """Mean MS-SSIM over pairs of different patients (1: all images alike), its standard error, and how many pairs."""

    mean: float
    error: float
    pairs: int


def pairwise_ms_ssim(images: NDArray[np.floating], low: float, high: float, *, batch: int = 64) -> Array:
    """MS-SSIM (Wang et al. 2003) of every pair of images, (N, N), with ones on the diagonal.

    A uniform window of 5 voxels (3 where a side is below 8) and as many scales as the smallest side
    allows, at most three, weights .5, .3, .2: the usual five scales of 11 voxels refuse volumes of
    160 voxels a side or less. Negative structure terms count as zero. Means and variances of an
    image are filtered once and not once a pair.

    Args:
        images: (N, *spatial), rank 2 or 3, smallest side at least 3.
        low: intensity that maps to 0; high: intensity that maps to 1; the SSIM's data range is 1.
        batch: pairs at once.
    """
    level = torch.from_numpy(((images - low) / (high - low)).astype(np.float32))[:, None]
    shortest = min(level.shape[2:])
    window = 5 if shortest >= 8 else 3
    scales = max(1, min(len(_WEIGHTS), int(np.log2(max(1, shortest // window))) + 1))
    pairs = torch.triu_indices(len(images), len(images), 1)
    product = torch.ones(pairs.shape[1], dtype=torch.float64)
    for scale, weight in enumerate(_WEIGHTS[:scales]):
        mean = _box(level, window)
        variance = (_box(level**2, window) - mean**2).clamp(min=0)
        for start in range(0, pairs.shape[1], batch):
            a, b = pairs[:, start : start + batch]
            covariance = _box(level[a] * level[b], window) - mean[a] * mean[b]
            part = (2 * covariance + _C2) / (variance[a] + variance[b] + _C2)
            if scale == scales - 1:
                part = part * (2 * mean[a] * mean[b] + _C1) / (mean[a] ** 2 + mean[b] ** 2 + _C1)
            share = weight / sum(_WEIGHTS[:scales])
            product[start : start + batch] *= part.flatten(1).mean(1).clamp(min=0).double() ** share
        level = _mean_pool(level, [2] * (level.ndim - 2), stride=2)
    result = np.eye(len(images))
    result[pairs[0], pairs[1]] = result[pairs[1], pairs[0]] = product.numpy()
    return result


def _mean_pool(x: Tensor, size: list[int], stride: int) -> Tensor:
    return F.avg_pool2d(x, size, stride) if x.ndim == 4 else F.avg_pool3d(x, size, stride)


def _box(x: Tensor, window: int) -> Tensor:
    """Uniform filter without padding, one axis after the other."""
    for axis in range(x.ndim - 2):
        x = _mean_pool(x, [window if a == axis else 1 for a in range(x.ndim - 2)], stride=1)
    return x


def diversity(matrix: Array, owners: Sequence[str]) -> Diversity:
    """Mean MS-SSIM over pairs of different owners, with the jackknife's standard error by owner.

    Args:
        matrix: (N, N) of `pairwise_ms_ssim`.
        owners: patient of each image; for synthetic images, one each.
    """
    owner = np.unique(np.asarray(owners), return_inverse=True)[1]
    counts = owner[:, None] != owner[None]
    similar = np.where(counts, matrix, 0.0)
    total, pairs = similar.sum(), int(counts.sum())
    left_out = []
    for one in range(int(owner.max()) + 1):
        mine = owner == one
        rest = pairs - 2 * int(counts[mine].sum())
        if rest > 0:
            left_out.append((total - 2 * similar[mine].sum()) / rest)
    values = np.array(left_out)
    error = float(np.sqrt((len(values) - 1) * values.var())) if len(values) > 1 else 0.0
    return Diversity(float(total / pairs) if pairs else 1.0, error, pairs // 2)
