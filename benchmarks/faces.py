"""Is a face found wherever a head is, and nowhere else; and is it gone, and the brain whole, once it is blanked.

`python benchmarks/faces.py DATA` reads the folder of real scans that MEDSYNTH_TEST_DATA names. Each head is looked at
in 24 orders of its axes, on grids turned by 5, 15 and 30 degrees about each axis, turned itself by as much, and
resampled to 1 to 4 mm; so are its blanked copy and the skull-stripped head, which must not be found. Then parts of
faces, fields of view, noise, a header that names the axes wrongly, hippocampi and the DICOM series.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.data.nifti import read_nifti
from medsynth.geometry import Geometry
from medsynth.identity.check_faces import faces_in_series
from medsynth.identity.faces import blank_face, face_region, find_face

HEADS = ("ixi_small/IXI012-HH-1211_T1.nii.gz", "ixi_small/IXI015-HH-1258_T1.nii.gz", "colin27/ch2.nii.gz")
STRIPPED = "colin27/ch2bet.nii.gz"
DEGREES = (5, 15, 30)


class Volume(NamedTuple):
    """An array (X, Y, Z) and its place."""

    array: NDArray[Any]
    geometry: Geometry


def rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    """(3, 3), about an axis of RAS."""
    turn, matrix = np.radians(degrees), np.eye(3)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix[[one, two], [one, two]] = np.cos(turn)
    matrix[two, one], matrix[one, two] = np.sin(turn), -np.sin(turn)
    return matrix


def reordered(volume: Volume) -> Iterator[Volume]:
    """The same scan in the 24 orders and directions of its axes that keep its handedness."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            change = np.eye(3)[:, order] * signs
            if np.linalg.det(change) < 0:
                continue
            array = volume.array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
            affine = volume.geometry.affine.copy()
            start = [0 if sign > 0 else side - 1 for sign, side in zip(signs, array.shape, strict=True)]
            affine[:3, :3] = volume.geometry.affine[:3, :3] @ change
            affine[:3, 3] += volume.geometry.affine[:3, :3] @ np.eye(3)[:, order] @ start
            yield Volume(np.ascontiguousarray(array), Geometry(array.shape, affine))


def resampled(volume: Volume, spacing: float, turn: NDArray[np.float64] | None = None) -> Volume:
    """On a grid of cubes that holds the whole scan (linear), turned or along RAS."""
    turn = np.eye(3) if turn is None else turn
    extent = np.array(volume.geometry.shape) * volume.geometry.spacing @ np.abs(volume.geometry.direction.T @ turn)
    grid = Geometry.centred([int(side / spacing) for side in extent], [spacing] * 3, turn, volume.geometry.centre)
    change = np.linalg.inv(volume.geometry.affine) @ grid.affine
    smooth = np.maximum(0, spacing / np.array(volume.geometry.spacing) - 1) / 2
    array = ndimage.gaussian_filter(volume.array.astype(np.float32), smooth)
    array = ndimage.affine_transform(array, change[:3, :3], change[:3, 3], output_shape=grid.shape, order=1)
    return Volume(array, grid)


def turned(volume: Volume, turn: NDArray[np.float64]) -> Volume:
    """The patient turned in the scanner."""
    affine = volume.geometry.affine.copy()
    affine[:3] = turn @ affine[:3]
    return Volume(volume.array, Geometry(volume.geometry.shape, affine))


def straight(volume: Volume) -> Volume:
    """Axes in the order of RAS; the scans here are straight within a degree or so."""
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.array.astype(np.float32), volume.geometry.affine))
    return Volume(np.ascontiguousarray(image.dataobj), Geometry(image.shape, image.affine))


def part(volume: Volume, low: tuple[float, float, float], high: tuple[float, float, float]) -> Volume:
    """Without so many mm at the lower and upper end of each axis, from where the head ends."""
    array, geometry = volume
    head = array > 0.1 * np.percentile(array, 98)
    cut = []
    for axis in range(3):
        other = tuple(k for k in range(3) if k != axis)
        held = np.flatnonzero(head.sum(other) * np.prod([geometry.spacing[k] for k in other]) > 1000)
        start = int(held[0] + low[axis] / geometry.spacing[axis]) if low[axis] else 0
        stop = int(held[-1] + 1 - high[axis] / geometry.spacing[axis]) if high[axis] else array.shape[axis]
        cut.append(slice(start, stop))
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in cut]
    array = np.ascontiguousarray(array[tuple(cut)])
    return Volume(array, Geometry(array.shape, affine))


def without(volume: Volume, above: float, below: float) -> Volume:
    """The front 60 mm blanked between two depths below the vertex, in mm: a crude box over a part of the face."""
    array, geometry = volume[0].copy(), volume[1]
    head = array > 0.1 * np.percentile(array, 98)
    top = np.flatnonzero(head.sum((0, 1)) * geometry.spacing[0] * geometry.spacing[1] > 1000)[-1]
    front = np.flatnonzero(head.sum((0, 2)) * geometry.spacing[0] * geometry.spacing[2] > 1000)[-1]
    levels = slice(int(max(0, top - below / geometry.spacing[2])), int(max(0, top - above / geometry.spacing[2])))
    array[:, int(front - 60 / geometry.spacing[1]) :, levels] = array.min()
    return Volume(array, geometry)


def noisy(volume: Volume, share: float) -> Volume:
    """Rician noise of a share of the 99th percentile."""
    rng, sigma = np.random.default_rng(0), share * float(np.percentile(volume.array, 99))
    real, imaginary = (rng.normal(0, sigma, volume.array.shape) for _ in range(2))
    return Volume(np.hypot(volume.array + real, imaginary).astype(np.float32), volume.geometry)


def wrongly_named(volume: Volume) -> Iterator[Volume]:
    """The scan with its axes in each of 24 orders, and a header that says RAS of all of them."""
    for one in reordered(volume):
        yield Volume(one.array, Geometry(one.array.shape, np.diag([*one.geometry.spacing, 1.0])))


def in_each_place(volume: Volume) -> Iterator[tuple[str, list[Volume]]]:
    """The kinds of places and grids that a scan may come in."""
    turns = [rotation(axis, degrees) for axis in range(3) for degrees in DEGREES]
    yield "orders of axes", list(reordered(volume))
    yield "oblique grids", [resampled(volume, 2.0, turn) for turn in turns]
    yield "head turned", [turned(volume, turn) for turn in turns]
    yield "1 to 4 mm", [resampled(volume, spacing) for spacing in (1.0, 2.0, 3.0, 4.0)]


def said(volumes: list[Volume]) -> str:
    """How many are found, and why."""
    faces = [find_face(*volume) for volume in volumes]
    why = Counter(face.why for face in faces if face is not None)
    return f"{sum(why.values())}/{len(faces)}" + (f" ({', '.join(f'{k} {v}' for k, v in why.items())})" if why else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    heads = {
        Path(name).name.partition(".")[0].partition("-")[0]: Volume(*read_nifti(data / "heads" / name))
        for name in HEADS
    }
    stripped = Volume(*read_nifti(data / "heads" / STRIPPED))
    brain = stripped.array > 0
    for name, head in list(heads.items()):
        face = find_face(*head)
        assert face is not None, "the benchmark needs its heads"
        blanked = Volume(blank_face(*head, face), head.geometry)
        changed = blanked.array != head.array
        region = face_region(head.geometry, face)
        print(
            f"{name} blanked: {changed.mean():.1%} of voxels changed, {(changed & ~region).sum()} outside of the region"
        )
        if changed.shape == brain.shape:
            print(f"  of the brain {(changed & brain).sum()} of {brain.sum()}")
        heads[f"{name} blanked"] = blanked
    for name, volume in {**heads, "skull-stripped": stripped}.items():
        for kind, places in in_each_place(volume):
            print(f"{name}, {kind}: found {said(places)}", flush=True)
    fields: dict[str, Callable[[Volume], list[Volume]]] = {
        "nose cut off, front 25 mm not in the picture": lambda v: [part(v, (0, 0, 0), (0, 25, 0))],
        "front 40 mm not in the picture": lambda v: [part(v, (0, 0, 0), (0, 40, 0))],
        "top 60 mm not in the picture": lambda v: [part(v, (0, 0, 0), (0, 0, 60))],
        "left half alone": lambda v: [part(v, (0, 0, 0), (75, 0, 0))],
        "60 mm about the middle": lambda v: [part(v, (50, 0, 0), (50, 0, 0))],
        "a box 80 to 120 mm below the vertex (in IXI the eyes)": lambda v: [without(v, 80, 120)],
        "a box from 120 mm below the vertex (in IXI nose and mouth)": lambda v: [without(v, 120, 400)],
        "noise of 5% and 10%": lambda v: [noisy(v, 0.05), noisy(v, 0.1)],
        "axes wrongly named": lambda v: list(wrongly_named(v)),
    }
    for name, volume in {**heads, "skull-stripped": stripped}.items():
        for field, cut in fields.items():
            print(f"{name}, {field}: found {said(cut(straight(volume)))}", flush=True)
    crops = [Volume(*read_nifti(path)) for path in sorted((data / "hippocampus" / "images").glob("*.nii.gz"))]
    print(f"hippocampi: found {said(crops)}")
    files = [path for path in sorted((data / "dicom").rglob("*")) if path.is_file()]
    dicom = [(number, path) for number, path in enumerate(files) if path.read_bytes()[128:132] == b"DICM"]
    print(f"DICOM folders: {len({path.parent for _, path in dicom})}")
    for finding in faces_in_series(dicom):
        print(f"  {finding.kind} ({finding.place}): {files[finding.file].parent.relative_to(data)}")


if __name__ == "__main__":
    main()
