"""Check the demo's samples and its controls.

`python scripts/check_phantom.py --samples SAMPLES --untrained SAMPLES0 --cases CASES`: exit 0
when at least 30 of 32 samples are torsos and every control came out as it must, else 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from medsynth.data.nifti import place_in_itk, read_nifti
from medsynth.data.preparation import Preparation, load_prepared
from medsynth.errors import MedsynthError
from medsynth.evidence.phantom_check import Pair, check_phantoms
from medsynth.files import inside, write_json
from medsynth.records import SAMPLES_FILE, SampleRecord, Split, read_records


def read_samples(folder: Path, preparation: Preparation) -> list[Pair]:
    """CT and label map of every sample, opened in nibabel and in SimpleITK.

    Raises:
        MedsynthError: a file that cannot be read, or lies elsewhere than the preparation says.
    """
    image, label = channels(preparation)
    pairs = []
    for record in read_records(folder / SAMPLES_FILE, SampleRecord):
        if not {image, label} <= set(record.channels):
            raise MedsynthError(f"sample {record.id} lacks the channel {image} or {label}; generate again")
        paths = [inside(folder, record.channels[name].path) for name in (image, label)]
        ct, mask = (read_nifti(path) for path in paths)
        places = [ct.geometry, mask.geometry, *(place_in_itk(path) for path in paths)]
        if not all(place.is_close(preparation.grid, 1e-3) for place in places):
            raise MedsynthError(f"sample {record.id} does not lie on the run's grid; generate again")
        pairs.append((ct.array, mask.array))
    return pairs


def read_cases(folder: Path, preparation: Preparation, splits: Sequence[Split]) -> list[Pair]:
    """CT and label map of every prepared case of `splits` that has a label map."""
    image, _ = channels(preparation)
    prepared = load_prepared(folder, preparation, splits)
    return [(case.images[image], case.label) for case in prepared if case.label is not None]


def channels(preparation: Preparation) -> tuple[str, str]:
    """Names of the CT and of the label map.

    Raises:
        MedsynthError: the run does not make a volume in HU and its label map.
    """
    layout = preparation.layout
    ct = [channel.name for channel in layout.images if channel.units == "HU" or len(layout.images) == 1]
    if layout.label is None or len(ct) != 1 or preparation.grid.rank != 3:
        raise MedsynthError("the check is for runs that make one CT volume and its label map")
    return ct[0], layout.label.name


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True, help="folder that `medsynth generate` made")
    parser.add_argument("--cases", type=Path, required=True, help="folder that `medsynth ingest` made")
    parser.add_argument("--untrained", type=Path, help="samples of the same model before training: a control")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    chosen = parser.parse_args(arguments)
    try:
        preparation = Preparation.read(chosen.samples)
        check = check_phantoms(
            read_samples(chosen.samples, preparation),
            read_cases(chosen.cases, preparation, ("train",)),
            read_cases(chosen.cases, preparation, ("validation", "test")),
            preparation.grid,
            untrained=read_samples(chosen.untrained, preparation) if chosen.untrained else None,
        )
        if chosen.json:
            write_json(chosen.json, check.to_json())
    except MedsynthError as error:
        print(f"check_phantom: {error}", file=sys.stderr)
        return error.exit_code
    Console(width=150).print(check.table())
    print(f"phantom check: {check.verdict}")
    return check.exit_code


if __name__ == "__main__":
    sys.exit(main())
