"""Do samples show the label map that was given, or that was made with them? 2D and 3D by the same code.

`python benchmarks/obedience_label.py CASES SAMPLES... --out FOLDER` trains a segmenter on the real training
patients' images and label maps for a fixed number of steps, then prints for each label its Dice (MONAI's, mean over
the images that have the label) on held-out real images (validation and test patients: nothing is chosen by them)
and on samples against the label map that lies beside each in samples.jsonl. The weights are kept in FOLDER; the same
command judges further samples without training again.

The bar: for each label the samples' Dice is at least 90% of the reals'. A label is met or missed by the value; where
the bar lies inside the 95% interval of the ratio (2,000 bootstrap draws of patients and of samples, those that were
given one map drawn together), "within chance" stands beside it.

Controls of the same command. One half of the held-out patients must meet the bar against the other half in 4 of 5
random halves. Must miss it with the whole interval, in every label: held-out reals, as many as the samples,
against the label map of another patient, under a Gaussian blur of an eighth of their sides, and constant; each
folder's samples against the map of another sample. Else the result is "not measurable at this size", exit status 1.

How finely the bar measures is printed too: the voxels by which real maps may be moved and still meet it.

What it does not say: maps and images that were made together agree where both are wrong in one way, so such samples
say nothing of given maps. Maps of training patients are counted in the table; the bar is meant for those of held-out
ones. The segmenter knows what its training patients look like: smooth samples may be easier for it than reals are,
and a ratio above 1 is no praise.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from judge import as_seen, common_preparation, moved, one_by_one, scores, share_presumed, trained
from monai.losses import DiceCELoss
from monai.metrics import compute_dice
from monai.networks.nets import UNet
from monai.networks.utils import one_hot
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from verdict import DRAWS, REAL, Found, Interval, Row, conclude, halves, unfit

from medsynth.data.preparation import Preparation, PreparedCase, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import read_samples
from medsynth.files import sha256_json
from medsynth.metrics.controls import ImageSet, shuffled_labels
from medsynth.models.layout import Given, LabelChannel, Layout
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

SHARE = 0.9
RESAMPLED = 2000
MOST_MOVED = 16
WIDTHS = (16, 32, 64, 96)
FOLD = 2 ** (len(WIDTHS) - 1)  # the network halves the sides so often
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


class Segmenter(nn.Module):
    """A small U-Net for any size: sides are filled up to what it can halve, and cut again."""

    def __init__(self, rank: int, channels: int, labels: int) -> None:
        super().__init__()
        self.net = UNet(rank, channels, labels, WIDTHS, (2,) * (len(WIDTHS) - 1), num_res_units=1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, *spatial) -> logits (B, labels, *spatial)."""
        sides = x.shape[2:]
        more = [width for side in reversed(sides) for width in (0, -side % FOLD)]
        answer: Tensor = self.net(F.pad(x, more, mode="replicate"))
        for axis, side in enumerate(sides, 2):
            answer = answer.narrow(axis, 0, side)
        return answer


def with_label(preparation: Preparation, records: Sequence[SampleRecord]) -> Preparation:
    """The preparation with a label map, also where the run takes the map as its condition and makes none."""
    if preparation.layout.label:
        return preparation
    maps = [name for name, channel in records[0].channels.items() if channel.kind == "label"]
    if not maps:
        raise MedsynthError("the samples hold no label map; copy beside each the map that it was given")
    label = LabelChannel(name=maps[0], values={0: "background", **records[0].labels})
    return dataclasses.replace(preparation, layout=dataclasses.replace(preparation.layout, label=label, given=Given()))


def indexed(maps: Sequence[NDArray[Any]], values: Sequence[int]) -> NDArray[np.int64]:
    """Label values (N, *spatial) -> their index in the sorted `values`."""
    stacked = np.stack(maps)
    rows = np.searchsorted(values, stacked).clip(max=len(values) - 1)
    if not np.array_equal(np.asarray(values)[rows], stacked):
        raise MedsynthError("a label map holds values that the preparation does not name; ingest and train anew")
    return rows


def segmenter(x: Tensor, maps: Tensor, labels: int, chosen: argparse.Namespace, path: Path) -> nn.Module:
    """Trained on images (N, C, *spatial) with label indices (N, 1, *spatial)."""
    torch.manual_seed(chosen.seed)
    network = Segmenter(x.ndim - 2, x.shape[1], labels)
    chance = torch.Generator().manual_seed(chosen.seed)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)

    def step() -> Tensor:
        rows = torch.randint(len(x), (chosen.batch,), generator=chance)
        image, label = moved(x[rows], chance, maps[rows])
        value: Tensor = loss(network(image), label)
        return value

    return trained(network, step, chosen.steps, path, name="segmenter")


def overlap(found: Tensor, maps: NDArray[np.int64], labels: int) -> Array:
    """MONAI's Dice of each label but background, (N, labels - 1); NaN where the map lacks it."""
    pairs = [one_hot(each[:, None], labels) for each in (found, torch.from_numpy(maps))]
    values: Array = compute_dice(*pairs, include_background=False).double().numpy()
    return values


def resampled(judged: Judged, names: NDArray[np.str_], drawn: NDArray[np.int64]) -> Array:
    """Mean Dice by label of bootstrap draws (RESAMPLED, owners) of the owners `names`, (RESAMPLED, labels)."""
    owner = np.searchsorted(names, judged.owners)
    known = ~np.isnan(judged.dice)
    sums, counts = np.zeros((2, len(names), judged.dice.shape[1]))
    np.add.at(sums, owner, np.where(known, judged.dice, 0))
    np.add.at(counts, owner, known)
    with np.errstate(invalid="ignore"):  # a draw in which nobody has the label
        means: Array = (drawn @ sums) / (drawn @ counts)
    return means


def rows_of(name: str, judged: Judged, real: Judged, names: Sequence[str], seed: int) -> list[Row]:
    """Every label of a set against real images; a patient of both sides is drawn in both."""
    owners = np.unique(np.concatenate([judged.owners, real.owners]))
    drawn = np.random.default_rng(seed).multinomial(len(owners), np.full(len(owners), 1 / len(owners)), RESAMPLED)
    ours, theirs = (resampled(each, owners, drawn) for each in (judged, real))
    rows = []
    for label, text in enumerate(names):
        known = ~np.isnan(judged.dice[:, label])
        if not known.any() or np.isnan(real.dice[:, label]).all():
            raise MedsynthError(f"{name}: no map has the label {text}; give more samples, or cases")
        value, base = (float(each.mean()[label]) for each in (judged, real))
        if base == 0:
            raise MedsynthError(f"the segmenter finds the label {text} in no real image; set --steps higher")
        own = Interval(value, *(float(q) for q in np.nanquantile(ours[:, label], (0.025, 0.975))))
        spread = np.nanquantile(ours[:, label] / theirs[:, label], (0.025, 0.975))
        ratio = Interval(value / base, *(float(q) for q in spread))
        rows.append(Row(name, text, int(known.sum()), len(set(judged.owners[known])), own, ratio, SHARE))
    return rows


class Pair(NamedTuple):
    """Images as the segmenter sees them (N, C, *spatial), their maps as indices (N, *spatial), owners (N,)."""

    x: Tensor
    maps: NDArray[np.int64]
    owners: NDArray[np.str_]

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


def real_pair(cases: Sequence[PreparedCase], layout: Layout, values: Sequence[int]) -> Pair:
    x = as_seen([case.images for case in cases], layout, max(layout.grid.shape))
    maps = indexed([case.label for case in cases if case.label is not None], values)
    return Pair(x, maps, np.array([case.record.patient for case in cases]))


def sample_pair(folder: Path, values: Sequence[int]) -> Pair:
    """Of a folder of samples; owners are patients where samples have one, else maps."""
    preparation = with_label(Preparation.read(folder), read_records(folder / SAMPLES_FILE, SampleRecord))
    samples = read_samples(folder, preparation)
    x = as_seen(one_by_one(samples), preparation.layout, max(preparation.grid.shape))
    maps = indexed(list(samples.labels) if samples.labels is not None else [], values)
    owners = [record.patient or map_key(each) for record, each in zip(samples.records, maps, strict=True)]
    return Pair(x, maps, np.array(owners))


def map_key(each: NDArray[np.int64]) -> str:
    return sha256_json([each.shape, each.astype(np.uint8).tobytes().hex()])


def measure(chosen: argparse.Namespace) -> Found:
    found, key = common_preparation(chosen.samples)
    preparation = with_label(found, read_records(chosen.samples[0] / SAMPLES_FILE, SampleRecord))
    label = preparation.layout.label
    values = sorted(label.values) if label else []
    names = [label.values[value] for value in values[1:]] if label else []
    cases = load_prepared(chosen.cases, preparation)
    train, held_out = ([c for c in cases if (c.split == "train") == fits] for fits in (True, False))
    taught, real = (real_pair(part, preparation.layout, values) for part in (train, held_out))
    path = chosen.out / f"segmenter-{sha256_json([key, values, chosen.steps, chosen.batch, chosen.seed])[:16]}.ckpt"
    network = segmenter(taught.x, torch.from_numpy(taught.maps)[:, None], len(values), chosen, path)

    def judge(pair: Pair) -> Judged:
        return Judged(overlap(scores(network, pair.x, 8).argmax(1), pair.maps, len(values)), pair.owners)

    reals, sets = judge(real), {folder: sample_pair(folder, values) for folder in chosen.samples}
    rng, seen = np.random.default_rng(chosen.seed), {map_key(each) for each in taught.maps}
    some = rng.permutation(len(real.x))[: min(len(pair.x) for pair in sets.values())]
    part = Pair(real.x[some], real.maps[some], real.owners[some])
    to_judge = {REAL: real, **{folder.name: pair for folder, pair in sets.items()}}
    to_judge |= {"control: real, other maps": part.other_maps(rng), "control: real, blurred": part.blurred()}
    to_judge |= {"control: real, constant": part.constant()}
    to_judge |= {f"control: {folder.name}, other maps": pair.other_maps(rng) for folder, pair in sets.items()}
    rows = [row for name, pair in to_judge.items() for row in rows_of(name, judge(pair), reals, names, chosen.seed)]
    facts = {
        "training images": len(train),
        "presumed patient keys, share of held-out images": share_presumed(held_out),
        "voxels that a real map may be moved by and meet the bar": slack(network, real, len(values)),
        "maps of training patients": {f.name: sum(map_key(m) in seen for m in p.maps) for f, p in sets.items()},
    }
    return Found(rows, share_of_halves(reals, chosen.seed), facts)


def slack(network: nn.Module, real: Pair, labels: int) -> int:
    """By how many voxels real maps may be moved along some axis and still meet the bar: how finely it measures."""
    found = scores(network, real.x, 8).argmax(1)
    own = np.nanmean(overlap(found, real.maps, labels), axis=0)

    def meets(voxels: int, axis: int) -> bool:
        moved_maps = np.roll(real.maps, voxels, axis)
        return bool((np.nanmean(overlap(found, moved_maps, labels), axis=0) >= SHARE * own).all())

    furthest = 0
    for axis in range(1, real.maps.ndim):
        while furthest < MOST_MOVED and meets(furthest + 1, axis):
            furthest += 1
    return furthest


def share_of_halves(real: Judged, seed: int) -> float:
    """How often one half of the held-out patients meets the bar against the other, in every label."""
    drawn = halves(real.owners, DRAWS, np.random.default_rng(seed))
    return float(np.mean([(real.take(~h).mean() / real.take(h).mean() >= SHARE).all() for h in drawn]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder for the segmenter and the table")
    parser.add_argument("--able", type=float, default=0.8, help="least Dice on reals of a segmenter to judge by")
    parser.add_argument("--steps", type=int, default=1000, help="of the segmenter's training")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    chosen = parser.parse_args()
    if min(chosen.steps, chosen.batch) < 1:
        raise MedsynthError("--steps and --batch are 1 or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    found = measure(chosen)
    wrong = unfit(found, ["control"], chosen.able)
    return conclude(found, wrong, ("label", "Dice", "of the reals'"), chosen.out / "obedience_label.json")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"obedience_label: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
