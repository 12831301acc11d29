"""Do synthetic images show their own label maps? Asked of a segmenter that knows real training patients alone.

The segmenter's Dice on samples against their own maps is set beside its Dice on real held-out
patients. Maps and images that were made together agree where both are wrong in one way: that the
maps themselves are anatomy is for the checks of labels to say. The segmenter knows what real
patients look like, and smooth samples may be easier for it: a ratio above 1 is no praise. How it does
on blurred reals is said too: where labels are large and plain, it finds them all the same.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.comparison import REAL_SHARE, Line, Verdict
from medsynth.evidence.seen import as_seen
from medsynth.evidence.segmenter import Segmenter, dice_per_case, read_segmenter, train_segmenter
from medsynth.files import sha256_json
from medsynth.metrics.controls import ImageSet, shuffled_labels
from medsynth.metrics.splits import halves
from medsynth.models.layout import Given, LabelChannel, Layout
from medsynth.records import SampleRecord

SHARE = 0.9
"""Part of the Dice on reals that samples have to reach."""
ABLE = 0.5
"""A segmenter with a lower Dice on reals judges nothing."""
RESAMPLED = 2000
HALVES = 200
LEAST_HELD_OUT = 8
OTHER_MAPS = "real, other patients' maps"
BLURRED = "real, blurred by an eighth of the sides"
CONSTANT = "real, constant"
OTHER_SAMPLES = "samples, other samples' maps"
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


def share_of_halves(real: Judged, seed: int) -> Array:
    """How often one half of the held-out patients meets the bar against the other, by label, (labels,)."""
    drawn = halves(real.owners, HALVES, np.random.default_rng(seed))
    with np.errstate(invalid="ignore", divide="ignore"):
        met = [real.take(~half).mean() >= SHARE * real.take(half).mean() for half in drawn]
    shares: Array = np.mean(met, axis=0)
    return shares


def bad_cases(samples: Pair, real: Pair, seed: int) -> dict[str, Pair]:
    """What has to miss the bar, as many as the samples or all the reals there are."""
    rng = np.random.default_rng(seed)
    some = real.take(rng.permutation(len(real.x))[: len(samples.x)])
    made = {OTHER_MAPS: some.other_maps(rng), BLURRED: some.blurred(), CONSTANT: some.constant()}
    return made | {OTHER_SAMPLES: samples.other_maps(rng)}


def segmenter_lines(segmenter: Segmenter, samples: Pair, real: Pair, names: Mapping[int, str], seed: int) -> list[Line]:
    """One line a label: samples, real halves and bad cases by one segmenter.

    Args:
        segmenter: trained on none of these images.
        samples: with their own maps.
        real: held-out patients.
        names: of the label values.
        seed: of halves, bootstrap and bad cases.
    """
    reals = judge(segmenter, real)
    own, base = (dice_ratios(judged, reals, seed) for judged in (judge(segmenter, samples), reals))
    passes = share_of_halves(reals, seed)
    bad = {
        name: dice_ratios(judge(segmenter, pair), reals, seed) for name, pair in bad_cases(samples, real, seed).items()
    }
    lines = []
    for row, value in enumerate(segmenter.values[1:]):
        found = {name: ratios[row] for name, ratios in bad.items()}
        lines.append(_line(names[value], own[row], base[row], float(passes[row]), found))
    return lines


def _line(
    label: str, own: DiceRatio | None, real: DiceRatio | None, passes: float, bad: Mapping[str, DiceRatio | None]
) -> Line:
    must_miss = {name: found for name, found in bad.items() if name != BLURRED}
    let_through = [name for name, found in must_miss.items() if found is None or found.high >= SHARE]
    verdict, reason = _verdict(own, real, passes, let_through)
    detail: dict[str, Any] = {}
    if own is not None:
        detail |= {"interval": [own.low, own.high], "dice": own.dice, "dice_interval": [own.dice_low, own.dice_high]}
        detail |= {"images": own.images}
    if real is not None:
        detail |= {"real_dice": real.dice, "real_dice_interval": [real.dice_low, real.dice_high]}
        detail |= {"real_images": real.images, "real_patients": real.owners}
    blurred = bad[BLURRED]
    detail["ratio_of_reals_blurred"] = blurred.ratio if blurred else None
    return Line(
        check="Dice of a segmenter, ratio to reals",
        subject=label,
        verdict=verdict,
        value=own.ratio if own else None,
        low=SHARE,
        high=None,
        real_passes=passes,
        controls={name: found.ratio if found else None for name, found in must_miss.items()},
        reason=reason,
        detail=detail,
    )


def _verdict(
    own: DiceRatio | None, real: DiceRatio | None, passes: float, let_through: Sequence[str]
) -> tuple[Verdict, str]:
    if real is None or real.dice < ABLE:
        found = "in no real image" if real is None else f"with a Dice of {real.dice:.2f} in real images"
        return "not measurable", f"the segmenter finds the label {found}; set segmenter to more steps"
    if real.images < LEAST_HELD_OUT:
        return "not measurable", f"{real.images} held-out real images have the label, {LEAST_HELD_OUT} are needed"
    if passes < REAL_SHARE:
        return "not measurable", f"real against real passes in {passes:.0%} of the draws only"
    if own is None:
        return "missed", "no synthetic label map has the label"
    if let_through:
        return "not measurable", f"at this size it does not reject for certain: {', '.join(let_through)}"
    sure = own.low >= SHARE if own.ratio >= SHARE else own.high < SHARE
    return "met" if own.ratio >= SHARE else "missed", "" if sure else "within chance: the interval holds the bar"


def judge_by_segmenter(
    samples: Pair,
    cases: Sequence[PreparedCase],
    preparation: Preparation,
    *,
    steps: int,
    seed: int,
    keep: Path,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> dict[str, Any]:
    """Train a segmenter on the real training patients, or take the kept one, and judge samples by it.

    Args:
        samples: with their own maps.
        cases: real, of all splits; training cases teach, the others are the reals.
        preparation: has a label map.
        steps: of the training.
        seed: of all chance.
        keep: folder for the weights; the same settings find them there again.
        progress: called after every training step.

    Returns:
        Plain JSON types: the segmenter's `sha256` and `settings`, numbers of images and patients, `lines`.
    """
    layout = preparation.layout
    assert layout.label is not None
    values = sorted(layout.label.values)
    taught, real = (real_pair([c for c in cases if (c.split == "train") is fits], layout) for fits in (True, False))
    decides = sha256_json([preparation.sha256, values, steps, seed])
    path = keep / f"segmenter-{decides[:16]}.ckpt"
    if path.exists():
        segmenter = read_segmenter(path, taught.x.shape[1], layout.rank)
    else:
        segmenter = train_segmenter(
            taught.x, taught.maps, values=values, steps=steps, seed=seed, augment=Augmenter(), progress=progress
        )
        segmenter.write(path)
    names = {value: layout.label.values[value] for value in values}
    return {
        "sha256": segmenter.sha256,
        "settings": dict(segmenter.settings),
        "training_images": len(taught.x),
        "training_patients": len(set(taught.owners)),
        "real_images": len(real.x),
        "real_patients": len(set(real.owners)),
        "lines": [line.to_json() for line in segmenter_lines(segmenter, samples, real, names, seed)],
    }
