"""How much text in pictures is found, and how often where there is none.

`python benchmarks/burned_in_text.py DATA` reads the folders chest_xray, hippocampus, heads, dicom and phi/presidio of
DATA. Rules and limits of `TextFinder` were chosen on the patients of one half (a hash of the patient's name decides),
and, after a first run on the other half, on the pictures that gave an alarm there; so pictures without text are others
of that other half here. Radiographs in which a person saw text beside R and L are counted apart; they are named in
burned_in_text_excluded.txt.
"""

import argparse
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rich.console import Console
from rich.table import Table
from scipy.stats import beta

from medsynth.data.dicom_file import quiet
from medsynth.identity.dicom_text import frames
from medsynth.identity.picture_text import TextFinder, blank_text, windowed
from medsynth.identity.pixels import Box
from medsynth.identity.text_planes import GROUP, planes

EXCLUDED = Path(__file__).with_name("burned_in_text_excluded.txt")
RADIOGRAPHS = slice(900, 1800)  # by a hash of their names; those before were for the choice of rules
WITH_TEXT = "radiographs with text"
BORDER = 25  # presidio's annotations were made on pictures with a border of as many pixels
TEXTS = ("MUELLER, ANNA", "03.09.1962", "DOE^JOHN", "Kowalski J", "1976-06-16", "PID 4711823")
SIZES, CONTRASTS = (8, 10, 12, 16, 24), (0.15, 0.3, 0.6, 0.9)


class Picture(NamedTuple):
    """One picture: its kind, whose it is and how to read it."""

    kind: str
    patient: str
    read: Callable[[], NDArray]


class Planted(NamedTuple):
    """A picture with a text in it."""

    picture: NDArray[np.uint8]
    place: Box
    size: int
    contrast: float


def number_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def is_reported(patient: str) -> bool:
    return number_of(f"text:{patient}") % 2 == 1


def volume(path: Path) -> NDArray:
    return np.asarray(nib.load(path).dataobj)


def radiographs(data: Path) -> Iterator[Picture]:
    """By a hash of their names."""
    excluded = set(EXCLUDED.read_text().splitlines())
    paths = sorted(data.glob("chest_xray/*/*.jp*g"), key=lambda path: number_of(path.name))
    for path in paths[RADIOGRAPHS]:
        patient = re.search(r"person\d+|(?:NORMAL2-)?IM-\d+", path.name)
        kind = WITH_TEXT if path.name in excluded else "radiographs"
        if patient:
            yield Picture(kind, f"chest/{patient[0]}", lambda path=path: np.asarray(Image.open(path).convert("L")))


def slices(data: Path) -> Iterator[Picture]:
    """Three of each hippocampus; of one head those along each axis that were not for the choice of rules."""
    for path in sorted(data.glob("hippocampus/images/*.nii.gz")):
        for axis, part in ((0, 2), (1, 3), (2, 3)):
            at = nib.load(path).shape[axis] // part
            yield Picture(
                "hippocampus", f"hippo/{path.name}", lambda p=path, a=axis, i=at: np.rot90(volume(p).take(i, a))
            )
    for path in sorted(data.glob("heads/ixi_small/IXI015*.nii.gz")):
        for axis, side in enumerate(nib.load(path).shape):
            for index in range(side // 10, side - side // 10):
                if (index - side // 10) % 4:
                    read = lambda p=path, a=axis, i=index: np.rot90(volume(p).take(i, a))  # noqa: E731
                    yield Picture("head", f"heads/{path.name}", read)


def dicom(data: Path) -> Iterator[Picture]:
    """All frames of all files."""
    for path in sorted(data.glob("dicom/**/*")):
        if path.is_file() and not path.name.endswith((".gz", ".txt")):
            with quiet():
                found = list(frames(pydicom.dcmread(path)))
            for picture in found:
                yield Picture(
                    "CT and MR, DICOM", f"dicom/{path.parent.relative_to(data / 'dicom')}", lambda p=picture: p
                )


def clean_half(data: Path) -> Iterator[Picture]:
    for source in (radiographs, slices, dicom):
        yield from (picture for picture in source(data) if is_reported(picture.patient))


def upper_bound(found: int, of: int) -> float:
    """Of a rate, with 95% confidence (Clopper and Pearson 1934)."""
    return 1.0 if found == of else float(beta.ppf(0.95, found + 1, of - found))


def draw(
    grey: NDArray[np.uint8], size: int, contrast: float, rng: np.random.Generator, blur: float = 0
) -> Planted | None:
    """A text, brighter or darker than the median below it by `contrast` of the range; None where there is no room."""
    font, text = ImageFont.load_default(size), str(rng.choice(TEXTS))
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    pad = 1 + int(3 * blur)
    mask = Image.new("L", (right - left + 2 * pad, bottom - top + 2 * pad), 0)
    ImageDraw.Draw(mask).text((pad - left, pad - top), text, fill=255, font=font)
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask) / 255
    rows, columns = alpha.shape
    sign = int(rng.choice((1, -1)))
    for _ in range(300):
        if rows >= grey.shape[0] or columns >= grey.shape[1]:
            return None
        y, x = int(rng.integers(grey.shape[0] - rows)), int(rng.integers(grey.shape[1] - columns))
        below = grey[y : y + rows, x : x + columns].astype(float)
        value = np.median(below) + sign * contrast * 255
        if 0 <= value <= 255:
            picture = grey.copy()
            picture[y : y + rows, x : x + columns] = np.rint(below * (1 - alpha) + value * alpha)
            return Planted(picture, Box(x + pad, y + pad, columns - 2 * pad, rows - 2 * pad), size, contrast)
    return None


def covered(place: Box, boxes: list[Box]) -> float:
    """Share of a box that other boxes cover."""
    inside = np.zeros((place.height, place.width), bool)
    for box in boxes:
        top, left = max(box.top - place.top, 0), max(box.left - place.left, 0)
        inside[top : max(box.top + box.height - place.top, 0), left : max(box.left + box.width - place.left, 0)] = True
    return float(inside.mean())


def annotated(data: Path, finder: TextFinder, console: Console) -> None:
    """Every annotated box, in three pictures of real manufacture; then the same pictures blanked."""
    folder = data / "phi/presidio"
    truth = json.loads((folder / "ground_truth.json").read_text())
    found, least, left, seconds = 0, 1.0, 0, []
    boxes = 0
    for number, name in enumerate(("0_ORIGINAL_compressed.dcm", "1_ORIGINAL.png", "2_ORIGINAL.dcm")):
        path = folder / name
        with quiet():
            picture = np.asarray(Image.open(path)) if path.suffix == ".png" else next(frames(pydicom.dcmread(path)))
        start = time.process_time()
        seen = finder.find(picture)
        seconds.append(f"{picture.shape[0]}x{picture.shape[1]} {time.process_time() - start:.1f}")
        for one in truth[f"sample_data/{number}_ORIGINAL.dcm"]:
            share = covered(Box(one["left"] - BORDER, one["top"] - BORDER, one["width"], one["height"]), seen)
            boxes, found, least = boxes + 1, found + (share > 0.5), min(least, share)
        left += len(finder.find(blank_text(picture, finder)[0]))
    console.print(
        f"annotated boxes found: {found} of {boxes}; the least covered one by {least:.0%}; left after blanking: {left}"
    )
    console.print(f"processor seconds, the first with loading: {', '.join(seconds)}")


def without_text(data: Path, finder: TextFinder, console: Console, show: Path | None) -> list[Picture]:
    """Alarms where there is no text; gives the pictures, for planting."""
    pictures, alarms, seen = [], Counter(), Counter()
    start = time.process_time()
    for number, one in enumerate(clean_half(data)):
        picture = one.read()
        seen[one.kind] += 1
        boxes = finder.find(picture)
        if boxes:
            alarms[one.kind] += 1
            if show:
                show.mkdir(parents=True, exist_ok=True)
                Image.fromarray(windowed(picture) if picture.ndim == 2 else picture).save(show / f"{number}.png")
                (show / f"{number}.txt").write_text(f"{one.patient} {boxes}")
        if picture.ndim == 2 and min(picture.shape) >= 100 and one.kind != WITH_TEXT:
            pictures.append(one)
    seconds = (time.process_time() - start) / max(sum(seen.values()), 1)
    table = Table("kind", "pictures", "alarms", "rate", "at most (95%)")
    rows = {kind: (seen[kind], alarms[kind]) for kind in seen}
    clean = [row for kind, row in rows.items() if kind != WITH_TEXT]
    rows["all without text"] = (sum(of for of, _ in clean), sum(wrong for _, wrong in clean))
    for kind, (of, wrong) in rows.items():
        table.add_row(kind, str(of), str(wrong), f"{wrong / of:.2%}", f"{upper_bound(wrong, of):.2%}")
    console.print(table)
    console.print(
        f"processor seconds a picture, reading included: {seconds:.2f}; policy of marks: {finder.policy.to_json()}"
    )
    return pictures


def planted(pictures: list[Picture], finder: TextFinder, console: Console, count: int) -> None:
    """Found rates by contrast and size, the same text blurred away, and what is left after blanking."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(pictures))
    by: dict[tuple[float, int], list[bool]] = {}
    blurred, empty, left = [], [], []
    for number in range(count):
        grey = windowed(pictures[order[number % len(order)]].read())[..., 0]
        size, contrast = SIZES[number % 5], CONTRASTS[number // 5 % 4]
        one = draw(grey, size, contrast, rng)
        if one is None:
            continue
        boxes = finder.find(one.picture)
        by.setdefault((contrast, size), []).append(covered(one.place, boxes) > 0.5)
        if number % 4 == 0:
            empty.append(bool(finder.find(grey)))
            bad = draw(grey, size, contrast, rng, blur=size / 2)
            blurred += [covered(bad.place, finder.find(bad.picture)) > 0.5] if bad else []
        if boxes and number % 4 == 1:
            left.append(len(finder.find(blank_text(one.picture, finder)[0])))
    table = Table("planted text found, contrast", *(f"{size} px" for size in SIZES), "all")
    for contrast in CONTRASTS:
        rows = [by.get((contrast, size), []) for size in SIZES]
        table.add_row(
            f"{contrast:g}", *(f"{sum(row)}/{len(row)}" for row in [*rows, [one for row in rows for one in row]])
        )
    console.print(table)
    console.print(f"control, the same pictures without text: {sum(empty)}/{len(empty)} alarms")
    console.print(f"bad case, text blurred by half its size: {sum(blurred)}/{len(blurred)} found")
    console.print(f"left after blanking, in {len(left)} of them: {sum(left)}")


def projected(data: Path, finder: TextFinder, console: Console, count: int) -> None:
    """Text planted in one slice of a volume: seen in that slice, and in the projections of its group."""
    rng = np.random.default_rng(1)
    stacks = {"MR head, 1 mm": np.rot90(volume(data / "heads/colin27/ch2.nii.gz")).transpose(2, 0, 1)}
    with quiet():
        files = sorted((data / "dicom/ct_ge_tilt_variable_spacing").glob("*.dcm"))
        stacks["CT head, 512x512"] = np.stack([pydicom.dcmread(path).pixel_array for path in files])
    table = Table("planted in one slice", "contrast", "slice alone", f"projections of {GROUP}", "of all slices")
    for name, stack in stacks.items():
        grey = windowed(stack.reshape(len(stack), -1))[..., 0].reshape(stack.shape)
        for contrast in (0.3, 0.6, 0.9):
            hits = []
            for _ in range(count):
                index = int(rng.integers(len(grey) // 5, len(grey) - len(grey) // 5))
                one = draw(grey[index], int(rng.choice(SIZES[1:])), contrast, rng)
                if one is None:
                    continue
                whole = grey.copy()
                whole[index] = one.picture
                start = index // GROUP * GROUP
                sets = (
                    [one.picture],
                    *([p for _, p in planes(part, 0, len(part))] for part in (whole[start : start + GROUP], whole)),
                )
                hits.append(
                    [any(covered(one.place, finder.find(plane)) > 0.5 for plane in plane_set) for plane_set in sets]
                )
            table.add_row(
                name, f"{contrast:g}", *(f"{sum(column)}/{len(column)}" for column in zip(*hits, strict=True))
            )
        alarms = [bool(finder.find(plane)) for _, plane in planes(grey, 0)]
        table.add_row(name, "no text", "", f"{sum(alarms)}/{len(alarms)} planes", "")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--planted", type=int, default=160, help="texts that are planted")
    parser.add_argument(
        "--in-slices", type=int, default=6, help="texts planted in slices, for each contrast and volume"
    )
    parser.add_argument(
        "--show", type=Path, help="folder for the pictures with alarms: real scans, for your eyes alone"
    )
    arguments = parser.parse_args()
    finder, console = TextFinder(), Console(width=110)
    annotated(arguments.data, finder, console)
    planted(without_text(arguments.data, finder, console, arguments.show), finder, console, arguments.planted)
    projected(arguments.data, finder, console, arguments.in_slices)


if __name__ == "__main__":
    main()
