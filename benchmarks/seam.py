"""Is an inpainted scan whole: the same bits outside of the mask, and no seam at its edge?

`python benchmarks/seam.py CASES SAMPLES... [--out FOLDER]` reads folders that `medsynth generate plan=inpaint` made
from CASES. It compares every file with its parent's, stored value by stored value, and measures at the mask's edge
(medsynth.metrics.seam) how much more the image changes across it than beside it, and how much rougher the inside is.

The range of the reals is measured on all scans of the parents' split that are not the parents, each with the mask of
one of them: where the mean of as many new patients as there are samples would lie, of both measures at once in
95% of all cases (97.5% each; bootstrap of patients and of the set that is drawn from them, 2,000 draws). The mean of
the samples has to lie in it, for both measures. Controls of the same command: the parents themselves, unedited, must; a
hard paste (the masked region of another scan of the same split put into the parent) and the region blurred by one
voxel must not, in one of the two.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from medsynth.data.nifti import read_stored
from medsynth.data.preparation import Preparation
from medsynth.data.resampling import require_channel
from medsynth.errors import MedsynthError
from medsynth.files import write_json
from medsynth.generation.inpainting import native_mask
from medsynth.generation.parents import Parents
from medsynth.generation.plan import MaskPlan
from medsynth.metrics.seam import Seam, seam
from medsynth.records import SAMPLES_FILE, Record, SampleRecord, read_records

DRAWS = 2000
Image = NDArray[Any]


class Edited(NamedTuple):
    """A sample beside its parent: stored images on one grid, the mask, and both records."""

    made: Image
    source: Image
    mask: NDArray[np.bool_]
    parent: Record
    same: bool


class Row(NamedTuple):
    """The mean of a set of images, and whether it lies in the range of the reals."""

    name: str
    count: int
    values: Seam
    fine: bool


def stored(folder: Path, record: Record, name: str) -> Image:
    return read_stored(require_channel(folder, record, name)).array


def edited(folder: Path, parents: Parents, channel: str) -> list[Edited]:
    """Every inpainted sample with its parent."""
    by_hash = {record.sha256: record for record in parents.records.values()}
    found = []
    for sample in read_records(folder / SAMPLES_FILE, SampleRecord):
        if sample.sampler.get("edit") != "inpaint" or len(sample.parents) != 1 or sample.parents[0] not in by_hash:
            raise MedsynthError(f"sample {sample.id} was not inpainted from a scan of these cases; name their folder")
        parent = by_hash[sample.parents[0]]
        plan = MaskPlan(**json.loads(str(sample.sampler["edit.mask"])))
        mask = native_mask(plan, parent, lambda name, parent=parent: parents.stored(parent, name))
        same = all(kept(folder, sample, parents, parent, name, mask) for name in sample.channels)
        made, source = stored(folder, sample, channel), stored(parents.folder, parent, channel)
        found.append(Edited(made, source, mask, parent, same))
    return found


def kept(
    folder: Path, sample: SampleRecord, parents: Parents, parent: Record, name: str, mask: NDArray[np.bool_]
) -> bool:
    """Whether a channel has its parent's place and scale and, outside of the mask, its bits; a label map its values."""
    made = read_stored(require_channel(folder, sample, name))
    source = read_stored(require_channel(parents.folder, parent, name))
    place = np.array_equal(made.geometry.affine, source.geometry.affine) and made.array.shape == source.array.shape
    scale = (made.slope, made.intercept) == (source.slope, source.intercept)
    if sample.channels[name].kind == "label":  # one with more labels may need a wider type
        return bool(place and scale and (made.array[~mask] == source.array[~mask]).all())
    same = made.array.dtype == source.array.dtype
    return bool(place and scale and same and made.array[~mask].tobytes() == source.array[~mask].tobytes())


def identical(edits: Sequence[Edited]) -> int:
    """How many samples are their parents outside of the mask."""
    return sum(e.same for e in edits)


def others(parents: Parents, edits: Sequence[Edited], channel: str) -> list[Image]:
    """Scans of the parents' split that are no parents, on whose grid a parent's mask lies; one a patient."""
    used = {e.parent.patient for e in edits}
    split = parents.split_of(edits[0].parent)
    found: dict[str, Image] = {}
    for name in parents.ids(split):
        record = parents.record(name)
        if record.patient is not None and record.patient not in used and record.patient not in found:
            found[record.patient] = stored(parents.folder, record, channel)
    return list(found.values())


def fitted(images: Sequence[Image], edits: Sequence[Edited], rng: np.random.Generator) -> list[tuple[Image, Edited]]:
    """Each image with an edit whose grid it covers, in turn; else with one whose mask lies in it; else it is left out.

    Both are cut to what they have in common.
    """
    order = [edits[place] for place in rng.permutation(len(edits))]
    pairs = []
    for number, image in enumerate(images):
        turn = order[number % len(order) :] + order[: number % len(order)]
        covered = (e for e in turn if all(a >= b for a, b in zip(image.shape, e.mask.shape, strict=True)))
        held = (e for e in turn if all(a >= b for a, b in zip(image.shape, reached(e.mask), strict=True)))
        fits = next(covered, None) or next(held, None)
        if fits is not None:
            common = tuple(slice(min(a, b)) for a, b in zip(image.shape, fits.mask.shape, strict=True))
            pairs.append((image[common], fits._replace(mask=fits.mask[common])))
    return pairs


def reached(mask: NDArray[np.bool_]) -> list[int]:
    """The least sides of an image that holds the mask and, where its own grid goes on, the two voxels beyond it."""
    last = [int(each.max()) for each in np.nonzero(mask)]
    return [min(side, place + 3) for side, place in zip(mask.shape, last, strict=True)]


def mean(images: Sequence[tuple[Image, NDArray[np.bool_]]]) -> Seam:
    values = np.array([seam(image, mask) for image, mask in images])
    return Seam(*values.mean(axis=0).tolist())


def measure(edits: Sequence[Edited], pairs: Sequence[tuple[Image, Edited]], name: str, rng: Any) -> list[Row]:
    """The samples and the controls against the reals' range."""
    count = len(edits)
    reals = np.array([seam(image, e.mask) for image, e in pairs])
    if len(reals) < count:
        raise MedsynthError(f"{len(reals)} real scans are left beside {count} parents: make fewer samples")
    pools = (reals[rng.integers(len(reals), size=len(reals))] for _ in range(DRAWS))
    draws = np.array([pool[rng.integers(len(pool), size=count)].mean(axis=0) for pool in pools])
    low, high = np.quantile(draws, [0.0125, 0.9875], axis=0)

    def row(title: str, images: Sequence[tuple[Image, NDArray[np.bool_]]]) -> Row:
        values = mean(images)
        return Row(title, len(images), values, bool(all((low <= values) & (values <= high))))

    donors = [pairs[place % len(pairs)][0] for place in rng.permutation(len(pairs))]
    pasted = []
    for e, (donor, other) in zip(edits, fitted(donors, edits, rng), strict=False):
        if donor.shape == e.mask.shape:
            pasted.append((np.where(e.mask, donor, e.source), e.mask))
        else:
            small = tuple(slice(min(a, b)) for a, b in zip(donor.shape, e.mask.shape, strict=True))
            pasted.append((np.where(e.mask[small], donor[small], e.source[small]), e.mask[small]))
        del other
    blurred = [(np.where(e.mask, gaussian_filter(e.source.astype(float), 1.0), e.source), e.mask) for e in edits]
    return [
        Row("reals: from", count, Seam(*low.tolist()), True),
        Row("reals: to", count, Seam(*high.tolist()), True),
        row(name, [(e.made, e.mask) for e in edits]),
        row("control: the parents", [(e.source, e.mask) for e in edits]),
        row("control: hard paste", pasted),
        row("control: blurred inside", blurred),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="folder for the table")
    chosen = parser.parse_args()
    console, missed, unfit, content = Console(width=110), False, False, {}
    for folder in chosen.samples:
        preparation, rng = Preparation.read(folder), np.random.default_rng(chosen.seed)
        parents, channel = Parents(chosen.cases, preparation, preparation.layout), preparation.layout.images[0].name
        edits = edited(folder, parents, channel)
        same = identical(edits)
        rows = measure(edits, fitted(others(parents, edits, channel), edits, rng), folder.name, rng)
        table = Table("images", "number", "step at the seam", "texture inside", "in the reals' range")
        for row in rows:
            said = "" if row.name.startswith("reals") else "yes" if row.fine else "no"
            table.add_row(row.name, str(row.count), *(f"{value:+.4f}" for value in row.values), said)
        console.print(f"{folder.name}: outside of the mask identical to the bit in {same} of {len(edits)} files")
        console.print(table)
        content[folder.name] = {"identical": same, "rows": [row._asdict() for row in rows]}
        fine: Mapping[str, bool] = {row.name: row.fine for row in rows}
        missed |= same < len(edits) or not fine[folder.name]
        unfit |= not fine["control: the parents"] or fine["control: hard paste"] or fine["control: blurred inside"]
    if chosen.out:
        write_json(chosen.out / "seam.json", content)
    if unfit:
        print("not measurable at this size: a control did not do what it must", file=sys.stderr)
    return 1 if unfit or missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"seam: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
