"""Polygons on a pixel grid."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fill_even_odd(polygons: Iterable[ArrayLike], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside an odd number of closed polygons: a polygon in another one is a hole.

    Args:
        polygons: each (N, 2) corners in pixels, the centre of pixel (i, j) at (i, j); the last joins the first.
        shape: of the grid. What lies outside of it is cut off.

    >>> fill_even_odd([[(-0.5, -0.5), (1.5, -0.5), (1.5, 0.5), (-0.5, 0.5)]], (3, 2)).astype(int).tolist()
    [[1, 0], [1, 0], [0, 0]]
    """
    # Along a row of pixels (j fixed) parity changes at every crossing with an edge: a flip there, then a running sum.
    flips = np.zeros((shape[0] + 1, shape[1]), dtype=np.int64)
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=np.float64)
        ends = np.roll(corners, -1, axis=0)
        for (i0, j0), (i1, j1) in zip(corners, ends, strict=True):
            low, high = min(j0, j1), max(j0, j1)
            # Half open, so that a corner on a row counts once.
            rows = np.arange(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), shape[1]))
            if not rows.size:
                continue
            crossing = i0 + (rows - j0) * (i1 - i0) / (j1 - j0)
            np.add.at(flips, (np.clip(np.ceil(crossing), 0, shape[0]).astype(int), rows), 1)
    inside: NDArray[np.bool_] = np.cumsum(flips[:-1], axis=0) % 2 == 1
    return inside
