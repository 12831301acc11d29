"""Seconds to read a DICOM series, ours beside MONAI's LoadImage, our checks of geometry included.

`python benchmarks/dicom_reading.py FOLDER [--slices 112] [--repeats 5]` makes series of the real slices of FOLDER in
several transfer syntaxes, checks that both readers give equal voxels in equal places, and prints the median of the
ratios of alternating repeats with its 95% interval (bootstrap) and what the codec alone takes. MONAI reads with
PydicomReader, and with ITKReader where the package `itk` is installed. Time is that of the process on the CPU, so that
other work on the machine does not count. Run it on one core: `taskset -c 1`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
import pydicom
from dicom_series import FORMS, real_slices, swap_pixels, write_series
from pydicom.encaps import generate_frames
from rich.console import Console
from rich.table import Table

from medsynth.data.dicom import DicomImage, read_dicom
from medsynth.data.dicom_file import quiet
from medsynth.data.dicom_frames import frame_decoder, plainly_stored
from medsynth.ingest.pool import in_processes

BARS = {"raw": 2.5, "RLE": 4.0, "JPEG-LS": 1.5}


def ours(folder: Path) -> DicomImage:
    return read_dicom(sorted(folder.iterdir()))


def theirs(folder: Path, reader: str):
    from monai.transforms import LoadImage  # here, since every process of the pool imports this module anew

    with quiet():
        return LoadImage(reader=reader, image_only=True)(folder)


def differs(folder: Path, reader: str) -> str:
    """Where the two readers do not agree; "" where they do.

    Pixel padding becomes the lowest value of the image with us, and stays with MONAI.
    """
    image, other = ours(folder), theirs(folder, reader)
    array = other.numpy()
    if array.shape != image.array.shape:
        return f"shapes {image.array.shape} and {array.shape}"
    if not np.allclose(image.geometry.affine, other.affine.numpy(), atol=1e-3):
        return "places"
    unequal = array != image.array
    padding = unequal & (image.array == image.array.min()) & (array == array[unequal].min() if unequal.any() else False)
    return "" if (unequal == padding).all() else f"{int((unequal & ~padding).sum())} voxels"


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def interval(values: list[float]) -> tuple[float, float]:
    """95% of the medians of resamples."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)


def codec(folder: Path) -> float | None:
    """Seconds that the codec alone takes for the frames of a series; None where the pixels are not compressed."""
    with quiet():
        files = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        decode, stored = frame_decoder(files[0].file_meta.TransferSyntaxUID), plainly_stored(files[0])
        if decode is None or stored is None:
            return None
        frames = [next(generate_frames(file.PixelData, number_of_frames=1)) for file in files]
    return seconds(lambda: [decode(frame, stored) for frame in frames])


def in_two_processes(folder: Path) -> str:
    """Wall-clock seconds of twelve series, in one process and in two, their start included."""
    found = []
    for workers in (1, 2):
        start = time.perf_counter()
        for _ in in_processes(ours, [folder] * 12, workers):
            pass
        found.append(time.perf_counter() - start)
    return f"{found[0]:.2f} s, {found[1]:.2f} s"


def controls(folder: Path, slices: list, count: int, readers: list[str], console: Console) -> None:
    """Names of files in no order must change nothing; pixels of two files that changed places must be seen."""
    for reader in readers:
        for name in FORMS:
            apart = differs(folder / name, reader)
            console.print(f"{name}, {reader}: {'equal voxels and places' if not apart else 'DIFFERENT: ' + apart}")
    shuffled = folder / "shuffled"
    paths = write_series(slices, shuffled, FORMS["raw"], count)
    order = Random(0).sample(range(count), count)
    for path, place in zip(paths, order, strict=True):
        path.rename(shuffled / f"s{place:04d}.dcm")
    swapped = folder / "swapped"
    write_series(slices, swapped, FORMS["raw"], count)
    same = np.array_equal(ours(shuffled).array, ours(folder / "raw").array)
    console.print(f"files in no order: ours {'unchanged' if same else 'CHANGED'}")
    before = {reader: theirs(swapped, reader).numpy() for reader in readers}
    swap_pixels(sorted(swapped.iterdir()))
    for reader in readers:
        console.print(f"files in no order, {reader}: {differs(shuffled, reader) or 'equal'}")
        seen = not np.array_equal(before[reader], ours(swapped).array)
        console.print(f"bad case, pixels of two slices swapped, {reader}: {'seen' if seen else 'NOT SEEN'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="slices of one real series, uncompressed")
    parser.add_argument("--slices", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", action="store_true", help="two processes of our pool as well")
    chosen = parser.parse_args()
    console = Console(width=140)
    readers = ["PydicomReader", *(["ITKReader"] if find_spec("itk") else [])]
    slices = real_slices(chosen.folder)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for form, syntax in FORMS.items():
            write_series(slices, folder / form, syntax, chosen.slices)
        controls(folder, slices, chosen.slices, readers, console)
        table = Table("series", "ours, s", "codec alone, s", "MONAI reader", "its s", "ratio", "95%", "bar")
        for form in FORMS:
            works = {"ours": partial(ours, folder / form)}
            works |= {reader: partial(theirs, folder / form, reader) for reader in readers}
            times: dict[str, list[float]] = {who: [] for who in works}
            for _ in range(chosen.repeats):
                for who, work in works.items():
                    times[who].append(seconds(work))
            console.print(f"{form}: measured")
            alone = codec(folder / form)
            for reader in readers:
                ratios = [b / a for a, b in zip(times["ours"], times[reader], strict=True)]
                ends = "{:.2f} to {:.2f}".format(*interval(ratios))
                table.add_row(
                    form, f"{np.median(times['ours']):.3f}", "-" if alone is None else f"{alone:.3f}", reader,
                    f"{np.median(times[reader]):.3f}", f"{np.median(ratios):.2f}", ends, str(BARS.get(form, "-")),
                )  # fmt: skip
        shape = ours(folder / "raw").array.shape
        console.print(f"{shape}, {chosen.repeats} repeats, pydicom {pydicom.__version__}")
        console.print(table)
        if chosen.processes:
            for form in FORMS:
                console.print(f"{form}: twelve series in one process and in two: {in_two_processes(folder / form)}")


if __name__ == "__main__":
    main()
