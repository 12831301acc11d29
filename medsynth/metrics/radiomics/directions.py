"""Directions to the neighbours of a voxel, one of each pair of opposites: 4 in 2D, 13 in 3D."""

from itertools import product

Direction = tuple[int, ...]


def half_neighbourhood(rank: int) -> list[Direction]:
    """Neighbours at Chebyshev distance 1 whose first step that is not zero is positive (IBSI 3.6)."""
    return [step for step in product((-1, 0, 1), repeat=rank) if next((s for s in step if s), 0) > 0]
