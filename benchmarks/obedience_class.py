"""Do samples show the class that was asked for? 2D and 3D; classes, or sentences that name a class.

`python benchmarks/obedience_class.py CASES SAMPLES... --out FOLDER [--bad UNTRAINED]` trains three classifiers on the
real training patients for a fixed number of steps, then prints, class by class, how many held-out real images
(validation and test patients: nothing is chosen by them) and how many samples they, asked together, take for what
these are or were asked to be; and of how many classifiers each alone would say the same. The weights are kept in
FOLDER; the same command judges further samples without training again.

The bar: per class the accuracy is at most 5 points lower on samples than on held-out reals. With `--least 0.8` the
accuracy itself has to be 80% or more. A text says its class by `--map FILE`, a JSON file of {sentence: class}. A
class is met or missed by the value; where the bar lies inside the 95% interval (Wilson's and Newcombe's, with all
images of a patient as one), "within chance" stands beside it.

Controls of the same command. One half of the held-out patients must meet the bar against the other half in 4 of 5
random halves. Must miss it with the whole interval: held-out reals as many as the samples with their
classes shuffled, in every class; each folder's samples with shuffled conditions, and the samples of an untrained
network (--bad), in one class at least. Else the result is "not measurable at this size", exit status 1.

What it does not say: a classifier uses whatever sets the classes apart. If pictures of one class are cropped,
scaled or exposed differently, a sample that shows the crop and no disease counts as obedient. A sample of the
right class need not be a good picture either. Where patient keys are presumed, images of one patient may lie on
both sides; their share is printed.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from judge import common_preparation, one_by_one, scores, share_presumed, small_network, trained
from numpy.typing import NDArray
from torch import Tensor, nn
from verdict import DRAWS, REAL, Found, Interval, Row, conclude, difference, unfit, wilson

from medsynth.data.preparation import Preparation, PreparedCase, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.evaluate import read_samples
from medsynth.evidence.seen import as_seen
from medsynth.files import sha256_json
from medsynth.metrics.splits import halves
from medsynth.records import SampleRecord

MARGIN = 0.05
MOST_CLASSES = 20


class Seen(NamedTuple):
    """Images that were judged: index of the class that each has to show and of the one found, owner; (N,) each."""

    wanted: NDArray[np.intp]
    found: NDArray[np.intp]
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[Any]) -> "Seen":
        """The images of `rows`."""
        return Seen(self.wanted[rows], self.found[rows], self.owners[rows])

    def shuffled(self, rng: np.random.Generator) -> "Seen":
        """Every image with what another one has to show."""
        return self._replace(wanted=rng.permutation(self.wanted))


class Bar(NamedTuple):
    """`least` accuracy, or None for at most MARGIN below the reals'."""

    classes: Sequence[str]
    least: float | None

    def rows(self, name: str, seen: Seen, real: Seen) -> list[Row]:
        """Every class of a set against real images."""
        rows = []
        for index, wanted in enumerate(self.classes):
            ours, theirs = seen.take(seen.wanted == index), real.take(real.wanted == index)
            if not len(ours.wanted) or not len(theirs.wanted):
                raise MedsynthError(f"{name}: class {wanted} has no image; give more samples, or cases")
            accuracy = wilson(ours.found == index, ours.owners)
            if self.least is None:
                against, bar = difference(accuracy, wilson(theirs.found == index, theirs.owners)), -MARGIN
            else:
                against, bar = Interval(*(value - self.least for value in accuracy)), 0.0
            rows.append(Row(name, wanted, len(ours.wanted), len(set(ours.owners)), accuracy, against, bar))
        return rows


def classes_of(cases: Sequence[PreparedCase], by: str) -> list[str]:
    names = sorted({str(case.record.attributes[by]) for case in cases})
    if not 2 <= len(names) <= MOST_CLASSES:
        raise MedsynthError(
            f"--by {by}: the training cases have {len(names)} values of it, 2 to {MOST_CLASSES} will do"
        )
    return names


def classifiers(x: Tensor, y: Tensor, chosen: argparse.Namespace, key: str) -> list[nn.Module]:
    """Small DenseNets of different seeds.

    Args:
        x: (N, C, *spatial), the training images.
        y: (N,), their classes; every class is drawn as often as the others.
        chosen: the command's arguments.
        key: hash of what else decides the weights.
    """
    classes = int(y.max()) + 1
    weights, augment = 1 / torch.bincount(y)[y], Augmenter()

    def one(seed: int) -> nn.Module:
        network = small_network(x.ndim - 2, x.shape[1], classes, seed)

        def step(chance: torch.Generator) -> Tensor:
            rows = torch.multinomial(weights, chosen.batch, replacement=True, generator=chance)
            return F.cross_entropy(network(augment(x[rows], chance)[0]), y[rows], label_smoothing=0.05)

        decides = sha256_json([key, chosen.by, chosen.side, chosen.steps, chosen.batch, seed])
        path = chosen.out / f"classifier-{decides[:16]}.ckpt"
        return trained(network, step, chosen.steps, seed, path, name="classifier")

    return [one(chosen.seed + number) for number in range(chosen.judges)]


def looked_at(networks: Sequence[nn.Module], x: Tensor, wanted: NDArray[np.intp], owners: Sequence[str]) -> list[Seen]:
    """The images as all classifiers together see them, by their mean probability, then as each alone does."""
    each = torch.stack([scores(network, x).softmax(1) for network in networks])
    return [Seen(wanted, p.argmax(1).numpy(), np.array(owners)) for p in (each.mean(0), *each)]


def asked_for(records: Sequence[SampleRecord], classes: Sequence[str], chosen: argparse.Namespace) -> NDArray[np.intp]:
    """Index of the class that each sample was asked to show, (N,)."""
    named = json.loads(chosen.map.read_text()) if chosen.map else None
    condition = chosen.asked or ("text" if chosen.map else chosen.by)
    wanted = []
    for record in records:
        value = record.condition.get(condition)
        name = named.get(value) if named is not None else str(value)
        if name not in classes:
            raise MedsynthError(f"sample {record.id}: its condition {condition} names no class of the cases; set --map")
        wanted.append(classes.index(name))
    return np.array(wanted)


def measure(chosen: argparse.Namespace) -> Found:
    folders = [*chosen.samples, *([chosen.bad] if chosen.bad else [])]
    preparation, key = common_preparation(folders)
    every = load_prepared(chosen.cases, preparation)
    cases = [case for case in every if case.record.attributes.get(chosen.by) is not None]
    train = [case for case in cases if case.split == "train"]
    classes = classes_of(train, chosen.by)
    held_out = [c for c in cases if c.split != "train" and str(c.record.attributes[chosen.by]) in classes]

    def pictures(of: Sequence[PreparedCase]) -> tuple[Tensor, NDArray[np.intp]]:
        truth = [classes.index(str(case.record.attributes[chosen.by])) for case in of]
        return as_seen([case.images for case in of], preparation.layout, chosen.side), np.array(truth, dtype=np.intp)

    x, y = pictures(train)
    networks, bar = classifiers(x, torch.from_numpy(y), chosen, key), Bar(classes, chosen.least)
    real = looked_at(networks, *pictures(held_out), [case.record.patient for case in held_out])
    sets = {}
    for folder in folders:
        samples = read_samples(folder, Preparation.read(folder))
        x = as_seen(one_by_one(samples), preparation.layout, chosen.side)
        wanted = asked_for(samples.records, classes, chosen)
        owners = [record.patient or record.id for record in samples.records]
        sets[folder.name] = looked_at(networks, x, wanted, owners)
    alone = [bar.rows(f.name, sets[f.name][k], real[k]) for f in chosen.samples for k in range(1, chosen.judges + 1)]
    met: Counter[str] = Counter()
    for row in (row for rows in alone for row in rows):
        met[f"{row.set}, {row.name}"] += row.met
    facts = {
        "training images": len(train),
        "presumed patient keys, share of held-out images": share_presumed(held_out),
        f"classifiers of {chosen.judges} that meet the bar alone": dict(met),
    }
    rows = judged(bar, real[0], {name: seen[0] for name, seen in sets.items()}, chosen)
    return Found(rows, share_of_halves(bar, real[0], chosen.seed), facts)


def share_of_halves(bar: Bar, real: Seen, seed: int) -> float:
    """How often one half of the held-out patients meets the bar against the other."""
    drawn = halves(real.owners, DRAWS, np.random.default_rng(seed))
    return float(np.mean([all(row.met for row in bar.rows("halves", real.take(~h), real.take(h))) for h in drawn]))


def judged(bar: Bar, real: Seen, sets: Mapping[str, Seen], chosen: argparse.Namespace) -> list[Row]:
    """Rows of the reals, the samples and the bad cases; names of the bad ones start with "control"."""
    rng = np.random.default_rng(chosen.seed)
    names = [folder.name for folder in chosen.samples]
    size = min(len(real.wanted), *(len(seen.wanted) for seen in sets.values()))
    some = real.take(rng.permutation(len(real.wanted))[:size])
    to_judge = {REAL: real} | {name: sets[name] for name in names}
    to_judge["control: real, shuffled"] = some.shuffled(rng)
    to_judge |= {f"control: {name}, shuffled": sets[name].shuffled(rng) for name in names}
    if chosen.bad:
        to_judge["control: untrained"] = sets[chosen.bad.name]
    return [row for name, seen in to_judge.items() for row in bar.rows(name, seen, real)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder for the classifier and the table")
    parser.add_argument("--bad", type=Path, default=None, help="samples of an untrained network, a control")
    parser.add_argument("--by", default="class", help="attribute of the cases that is their class")
    parser.add_argument("--asked", default=None, help="condition of the samples; default as --by, with --map text")
    parser.add_argument("--map", type=Path, default=None, help="JSON file: class by value of the condition")
    parser.add_argument("--least", type=float, default=None, help="bar of the accuracy itself, 0.8 for instance")
    parser.add_argument("--able", type=float, default=0.8, help="least accuracy on reals of a classifier to judge by")
    parser.add_argument("--side", type=int, default=64, help="longest side that the classifier sees, in voxels")
    parser.add_argument("--steps", type=int, default=800, help="of the classifier's training")
    parser.add_argument("--judges", type=int, default=3, help="classifiers of different seeds, asked together")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    chosen = parser.parse_args()
    if min(chosen.steps, chosen.batch, chosen.side, chosen.judges) < 1:
        raise MedsynthError("--steps, --batch, --side and --judges are 1 or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    found = measure(chosen)
    against = "less the reals'" if chosen.least is None else f"less {chosen.least:g}"
    wrong = unfit(found, ["control: real,"], chosen.able)
    return conclude(found, wrong, ("class", "accuracy", against), chosen.out / "obedience_class.json")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"obedience_class: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
