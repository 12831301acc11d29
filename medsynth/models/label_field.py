"""A label map as smooth channels: the signed distance to each label's edge.

A one-hot channel jumps at the edge, so all that a model is unsure of becomes single
voxels on the wrong side. The signed distance (Osher and Fedkiw 2003) is smooth there: a small error moves
the edge a little, and the label stays in one piece.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor


def label_channels(label: NDArray[np.integer], values: Iterable[int], reach: float) -> Tensor:
    """One channel a label value, positive inside and negative outside; argmax gives the label back exactly.

    Args:
        label: (*spatial), whole numbers.
        values: of the label map, in the order of the channels; all that occur in it.
        reach: voxels from the edge to where a channel is +1 inside and -1 outside; 0 jumps
            from one to the other at the edge (one-hot). Distances are in voxels, not in mm.

    Returns:
        (len(values), *spatial), float32 in -1 to 1.
    """
    return torch.from_numpy(np.stack([_channel(label == value, reach) for value in values]))


def _channel(inside: NDArray[np.bool_], reach: float) -> NDArray[np.float32]:
    if not reach or inside.all() or not inside.any():
        return inside.astype(np.float32) * 2 - 1
    # A voxel's middle is half a voxel nearer to the edge than to the middle of its neighbour.
    to_edge = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside) - 0.5
    signed: NDArray[np.float32] = np.clip(np.where(inside, to_edge, -to_edge) / reach, -1, 1).astype(np.float32)
    return signed
