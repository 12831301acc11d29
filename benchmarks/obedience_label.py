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
random halves. Must miss it with the whole interval, in every label, for each folder of samples: held-out reals, as
many as the samples, against the label map of another patient, under a Gaussian blur of an eighth of their sides, and
constant; the samples against the map of another sample. Else the result is "not measurable at this
size", exit status 1.

How finely the bar measures is printed too: the voxels by which real maps may be moved and still meet it.

What it does not say: maps and images that were made together agree where both are wrong in one way, so such samples
say nothing of given maps. Maps of training patients are counted in the table; the bar is meant for those of held-out
ones. The segmenter knows what its training patients look like: smooth samples may be easier for it than reals are,
and a ratio above 1 is no praise.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from judge import common_preparation, one_by_one, share_presumed, training_bar
from numpy.typing import NDArray
from verdict import DRAWS, REAL, Found, Interval, Row, conclude, unfit

from medsynth.data.preparation import Preparation, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.evaluate import read_samples
from medsynth.evidence.segmenter import Segmenter, dice_per_case, read_segmenter, train_segmenter
from medsynth.evidence.segmenter_check import SHARE, bad_cases
from medsynth.evidence.segmenter_pairs import Judged, Pair, dice_ratios, judge, pair_of, real_pair, with_label
from medsynth.files import sha256_json
from medsynth.metrics.splits import halves
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

MOST_MOVED = 16


def segmenter(taught: Pair, values: Sequence[int], chosen: argparse.Namespace, path: Path) -> Segmenter:
    """Trained on the real training patients, or the one that `path` keeps."""
    if path.exists():
        return read_segmenter(path, taught.x.shape[1], taught.x.ndim - 2)
    with training_bar("segmenter", chosen.steps) as after:
        made = train_segmenter(
            taught.x,
            taught.maps,
            values=values,
            steps=chosen.steps,
            seed=chosen.seed,
            augment=Augmenter(),
            batch=chosen.batch,
            progress=after,
        )
    made.write(path)
    return made


def rows_of(name: str, judged: Judged, real: Judged, names: Sequence[str], seed: int) -> list[Row]:
    """Every label of a set against real images; a patient of both sides is drawn in both."""
    rows = []
    for text, found in zip(names, dice_ratios(judged, real, seed), strict=True):
        if found is None:
            raise MedsynthError(
                f"{name}: no map has the label {text}, or the segmenter finds it in no real image; "
                "give more samples or cases, or set --steps higher"
            )
        own = Interval(found.dice, found.dice_low, found.dice_high)
        ratio = Interval(found.ratio, found.low, found.high)
        rows.append(Row(name, text, found.images, found.owners, own, ratio, SHARE))
    return rows


def sample_pair(folder: Path) -> Pair:
    """Of a folder of samples; owners are patients where samples have one, else maps."""
    preparation = with_label(Preparation.read(folder), read_records(folder / SAMPLES_FILE, SampleRecord))
    samples = read_samples(folder, preparation)
    maps = list(samples.labels) if samples.labels is not None else []
    owners = [record.patient or map_key(each) for record, each in zip(samples.records, maps, strict=True)]
    return pair_of(one_by_one(samples), maps, owners, preparation.layout)


def map_key(each: NDArray[np.integer]) -> str:
    return sha256_json([each.shape, each.astype(np.int32).tobytes().hex()])


def measure(chosen: argparse.Namespace) -> Found:
    found, key = common_preparation(chosen.samples)
    preparation = with_label(found, read_records(chosen.samples[0] / SAMPLES_FILE, SampleRecord))
    label = preparation.layout.label
    values = sorted(label.values) if label else []
    names = [label.values[value] for value in values[1:]] if label else []
    cases = load_prepared(chosen.cases, preparation)
    train, held_out = ([c for c in cases if (c.split == "train") == fits] for fits in (True, False))
    taught, real = (real_pair(part, preparation.layout) for part in (train, held_out))
    path = chosen.out / f"segmenter-{sha256_json([key, values, chosen.steps, chosen.batch, chosen.seed])[:16]}.ckpt"
    judging = segmenter(taught, values, chosen, path)
    reals, sets = judge(judging, real), {folder: sample_pair(folder) for folder in chosen.samples}
    seen = {map_key(each) for each in taught.maps}
    to_judge = {REAL: real, **{folder.name: pair for folder, pair in sets.items()}}
    for folder, pair in sets.items():
        bad = bad_cases(pair, real, chosen.seed)
        to_judge |= {f"control: {folder.name}: {name}": case for name, case in bad.items()}
    judged = {name: judge(judging, pair) for name, pair in to_judge.items()}
    rows = [row for name, each in judged.items() for row in rows_of(name, each, reals, names, chosen.seed)]
    facts = {
        "training images": len(train),
        "presumed patient keys, share of held-out images": share_presumed(held_out),
        "voxels that a real map may be moved by and meet the bar": slack(judging, real),
        "maps of training patients": {f.name: sum(map_key(m) in seen for m in p.maps) for f, p in sets.items()},
    }
    return Found(rows, share_of_halves(reals, chosen.seed), facts)


def slack(judging: Segmenter, real: Pair) -> int:
    """By how many voxels real maps may be moved along some axis and still meet the bar: how finely it measures."""
    found = judging.predict(real.x)

    def mean_dice(maps: NDArray[np.integer]) -> NDArray[np.float64]:
        return np.array([np.nanmean(dice_per_case(found, maps, value)) for value in judging.values[1:]])

    def meets(voxels: int, axis: int) -> bool:
        return bool((mean_dice(np.roll(real.maps, voxels, axis)) >= SHARE * mean_dice(real.maps)).all())

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
