"""Every image of one set against every image of another: the best correlation over flips, shifts and rotations.

Plain correlation says that any two heads are alike, so both images are whitened first (`WhiteGrid`). A copy may be of
a whole image, of a slice of a volume or of a patch; three searches are made: `whole` under flips, right angles, small
rotations and, by the fast Fourier transform, all shifts; `slices` and `patches` under flips and shifts near their
place. Gain and offset don't matter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.metrics.parts import Box, parts_of
from medsynth.metrics.turns import Turn, flips, right_angles, small_rotations, turned
from medsynth.metrics.whitening import WhiteGrid

Scores = Mapping[str, NDArray[np.float32]]
WHOLE = "whole"
_VOXELS = {2: (1600, 4096), 3: (2600, 6200)}
_LEAST_NORM = 0.5  # of the usual: a flat place is no match for anything
_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How thoroughly images are compared.

    Args:
        voxels: of the grids on which whole images and their parts are compared, at most about; None is the usual
            of the rank.
        degrees: small rotations tried, in each plane of two axes.
        noise: standard deviation of white noise that a copy may carry, as a fraction of the intensity range.
    """

    voxels: tuple[int, int] | None = None
    degrees: tuple[float, ...] = (-5.0, 5.0)
    noise: float = 0.05

    def __post_init__(self) -> None:
        if self.voxels is not None and min(self.voxels) < 64:
            raise MedsynthError("search.voxels are two numbers of at least 64")
        if not (0 < self.noise < 1 and all(0 < abs(turn) <= 45 for turn in self.degrees)):
            raise MedsynthError("search.noise is between 0 and 1, search.degrees are at most 45 and not 0")


class Searcher:
    """Whitening and grids, fixed on real images; then any images against any references.

    Args:
        real: (N, C, *spatial), rank 2 or 3, real images on the samples' grid.
        spacing: voxel size along each axis.
        plan: how thoroughly.
    """

    def __init__(self, real: Tensor, spacing: Sequence[float], plan: SearchPlan) -> None:
        self.plan, self.spacing, self.rank = plan, tuple(spacing), real.ndim - 2
        coarse, fine = plan.voxels or _VOXELS[self.rank]
        self.whole, self.fine = (WhiteGrid(real, voxels, plan.noise) for voxels in (coarse, fine))
        self.parts = parts_of(self.fine.shape)

    def __call__(self, images: Tensor, references: Tensor, step: Callable[[int], None] | None = None) -> Scores:
        """The best correlation of every part of every image with every reference, by family.

        Args:
            images: (N, C, *spatial).
            references: (M, C, *spatial).
            step: is told how many more images are done, again and again.

        Returns:
            (N, V, M) each, in [-1, 1]; of `whole` V is 1, of the others the number of slices or patches.
        """
        spectra = torch.fft.rfftn(_in_batches(self.whole, references), dim=self.whole.dims)
        white = _in_batches(self.fine, references)
        found = {WHOLE: np.empty((len(images), 1, len(references)), np.float32)}
        for family, of in self.parts.items():
            found[family] = np.full((len(images), len(of), len(references)), -1.0, np.float32)
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            rows = slice(start, start + len(batch))
            found[WHOLE][rows, 0] = self._whole(batch, spectra)
            plain = self._flipped(batch)
            for family, of in self.parts.items():
                found[family][rows] = self._parts(plain, white, of)
            if step is not None:
                step(len(batch))
        return found

    def _flipped(self, images: Tensor) -> Tensor:
        """(F, N, C, *fine shape), whitened, under every flip."""
        return torch.stack([self.fine(turned(images, turn, self.spacing)) for turn in flips(self.rank)])

    def turns(self, shape: Sequence[int]) -> Iterator[Turn]:
        """Every turn that is tried of a whole image."""
        yield from flips(self.rank)
        yield from right_angles(shape, self.spacing)
        for small in small_rotations(self.rank, self.plan.degrees):
            for flip in flips(self.rank):
                yield small._replace(flips=flip.flips)

    def _whole(self, images: Tensor, spectra: Tensor) -> NDArray[np.float32]:
        """(N, M): the largest correlation over all turns and shifts."""
        best = torch.full((len(images), len(spectra)), -1.0)
        grid = self.whole
        for turn in self.turns(images.shape[2:]):
            white = grid(turned(images, turn, self.spacing))
            for row, own in enumerate(torch.fft.rfftn(white, dim=grid.dims).conj()):
                correlation = torch.fft.irfftn((spectra * own).sum(1), s=grid.shape, dim=grid.dims)
                best[row] = torch.maximum(best[row], correlation.flatten(1).amax(1))
        return best.numpy()

    def _parts(self, plain: Tensor, white: Tensor, of: Sequence[Box]) -> NDArray[np.float32]:
        """(N, V, M): the largest correlation of each part, over flips and shifts near its place.

        Args:
            plain: (F, N, C, *fine shape), whitened images under every flip.
            white: (M, C, *fine shape), whitened references.
            of: the parts.
        """
        best = torch.full((plain.shape[1], len(of), len(white)), -1.0)
        for box in of:
            own = self._unit(_cut(plain, box).flatten(2), box)
            for near in box.near(self.fine.shape):
                there = self._unit(_cut(white, near).flatten(1), box)
                for flip, correlation in enumerate(own @ there.T):
                    column = best[:, box.mirrored[flip]]
                    torch.maximum(column, correlation, out=column)
        return best.numpy()

    def _unit(self, values: Tensor, box: Box) -> Tensor:
        usual = (np.prod(box.sides) / np.prod(self.fine.shape)) ** 0.5
        unit: Tensor = values / values.norm(dim=-1, keepdim=True).clamp(min=_LEAST_NORM * usual)
        return unit


def _in_batches(grid: WhiteGrid, images: Tensor) -> Tensor:
    return torch.cat([grid(part) for part in torch.split(images, 64)])


def _cut(white: Tensor, box: Box) -> Tensor:
    place: tuple[Any, ...] = (..., *box.place)
    return white[place]
