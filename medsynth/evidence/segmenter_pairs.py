"""How well a segmenter finds the labels in sets of images: Dice by image, and ratios with intervals by patient."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.errors import MedsynthError
from medsynth.evidence.seen import as_seen
from medsynth.evidence.segmenter import Segmenter, dice_per_case
from medsynth.metrics.controls import ImageSet, shuffled_labels
from medsynth.models.layout import Given, LabelChannel, Layout
from medsynth.records import SampleRecord

RESAMPLED = 2000
Array = NDArray[np.float64]


class Judged(NamedTuple):
    """Dice of every image by label, (N, labels), NaN where the map lacks the label; owners (N,)."""

    dice: Array
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[Any]) -> "Judged":
        """The images of `rows`."""
        return Judged(self.dice[rows], self.owners[rows])

    def mean(self) -> Array:
        """Mean Dice by label, (labels,)."""
        means: Array = np.nanmean(self.dice, axis=0)
        return means


class DiceRatio(NamedTuple):
    """Mean Dice of one label and its ratio to that of reals, each with a 95% interval.

    `images` and `owners`: how many have the label, and of how many patients or samples.
    """

    dice: float
    dice_low: float
    dice_high: float
    ratio: float
    low: float
    high: float
    images: int
    owners: int


class Pair(NamedTuple):
    """Images as the segmenter sees them (N, C, *spatial), their maps in values (N, *spatial), owners (N,)."""

    x: Tensor
    maps: NDArray[np.integer]
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[np.intp]) -> "Pair":
        """The images of `rows`."""
        return Pair(self.x[torch.from_numpy(rows)], self.maps[rows], self.owners[rows])

    def other_maps(self, rng: np.random.Generator) -> "Pair":
        """Every image with the map of another owner."""
        shuffled = shuffled_labels(ImageSet(self.x.numpy(), self.maps, self.owners), rng).labels
        return self._replace(maps=np.asarray(shuffled))

    def blurred(self) -> "Pair":
        """Every image under a Gaussian of an eighth of its sides."""
        sigma = (0, 0, *(side / 8 for side in self.x.shape[2:]))
        return self._replace(x=torch.from_numpy(gaussian_filter(self.x.numpy(), sigma)))

    def constant(self) -> "Pair":
        """Every voxel at its image's mean."""
        axes = tuple(range(2, self.x.ndim))
        return self._replace(x=self.x.mean(axes, keepdim=True).expand_as(self.x).contiguous())


def pair_of(
    images: Sequence[Mapping[str, NDArray[Any]]],
    maps: Sequence[NDArray[Any]],
    owners: Sequence[str],
    layout: Layout,
) -> Pair:
    """Images in units by channel and their label maps, all on the layout's grid, as a segmenter sees them."""
    return Pair(as_seen(images, layout, max(layout.grid.shape)), np.stack(maps), np.array(owners))


def real_pair(cases: Sequence[PreparedCase], layout: Layout) -> Pair:
    """Prepared cases that have a label map."""
    known = [(case.images, case.label, case.record.patient) for case in cases if case.label is not None]
    if not known:
        raise MedsynthError("a segmenter needs real cases with label maps on both sides of the split; these have none")
    images, maps, patients = zip(*known, strict=True)
    return pair_of(images, maps, patients, layout)


def with_label(preparation: Preparation, records: Sequence[SampleRecord]) -> Preparation:
    """The preparation with a label map, also where the run takes the map as its condition and makes none."""
    if preparation.layout.label:
        return preparation
    maps = [name for name, channel in records[0].channels.items() if channel.kind == "label"]
    if not maps:
        raise MedsynthError("the samples hold no label map; copy beside each the map that it was given")
    label = LabelChannel(name=maps[0], values={0: "background", **records[0].labels})
    return dataclasses.replace(preparation, layout=dataclasses.replace(preparation.layout, label=label, given=Given()))


def judge(segmenter: Segmenter, pair: Pair) -> Judged:
    """The segmenter's Dice on every image, of every label but the background."""
    found = segmenter.predict(pair.x)
    dice = [dice_per_case(found, pair.maps, value) for value in segmenter.values[1:]]
    return Judged(np.stack(dice, axis=1), pair.owners)


def dice_ratios(judged: Judged, real: Judged, seed: int) -> list[DiceRatio | None]:
    """Of every label: the Dice, and its ratio to the reals', by bootstrap of patients and samples.

    A patient of both sides is drawn in both. None where no image of a side has the label, or the
    segmenter finds it in no real image.

    Args:
        judged: (N, labels), the images that are asked about.
        real: (M, labels), held-out reals.
        seed: of the bootstrap.
    """
    owners = np.unique(np.concatenate([judged.owners, real.owners]))
    drawn = np.random.default_rng(seed).multinomial(len(owners), np.full(len(owners), 1 / len(owners)), RESAMPLED)
    ours, theirs = (_resampled(each, owners, drawn) for each in (judged, real))
    ratios: list[DiceRatio | None] = []
    for label in range(judged.dice.shape[1]):
        known = ~np.isnan(judged.dice[:, label])
        base = real.dice[:, label][~np.isnan(real.dice[:, label])]
        if not known.any() or not base.size or base.mean() == 0:
            ratios.append(None)
            continue
        value = float(judged.dice[known, label].mean())
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn_ratios = ours[:, label] / theirs[:, label]
        dice_low, dice_high = np.nanquantile(ours[:, label], (0.025, 0.975)).tolist()
        low, high = np.nanquantile(drawn_ratios, (0.025, 0.975)).tolist()
        images, patients = int(known.sum()), len(set(judged.owners[known]))
        ratios.append(DiceRatio(value, dice_low, dice_high, value / float(base.mean()), low, high, images, patients))
    return ratios


def _resampled(judged: Judged, names: NDArray[np.str_], drawn: NDArray[np.int64]) -> Array:
    """Mean Dice by label of bootstrap draws (RESAMPLED, owners) of the owners `names`, (RESAMPLED, labels)."""
    owner = np.searchsorted(names, judged.owners)
    known = ~np.isnan(judged.dice)
    sums, counts = np.zeros((2, len(names), judged.dice.shape[1]))
    np.add.at(sums, owner, np.where(known, judged.dice, 0))
    np.add.at(counts, owner, known)
    with np.errstate(invalid="ignore"):  # a draw in which nobody has the label
        means: Array = (drawn @ sums) / (drawn @ counts)
    return means
