"""Do few steps of a sampler make what the chain of DDPM makes of the same model? 2D, at least 256 samples.

`python benchmarks/equivalence.py RUN CASES --out FOLDER [--samples 256] [--precision bf16]` makes samples by the
ancestral chain in 1,000 steps (linear betas, small variance, clipped to [-1, 1]; Ho et al. 2020) and as many of other
seeds by each of the samplers below, and compares them in the features of `medsynth evaluate`, fixed on real training
images.

The margin, stated before any of it was run: a sampler is equivalent to the chain where the squared MMD between
the two sets, at the upper end of its 95% interval, is at most a half of the squared MMD between the chain's set and
real held-out images, at the lower end of its own. Whoever takes the sampler instead of the chain then moves by less
than half of what the model is away from the reals.

Controls of the same command: one half of the chain's samples against the other half, each half as large, must be
equivalent; Euler in 5 steps and the chain's samples blurred by 1 pixel must not.

The chain's samples are kept in FOLDER; the same command goes on where it was stopped.
"""

import argparse
import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from medsynth.data.preparation import Preparation, load_prepared
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.files import sha256_json, write_json
from medsynth.metrics.features import FeatureSpace, fit_features
from medsynth.metrics.mmd import MMDTest, mmd_test
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.model import DiffusionModel
from medsynth.models.run import load_run
from medsynth.models.sampling import PRECISIONS, SamplingPlan

MARGIN = 0.5
CHAIN = SamplingPlan.usual("ancestral")
TRIED: dict[str, SamplingPlan] = {
    "dpmpp_2m, 20": SamplingPlan(name="dpmpp_2m", steps=20),
    "unipc, 20": SamplingPlan(name="unipc", steps=20),
    "dpmpp_2m_sde, 40": SamplingPlan.usual("dpmpp_2m_sde"),
    "dpmpp_2m_sde, 20": SamplingPlan.usual("dpmpp_2m_sde", steps=20),
    "ancestral, 50": SamplingPlan.usual("ancestral", steps=50),
    "control: euler, 5": SamplingPlan(name="euler", steps=5),
}
Images = NDArray[np.float32]


class Row(NamedTuple):
    """MMD^2 to the chain's samples and to the reals."""

    name: str
    to_chain: MMDTest
    to_real: MMDTest
    equivalent: bool


def made(model: DiffusionModel, name: str, plan: SamplingPlan, seed: int, chosen: argparse.Namespace) -> Images:
    """The first channel of `chosen.samples` samples, in units; kept batch by batch in `chosen.out`."""
    folder = chosen.out / sha256_json([chosen.checkpoint, plan.to_record(), seed, chosen.samples, chosen.batch])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    with progress_bar(True) as bar, torch.no_grad():
        task = bar.add_task(name, total=chosen.samples * plan.steps, note="")
        for start in range(0, chosen.samples, chosen.batch):
            path, indices = folder / f"{start:06d}.npy", range(start, min(start + chosen.batch, chosen.samples))
            if path.exists():
                bar.advance(task, len(indices) * plan.steps)
            else:
                told = [Asked(model.conditioner.in_turn(index, {})) for index in indices]
                go = functools.partial(bar.advance, task, len(indices))
                z = sample_latents(model, indices, told, seed=seed, plan=plan, on_step=lambda _, go=go: go())  # type: ignore[misc]
                first = model.layout.images[0].name
                images = np.stack([model.layout.decode(x).images[first] for x in model.decode(z)])
                partial = path.with_suffix(".partial.npy")
                np.save(partial, images.astype(np.float32))
                partial.replace(path)
            parts.append(np.load(path))
    return np.concatenate(parts)


def measure(model: DiffusionModel, chosen: argparse.Namespace) -> list[Row]:
    preparation = Preparation.read(chosen.run)
    first = model.layout.images[0].name
    train = np.stack([case.images[first] for case in load_prepared(chosen.cases, preparation, ["train"])])
    held_out = load_prepared(chosen.cases, preparation, ["validation", "test"])
    reals, owners = np.stack([case.images[first] for case in held_out]), [case.record.patient for case in held_out]
    features: FeatureSpace = fit_features(train)
    real = features(reals)

    def test(x: NDArray[np.float64], y: NDArray[np.float64], **settings: Any) -> MMDTest:
        return mmd_test(x, y, features.bandwidth, rng=np.random.default_rng(0), **settings)

    chain = made(model, "the chain", dataclasses.replace(CHAIN, precision=chosen.precision), chosen.seed, chosen)
    seen = features(chain)
    from_real = test(seen, real, y_owners=owners)

    def row(name: str, images: Images, against: NDArray[np.float64]) -> Row:
        own = features(images)
        to_chain = test(own, against)
        return Row(name, to_chain, test(own, real, y_owners=owners), to_chain.high <= MARGIN * from_real.low)

    rows = [Row("the chain, 1000", MMDTest(0, 0, 0, 1, 0), from_real, True)]
    for name, plan in TRIED.items():
        plan = dataclasses.replace(plan, precision=chosen.precision)
        rows.append(row(name, made(model, name, plan, chosen.seed + 1, chosen), seen))
    blurred = np.stack([gaussian_filter(image, 1.0) for image in chain])
    rows.append(row("control: the chain, blurred", blurred, seen))
    half = len(chain) // 2
    rows.append(row("control: half against half", chain[:half], seen[half:]))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples and the table")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network, for all of them")
    parser.add_argument("--threads", type=int, default=None)
    chosen = parser.parse_args()
    if chosen.samples < 32 or chosen.batch < 1:
        raise MedsynthError("--samples is 32 or more, --batch 1 or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    loaded = load_run(chosen.run)
    chosen.checkpoint = loaded.checkpoint
    rows = measure(loaded.model, chosen)
    table = Table("sampler, evaluations", "MMD2 to the chain", "95%", "MMD2 to reals", "95%", "equivalent")
    for name, chain, real, fine in rows:
        intervals = (f"{each.low:.5f} to {each.high:.5f}" for each in (chain, real))
        first, second = intervals
        table.add_row(name, f"{chain.value:.5f}", first, f"{real.value:.5f}", second, "yes" if fine else "no")
    console = Console(width=130)
    console.print(f"{chosen.samples} samples each; margin {MARGIN * rows[0].to_real.low:.5f}")
    console.print(table)
    write_json(
        chosen.out / "equivalence.json",
        {
            row.name: {"chain": row.to_chain._asdict(), "real": row.to_real._asdict(), "fine": row.equivalent}
            for row in rows
        },
    )
    by_name = {row.name: row.equivalent for row in rows}
    bad = ("control: euler, 5", "control: the chain, blurred")
    if not by_name["control: half against half"] or any(by_name[name] for name in bad):
        print("not measurable at this size: a control did not do what it must", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"equivalence: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
