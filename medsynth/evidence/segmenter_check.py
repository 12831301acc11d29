"""Do synthetic images show their own label maps? Asked of a segmenter that knows real training patients alone.

The segmenter's Dice on samples against their own maps is set beside its Dice on real held-out
patients. Maps and images that were made together agree where both are wrong in one way: that the
maps themselves are anatomy is for the checks of labels to say. The segmenter knows what real
patients look like, and smooth samples may be easier for it: a ratio above 1 is no praise. How it does
on blurred reals is said too: where labels are large and plain, it finds them all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.lines import REAL_SHARE, Line, Verdict
from medsynth.evidence.segmenter import Segmenter, read_segmenter, train_segmenter
from medsynth.evidence.segmenter_pairs import DiceRatio, Judged, Pair, dice_ratios, judge, real_pair
from medsynth.files import sha256_json
from medsynth.metrics.splits import halves

SHARE = 0.9
"""Part of the Dice on reals that samples have to reach."""
ABLE = 0.5
"""A segmenter with a lower Dice on reals judges nothing."""
HALVES = 200
LEAST_HELD_OUT = 8
OTHER_MAPS = "real, other patients' maps"
BLURRED = "real, blurred by an eighth of the sides"
CONSTANT = "real, constant"
OTHER_SAMPLES = "samples, other samples' maps"
Array = NDArray[np.float64]


def ratios_of_halves(real: Judged, seed: int) -> Array:
    """Dice of one half of the held-out patients over the other's, by draw and label, (draws, labels)."""
    drawn = halves(real.owners, HALVES, np.random.default_rng(seed))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios: Array = np.stack([real.take(~half).mean() / real.take(half).mean() for half in drawn])
    return ratios


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
    real_ratios = ratios_of_halves(reals, seed)
    bad = {
        name: dice_ratios(judge(segmenter, pair), reals, seed) for name, pair in bad_cases(samples, real, seed).items()
    }
    lines = []
    for row, value in enumerate(segmenter.values[1:]):
        found = {name: ratios[row] for name, ratios in bad.items()}
        lines.append(_line(names[value], own[row], base[row], real_ratios[:, row], found))
    return lines


def _line(
    label: str, own: DiceRatio | None, real: DiceRatio | None, of_halves: Array, bad: Mapping[str, DiceRatio | None]
) -> Line:
    passes = float(np.mean(of_halves >= SHARE))
    known = of_halves[np.isfinite(of_halves)]
    must_miss = {name: found for name, found in bad.items() if name != BLURRED}
    let_through = [name for name, found in must_miss.items() if found is None or found.high >= SHARE]
    verdict, reason = _verdict(own, real, passes, let_through)
    blurred = bad[BLURRED]
    detail: dict[str, Any] = {
        "dice": own.dice if own else None,
        "dice_interval": _ends(own.dice_low, own.dice_high) if own else None,
        "images": own.images if own else 0,
        "real_dice": real.dice if real else None,
        "real_dice_interval": _ends(real.dice_low, real.dice_high) if real else None,
        "real_images": real.images if real else 0,
        "real_patients": real.owners if real else 0,
        "ratio_of_reals_blurred": blurred.ratio if blurred else None,
    }
    return Line(
        check="Dice of a segmenter, ratio to reals",
        features="",
        subject=label,
        verdict=verdict,
        value=own.ratio if own else None,
        low=SHARE,
        high=None,
        interval=_ends(own.low, own.high) if own else None,
        real_against_real=(
            dict(zip(("5%", "50%", "95%"), np.quantile(known, (0.05, 0.5, 0.95)).tolist(), strict=True))
            if len(known)
            else None
        ),
        real_passes=passes,
        controls={name: found.ratio if found else None for name, found in must_miss.items()},
        reason=reason,
        detail=detail,
    )


def _ends(low: float, high: float) -> tuple[float, float] | None:
    """An interval as JSON has it; None where a draw of patients has no label."""
    return (low, high) if np.isfinite((low, high)).all() else None


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


def with_segmenter(content: Mapping[str, Any], judged: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evaluation.json with what a segmenter said, and the verdict with its lines.

    Args:
        content: of evaluation.json.
        judged: from `judge_by_segmenter`.
    """
    verdicts = [content["verdict"], *(line["verdict"] for line in judged["lines"])]
    worst = next(verdict for verdict in ("missed", "not measurable", "met") if verdict in verdicts)
    return {**content, "segmenter": dict(judged), "verdict": worst}
