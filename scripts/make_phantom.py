"""Write a population of procedural torso phantoms: `python scripts/make_phantom.py OUT --patients 40 --scans 2`."""

import argparse
import sys
from pathlib import Path

from medsynth.data.phantom_files import write_phantom
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to make; must not hold anything yet")
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--scans", type=int, default=2, help="of each patient")
    parser.add_argument("--form", choices=("dicom", "nifti"), default="nifti")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 48), metavar=("I", "J", "K"))
    parser.add_argument("--spacing", type=float, nargs=3, default=(6.0, 6.0, 8.0), metavar="MM")
    parser.add_argument("--tilt", type=float, default=0.0, metavar="DEGREES", help="turn the grid: oblique scans")
    chosen = parser.parse_args()
    try:
        with progress_bar(True) as bar:
            task = bar.add_task("making phantoms", total=chosen.patients * chosen.scans, note="")
            write_phantom(
                chosen.out,
                patients=chosen.patients,
                scans=chosen.scans,
                seed=chosen.seed,
                form=chosen.form,
                shape=tuple(chosen.shape),
                spacing=tuple(chosen.spacing),
                tilt_degrees=chosen.tilt,
                progress=lambda: bar.advance(task),
            )
    except MedsynthError as error:
        print(f"make_phantom: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{chosen.patients * chosen.scans} scans of {chosen.patients} patients in {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
