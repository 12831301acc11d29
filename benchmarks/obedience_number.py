"""Do samples show the number that was asked for: an age, the place of a slice, a native voxel size? 2D and 3D.

`python benchmarks/obedience_number.py CASES SAMPLES... --by NUMBER --out FOLDER [--bad UNTRAINED]` trains three
regressors on the real training patients for a fixed number of steps, then prints how far their mean answer is from
the truth on held-out real images (validation and test patients: nothing is chosen by them), and from what was asked
for on samples. The weights are kept in FOLDER; the same command judges further samples without training again.

What is compared is skill: 1 less the mean absolute error over that of always answering the training patients' median
on the held-out reals; 1 is perfect, 0 no better than that guess. The bar: the skill on samples is at most 0.05 below
the skill on held-out reals. It is met or missed by the value; where the bar lies inside the 95% interval (2,000
bootstrap draws of patients and of samples), "within chance" stands beside it. The errors stand below the table in the
number's own unit.

Controls of the same command. One half of the held-out patients must meet the bar against the other half in 4 of 5
random halves. Must miss it with the whole interval: held-out reals, as many as the samples, with their
numbers shuffled; each folder's samples with shuffled numbers; the samples of an untrained network (--bad). Else the
result is "not measurable at this size", exit status 1.

What it does not say: ask for numbers spread as the reals' are (a CSV plan, one row a sample), since an error is
larger at the ends than in the middle, and a number outside of the training range is no fair question. A regressor
uses whatever goes with the number, and a sample that shows the right number need not be a good picture.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from judge import common_preparation, one_by_one, scores, share_presumed, small_network, trained
from numpy.typing import NDArray
from torch import Tensor, nn
from verdict import DRAWS, REAL, Found, Interval, Row, conclude, unfit

from medsynth.data.derived import attributes_of
from medsynth.data.preparation import Preparation, PreparedCase, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.evaluate import Samples, read_samples
from medsynth.evidence.seen import as_seen
from medsynth.files import sha256_json
from medsynth.metrics.splits import halves
from medsynth.models.conditioner import as_number

MARGIN = 0.05
BOOTSTRAP = 2000


class Seen(NamedTuple):
    """Images that were judged: the number that each has to show and the one found, owner; (N,) each."""

    wanted: NDArray[np.float64]
    found: NDArray[np.float64]
    owners: NDArray[np.str_]

    def take(self, rows: NDArray[Any]) -> "Seen":
        """The images of `rows`."""
        return Seen(self.wanted[rows], self.found[rows], self.owners[rows])

    def shuffled(self, rng: np.random.Generator) -> "Seen":
        """Every image with what another one has to show."""
        return self._replace(wanted=rng.permutation(self.wanted))

    @property
    def error(self) -> float:
        """Mean absolute error, in the number's unit."""
        return float(np.abs(self.wanted - self.found).mean())

    def drawn_errors(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """`error` of BOOTSTRAP sets of as many owners, drawn with replacement."""
        place = np.unique(self.owners, return_inverse=True)[1]
        sums, counts = np.bincount(place, np.abs(self.wanted - self.found)), np.bincount(place)
        rows = rng.integers(len(counts), size=(BOOTSTRAP, len(counts)))
        return np.asarray(sums[rows].sum(1) / counts[rows].sum(1))


class Bar(NamedTuple):
    """At most MARGIN of skill below the reals'; `guess` is the mean absolute error of answering the median."""

    name: str
    guess: float
    seed: int = 0

    def row(self, name: str, seen: Seen, real: Seen) -> Row:
        """A set against real images."""
        rng = np.random.default_rng(self.seed)
        ours, theirs = (1 - each.drawn_errors(rng) / self.guess for each in (seen, real))
        skill, least = 1 - seen.error / self.guess, 1 - real.error / self.guess
        value = Interval(skill, *np.quantile(ours, [0.025, 0.975]).tolist())
        against = Interval(skill - least, *np.quantile(ours - theirs, [0.025, 0.975]).tolist())
        return Row(name, self.name, len(seen.wanted), len(set(seen.owners)), value, against, -MARGIN)


def numbers_of(cases: Sequence[PreparedCase], preparation: Preparation, by: str) -> list[float | None]:
    """The number of each case or slice; None where it is not known."""
    parts, before, found = Counter(case.record.id for case in cases), Counter[str](), []
    for case in cases:
        name = case.record.id
        attributes = attributes_of(case.record, preparation.resampling, before[name], parts[name])
        found.append(as_number(attributes.get(by)))
        before[name] += 1
    return found


def extent(numbers: NDArray[np.float64]) -> list[float]:
    """The least and the greatest."""
    return [round(float(numbers.min()), 4), round(float(numbers.max()), 4)]


def asked_for(samples: Samples, by: str) -> NDArray[np.float64]:
    """The number that each sample was asked to show, (N,)."""
    wanted = [as_number(record.condition.get(by)) for record in samples.records]
    for record, number in zip(samples.records, wanted, strict=True):
        if number is None:
            raise MedsynthError(f"sample {record.id} was not asked for a number {by}: give its column in the plan")
    return np.array(wanted, dtype=float)


def regressors(x: Tensor, y: NDArray[np.float64], chosen: argparse.Namespace, key: str) -> list[nn.Module]:
    """Small DenseNets of different seeds that answer in standard deviations from the training mean.

    Args:
        x: (N, C, *spatial), the training images.
        y: (N,), their numbers.
        chosen: the command's arguments.
        key: hash of what else decides the weights.
    """
    target, augment = torch.from_numpy((y - y.mean()) / y.std()).float(), Augmenter()

    def one(seed: int) -> nn.Module:
        network = small_network(x.ndim - 2, x.shape[1], 1, seed)

        def step(chance: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (chosen.batch,), generator=chance)
            return F.smooth_l1_loss(network(augment(x[rows], chance)[0])[:, 0], target[rows])

        decides = sha256_json([key, chosen.by, chosen.side, chosen.steps, chosen.batch, seed])
        path = chosen.out / f"regressor-{decides[:16]}.ckpt"
        return trained(network, step, chosen.steps, seed, path, name="regressor")

    return [one(chosen.seed + number) for number in range(chosen.judges)]


def measure(chosen: argparse.Namespace) -> Found:
    folders = [*chosen.samples, *([chosen.bad] if chosen.bad else [])]
    preparation, key = common_preparation(folders)
    every = load_prepared(chosen.cases, preparation)
    known = [pair for pair in zip(every, numbers_of(every, preparation, chosen.by), strict=True) if pair[1] is not None]
    train, held_out = ([pair for pair in known if (pair[0].split == "train") == fits] for fits in (True, False))
    y = np.array([number for _, number in train], dtype=float)
    if len(set(y)) < 2 or not held_out:
        raise MedsynthError(
            f"--by {chosen.by}: the training cases have fewer than two values of it, or no other has any"
        )

    def seen(images: Sequence[Any], wanted: NDArray[np.float64], owners: Sequence[str]) -> Seen:
        x = as_seen(images, preparation.layout, chosen.side)
        answers = torch.stack([scores(network, x)[:, 0] for network in networks]).mean(0).double().numpy()
        return Seen(wanted, answers * y.std() + y.mean(), np.array(owners))

    networks = regressors(as_seen([case.images for case, _ in train], preparation.layout, chosen.side), y, chosen, key)
    truth = np.array([number for _, number in held_out], dtype=float)
    real = seen([case.images for case, _ in held_out], truth, [case.record.patient for case, _ in held_out])
    sets = {}
    for folder in folders:
        samples = read_samples(folder, Preparation.read(folder))
        owners = [record.patient or record.id for record in samples.records]
        sets[folder.name] = seen(one_by_one(samples), asked_for(samples, chosen.by), owners)
    bar = Bar(chosen.by, float(np.abs(truth - np.median(y)).mean()), chosen.seed)
    judged = to_judge(real, sets, chosen)
    facts = {
        "training images": len(train),
        "presumed patient keys, share of held-out images": share_presumed([case for case, _ in held_out]),
        f"{chosen.by} of training images, from and to": extent(y),
        f"{chosen.by} asked for, from and to": {name: extent(each.wanted) for name, each in sets.items()},
        "mean absolute error": {name: round(each.error, 4) for name, each in judged.items()},
    }
    rows = [bar.row(name, each, real) for name, each in judged.items()]
    return Found(rows, share_of_halves(bar, real, chosen.seed), facts)


def to_judge(real: Seen, sets: dict[str, Seen], chosen: argparse.Namespace) -> dict[str, Seen]:
    """The reals, the samples and the bad cases; names of the bad ones start with "control"."""
    rng, names = np.random.default_rng(chosen.seed), [folder.name for folder in chosen.samples]
    size = min(len(real.wanted), *(len(each.wanted) for each in sets.values()))
    found = {REAL: real} | {name: sets[name] for name in names}
    found["control: real, shuffled"] = real.take(rng.permutation(len(real.wanted))[:size]).shuffled(rng)
    found |= {f"control: {name}, shuffled": sets[name].shuffled(rng) for name in names}
    return found | ({"control: untrained": sets[chosen.bad.name]} if chosen.bad else {})


def share_of_halves(bar: Bar, real: Seen, seed: int) -> float:
    """How often one half of the held-out patients meets the bar against the other."""
    drawn = halves(real.owners, DRAWS, np.random.default_rng(seed))
    return float(np.mean([(real.take(h).error - real.take(~h).error) / bar.guess >= -MARGIN for h in drawn]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--by", required=True, help="the number: an attribute of the cases, or slice_position")
    parser.add_argument("--out", type=Path, required=True, help="folder for the regressors and the table")
    parser.add_argument("--bad", type=Path, default=None, help="samples of an untrained network, a control")
    parser.add_argument("--able", type=float, default=0.5, help="least skill on reals of regressors to judge by")
    parser.add_argument("--side", type=int, default=64, help="longest side that the regressors see, in voxels")
    parser.add_argument("--steps", type=int, default=800, help="of a regressor's training")
    parser.add_argument("--judges", type=int, default=3, help="regressors of different seeds, asked together")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    chosen = parser.parse_args()
    if min(chosen.steps, chosen.batch, chosen.side, chosen.judges) < 1:
        raise MedsynthError("--steps, --batch, --side and --judges are 1 or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    found = measure(chosen)
    heads = (chosen.by, "skill", "less the reals'")
    return conclude(found, unfit(found, ["control"], chosen.able), heads, chosen.out / "obedience_number.json")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"obedience_number: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
