"""Do samples show what they were given of their parent: its other modality, or its look? 2D and 3D.

`python benchmarks/obedience_parent.py CASES SAMPLES... --of image --out FOLDER [--bad UNTRAINED]` compares every sample
of plan=translate with the image that its parent has of that modality and the network never saw, voxel by voxel;
`--of style` every sample of plan=in_style with its parent in the numbers of medsynth.models.style, each in standard
deviations of the training patients. Nothing is trained.

What is compared is skill: 1 less the mean squared distance to the parent over that of the training patients'
mean to held-out reals; 1 is the parent itself, 0 no better than the mean for all. The bar: a skill of 0.5 (--least).
It is met or missed by the value; where the bar lies inside the 95% interval (2,000 bootstrap draws of patients),
"within chance" stands beside it. Under the table stands how many samples are nearer to their own parent than to the
real image of any other patient among the parents.

Controls of the same command. The parents themselves with noise of 2% of the range ("real, held out") must meet the
bar. Must miss it with the whole interval: the parents against those of other patients; each folder's samples against
the parents of other samples' patients; the samples of an untrained network (--bad). Else the result is "not
measurable at this size", exit status 1.

What it does not say: noise of a sample and of its parent both count against it, though no network could foretell
them; a blurred sample scores well where the truth is smooth. Parents of the training split were seen: the bar is
meant for held-out ones (plan.split=test, plan=translate has it).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from judge import common_preparation, one_by_one, share_presumed
from numpy.typing import NDArray
from verdict import REAL, Found, Interval, Row, conclude, unfit

from medsynth.data.preparation import Preparation, PreparedCase, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import read_samples
from medsynth.evidence.seen import as_seen
from medsynth.models.layout import Layout
from medsynth.models.style import style_of

BOOTSTRAP = 2000
NOISE = 0.02
Vectors = NDArray[np.float64]


class Pairs(NamedTuple):
    """What images show and what they have to show, (N, D) each, and the parents' patients, (N,)."""

    shown: Vectors
    wanted: Vectors
    owners: NDArray[np.str_]

    def swapped(self, rng: np.random.Generator) -> "Pairs":
        """Every image with the parent of another patient.

        Raises:
            MedsynthError: there is one patient alone.
        """
        names = rng.permutation(np.unique(self.owners))
        if len(names) < 2:
            raise MedsynthError("the samples have parents of one patient alone; give samples of more")
        after = dict(zip(names, np.roll(names, 1), strict=True))
        places = {name: np.flatnonzero(self.owners == name) for name in names}
        rows = [rng.choice(places[after[name]]) for name in self.owners]
        return self._replace(wanted=self.wanted[rows])

    def distances(self) -> Vectors:
        """Mean squared distance of each to its parent, (N,)."""
        return np.asarray(((self.shown - self.wanted) ** 2).mean(1))

    def nearest(self) -> int:
        """How many are nearer to their own parent than to that of any other patient."""
        apart = ((self.shown[:, None] - self.wanted[None]) ** 2).mean(2)
        apart[self.owners[:, None] == self.owners[None]] = np.inf
        return int((self.distances() < apart.min(1)).sum())


def row(name: str, pairs: Pairs, guess: float, least: float, seed: int) -> Row:
    """A set against the bar; `guess` is the mean squared distance of the training mean to held-out reals."""
    place = np.unique(pairs.owners, return_inverse=True)[1]
    skills = 1 - pairs.distances() / guess
    sums, counts = np.bincount(place, skills), np.bincount(place)
    rows = np.random.default_rng(seed).integers(len(counts), size=(BOOTSTRAP, len(counts)))
    low, high = np.quantile(sums[rows].sum(1) / counts[rows].sum(1), [0.025, 0.975]).tolist()
    value = Interval(float(skills.mean()), low, high)
    against = Interval(*(each - least for each in value))
    return Row(name, "parent", len(skills), len(counts), value, against, 0.0)


def vectors(images: Sequence[Mapping[str, NDArray[Any]]], layout: Layout, of: str) -> Vectors:
    """What is compared of each image, (N, D): its voxels in [-1, 1], or its style."""
    x = as_seen(images, layout, max(layout.grid.shape))
    return (x.flatten(1) if of == "image" else torch.stack([style_of(each) for each in x])).double().numpy()


def measure(chosen: argparse.Namespace) -> Found:
    folders = [*chosen.samples, *([chosen.bad] if chosen.bad else [])]
    preparation, _ = common_preparation(folders)
    if preparation.resampling.slices is not None:
        raise MedsynthError("the run makes slices, and a parent is a whole scan: compare samples of whole ones")
    cases = load_prepared(chosen.cases, preparation)
    by_hash = {case.record.sha256: case for case in cases}
    train, held_out = ([case for case in cases if (case.split == "train") == fits] for fits in (True, False))
    known = vectors([case.images for case in train], preparation.layout, chosen.of)
    scale = known.std(0) if chosen.of == "style" else np.ones(known.shape[1])
    fine = scale > 1e-6  # of a style: a quantile that is one number for all, as of empty air

    def scaled(images: Sequence[Mapping[str, NDArray[Any]]]) -> Vectors:
        return vectors(images, preparation.layout, chosen.of)[:, fine] / scale[fine]

    mean = known.mean(0)[fine] / scale[fine]
    guess = float(((scaled([case.images for case in held_out]) - mean) ** 2).mean())
    sets, splits, every = {}, {}, {}
    for folder in folders:
        samples = read_samples(folder, Preparation.read(folder))
        parents = [only_parent(record.id, record.parents, by_hash) for record in samples.records]
        owners = np.array([parent.record.patient for parent in parents])
        sets[folder.name] = Pairs(scaled(one_by_one(samples)), scaled([p.images for p in parents]), owners)
        splits[folder.name] = sum(parent.split == "train" for parent in parents)
        every[folder.name] = parents
    rng = np.random.default_rng(chosen.seed)
    own, parents = sets[folders[0].name], every[folders[0].name]
    real = own._replace(shown=scaled([noisy(parent.images, preparation.layout, rng) for parent in parents]))
    judged = {REAL: real} | {folder.name: sets[folder.name] for folder in chosen.samples}
    judged["control: parents of others"] = real._replace(shown=real.wanted).swapped(rng)
    judged |= {f"control: {f.name}, parents of others": sets[f.name].swapped(rng) for f in chosen.samples}
    judged |= {"control: untrained": sets[chosen.bad.name]} if chosen.bad else {}
    rows = [row(name, pairs, guess, chosen.least, chosen.seed) for name, pairs in judged.items()]
    facts = {
        "training images": len(train),
        "presumed patient keys, share of held-out images": share_presumed(held_out),
        "parents of the training split": splits,
        "nearer to their own parent than to any other patient's": {
            name: f"{pairs.nearest()} of {len(pairs.owners)}" for name, pairs in judged.items()
        },
    }
    return Found(rows, None, facts)


def only_parent(name: str, parents: Sequence[str], by_hash: Mapping[str, PreparedCase]) -> PreparedCase:
    """The case that a sample was made from."""
    found = [by_hash[parent] for parent in parents if parent in by_hash]
    if len(parents) != 1 or not found:
        raise MedsynthError(
            f"sample {name} has no one parent among these cases that has the modality to compare: give the folder of "
            "cases that it was made from"
        )
    return found[0]


def noisy(images: Mapping[str, NDArray[Any]], layout: Layout, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """With Gaussian noise of NOISE of each channel's range."""
    width = {channel.name: NOISE * (channel.high - channel.low) for channel in layout.images}
    return {name: array + rng.normal(0, width[name], array.shape) for name, array in images.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--of", choices=("image", "style"), required=True, help="what was to be shown")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--bad", type=Path, default=None, help="samples of an untrained network, a control")
    parser.add_argument("--least", type=float, default=0.5, help="the bar of skill")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    found = measure(chosen)
    heads = (chosen.of, "skill", "less the bar")
    return conclude(found, unfit(found, ["control"], chosen.least), heads, chosen.out / "obedience_parent.json")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"obedience_parent: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
