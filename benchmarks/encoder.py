"""What the encoder's training is worth, and which bad cases each kind of features tells from reals.

    python benchmarks/encoder.py RUN CASES [--steps 300] [--size 64] [--cache FOLDER]

RUN: a folder with preparation.json (a run, samples); CASES: its cases. Features are fixed on the training patients.
Two tables. (1) MMD^2 of bad cases against reals, `--size` images each, in bars of real against real (95% of 200
splits): above 1 is told apart. (2) Held-out patients, of whom nothing was trained: the share that is nearest to itself
among all of them, from one random view (three quarters of each side, gain and offset by 10%) to another, with the 95%
interval.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from medsynth.data.preparation import Preparation, load_prepared
from medsynth.evidence.encoder import EncoderPlan, _view
from medsynth.metrics.controls import ImageSet, controls
from medsynth.metrics.features import FeatureExtractor, HaarPlan, intensity_range, median_distance
from medsynth.metrics.mmd import mmd2_on_splits, rbf_kernel
from medsynth.metrics.radiomics.extractor import RadiomicsPlan
from medsynth.metrics.splits import Sizes, Split, patient_splits

Array = NDArray[np.float64]
MOST_AXES, RIDGE = 64, 0.05


def read(run: Path, cases: Path) -> tuple[ImageSet, ImageSet, tuple[float, ...]]:
    """Training and held-out images of the first channel, and the voxel size in mm."""
    preparation = Preparation.read(run)
    channel, sets = preparation.layout.images[0].name, []
    for splits in (("train",), ("validation", "test")):
        found = load_prepared(cases, preparation, splits)  # type: ignore[arg-type]
        maps = [case.label for case in found if case.label is not None]
        sets.append(
            ImageSet(
                np.stack([case.images[channel] for case in found]).astype(np.float32),
                np.stack(maps) if len(maps) == len(found) else None,
                np.array([case.record.patient for case in found]),
            )
        )
    return sets[0], sets[1], preparation.grid.spacing


def whitening(features: Array) -> Callable[[Array], Array]:
    """Onto the principal axes of the training features, one for 8 images, ridged."""
    mean, spread = features.mean(0), features.std(0)
    kept = spread > 1e-8 * (1 + np.abs(mean))
    _, values, axes = np.linalg.svd((features - mean)[:, kept] / spread[kept], full_matrices=False)
    count = max(1, min(MOST_AXES, len(features) // 8))
    scale = np.sqrt(values[:count] ** 2 / (len(features) - 1) + RIDGE)
    return lambda other: ((other - mean)[:, kept] / spread[kept]) @ axes[:count].T / scale


def bars(extractor: FeatureExtractor, training: ImageSet, pool: ImageSet, spacing: Any, size: int) -> dict[str, float]:
    """MMD^2 of every bad case in bars of real against real."""
    white = whitening(extractor(training.images, training.labels))
    width = median_distance(white(extractor(training.images, training.labels)))
    reals = white(extractor(pool.images, pool.labels))
    splits = patient_splits(pool.owners.tolist(), Sizes(size, size), 240, np.random.default_rng(0))
    null = mmd2_on_splits(rbf_kernel(reals, reals, width), splits)
    bar, here = float(np.quantile(null[40:], 0.95)), splits[0]
    found = {"real draws above the bar": float((null[:40] > bar).mean())}
    made = controls(pool.take(here.first), spacing, intensity_range(training.images), np.random.default_rng(1))
    for name, case in made.items():
        both = np.concatenate([white(extractor(case.images, case.labels)), reals[here.second]])
        value = mmd2_on_splits(rbf_kernel(both, both, width), [Split(np.arange(size), np.arange(size, 2 * size))])
        found[name] = float(value[0]) / bar
    return found


def nearest_to_itself(extractor: FeatureExtractor, held_out: ImageSet) -> str:
    """Share of the held-out images of which a view is nearest to the other view of the same image."""
    chance, plan = np.random.default_rng(0), EncoderPlan(hidden=0.0)
    x = torch.from_numpy(held_out.images)[:, None]
    first, second = (extractor(_view(x, plan, chance)[:, 0].numpy()) for _ in range(2))
    mean, spread = first.mean(0), first.std(0) + 1e-9
    apart = np.linalg.norm(((first - mean) / spread)[:, None] - ((second - mean) / spread)[None], axis=-1)
    hits = int((apart.argmin(axis=1) == np.arange(len(apart))).sum())
    interval = binomtest(hits, len(apart)).proportion_ci()
    return f"{hits} of {len(apart)}: {hits / len(apart):.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--steps", type=int, default=EncoderPlan().steps)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    training, held_out, spacing = read(given.run, given.cases)
    joined = [np.concatenate(pair) for pair in zip(training, held_out, strict=True) if pair[0] is not None]
    pool = ImageSet(joined[0], joined[1] if len(joined) == 3 else None, joined[-1])
    print(f"{len(training.images)} training and {len(held_out.images)} held-out images; {given.size} a side")

    def encoder(steps: int, part: Any) -> FeatureExtractor:
        return EncoderPlan(steps=steps, part=part).fit(training, spacing, cache=given.cache)

    kinds: dict[str, Callable[[], FeatureExtractor]] = {
        "haar": lambda: HaarPlan().fit(training, spacing),
        "radiomics": lambda: RadiomicsPlan().fit(training, spacing),
        "encoder, untrained": lambda: encoder(0, "all"),
        "encoder": lambda: encoder(given.steps, "all"),
    }
    for name, make in kinds.items():
        print(f"\n{name}", flush=True)
        for case, value in bars(make(), training, pool, spacing, given.size).items():
            print(f"  {case:<40} {value:8.2f}", flush=True)
    print(f"\nnearest to itself, of {len(held_out.images)} held-out; by chance {1 / len(held_out.images):.2f}")
    for part in ("levels", "embedding"):
        for steps in (0, given.steps):
            print(f"  {part}, {steps} steps: {nearest_to_itself(encoder(steps, part), held_out)}", flush=True)


if __name__ == "__main__":
    main()
