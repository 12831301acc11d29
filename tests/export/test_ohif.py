"""OHIF in headless Chromium over a real Orthanc: the series in three planes, with the segmentation drawn over it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from medsynth.data.nifti import write_nifti
from medsynth.export.run import export
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import Channel, SampleRecord, write_records
from tests.export.checks import files
from tests.export.conftest import place
from tests.export.ohif import Drawn, Viewer, browser, dist, site
from tests.export.sending.archives import orthanc

SHAPE, SPACING = (44, 36, 26), (1.0, 1.3, 1.9)
BOX = (slice(9, 26), slice(13, 32), slice(4, 17))
"""Of the one label: the middle of the volume lies in it, its own middle is elsewhere."""
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Sample(NamedTuple):
    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray


def blobs(low: float, high: float, whole: bool) -> np.ndarray:
    """Without any symmetry, from `low` to `high`."""
    noise = gaussian_filter(np.random.default_rng(7).normal(size=SHAPE), 3.0)
    darkest, brightest = np.percentile(noise, (3, 97))
    image = low + np.clip((noise - darkest) / (brightest - darkest), 0, 1) * (high - low)
    return np.rint(image).astype(np.int16) if whole else image.astype(np.float32)


def made(folder: Path, where: str, units: str, image: np.ndarray) -> Sample:
    """A sample with one label, exported."""
    geometry = place(where, SHAPE, SPACING)
    label = np.zeros(SHAPE, np.uint8)
    label[BOX] = 1
    channels = {}
    for name, array in (("image", image), ("label", label)):
        path = f"volumes/000000_{name}.nii.gz"
        write_nifti(folder / "samples" / path, array, geometry)
        kind, unit = ("image", units) if name == "image" else ("label", "label")
        channels[name] = Channel(path=path, kind=kind, units=unit, sha256=sha256_file(folder / "samples" / path))
    record = SampleRecord(
        id="s000000",
        index=0,
        seed=0,
        condition={},
        sampler={"name": "euler", "steps": 4},
        channels=channels,
        geometry=Geometry(SHAPE, geometry.affine),
        labels={0: "background", 1: "left kidney"},
        checkpoint="ab" * 32,
        identity="cleared",
    )
    write_records(folder / "samples" / "samples.jsonl", [record])
    export(folder / "samples", folder / "out", unaudited="i_accept", progress=False)
    return Sample(image, label, geometry.affine)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    dist()
    with orthanc(tmp_path_factory.mktemp("orthanc")) as pacs, site(dist(), pacs) as address, browser() as running:
        yield pacs, address, running


def at(drawn: Drawn, sample: Sample, values: np.ndarray, order: int, outside: float) -> np.ndarray:
    """Values of the sample at the places that the pixels stand for, by the sample's own affine alone."""
    points = np.concatenate([drawn.world, np.ones((*drawn.world.shape[:2], 1))], -1)
    indices = (points @ (np.linalg.inv(sample.affine) @ LPS).T)[..., :3]
    return map_coordinates(values.astype(float), np.moveaxis(indices, -1, 0), order=order, cval=outside)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Dice coefficient."""
    return 2 * float((one & other).sum()) / max(1, int(one.sum() + other.sum()))


@pytest.mark.parametrize(
    ("where", "units", "low", "high"),
    [("axial", "HU", -150, 230), ("oblique", "arbitrary", 0.0, 0.9)],
    ids=["axial CT", "oblique MR of fractions"],
)
def test_the_planes_show_the_series_and_its_segmentation(archive, tmp_path, where, units, low, high):
    pacs, address, running = archive
    sample = made(tmp_path, where, units, blobs(low, high, units == "HU"))
    pacs.clear()
    pacs.store(files(tmp_path / "out"))
    (study,) = pacs.get("studies?expand").json()
    page = running.new_page(viewport={"width": 900, "height": 480})
    try:
        viewer = Viewer(page, address, study["MainDicomTags"]["StudyInstanceUID"])
        before = viewer.drawn()
        viewer.open_segmentation()
        after, segments = viewer.drawn(), viewer.segments()
        page.screenshot(path=str(tmp_path / "ohif.png"))
        complaints = viewer.messages()
    finally:
        page.close()
    assert complaints == []
    assert segments == ["left kidney"]
    window = (-160.0, 240.0 - 1) if units == "HU" else tuple(np.percentile(sample.image[sample.image > low], (1, 99.5)))
    assert [one.name for one in before] == ["mpr-axial", "mpr-sagittal", "mpr-coronal"]
    for drawn in before:
        assert drawn.voi == pytest.approx(window, abs=(window[1] - window[0]) * 1e-3)
        assert not drawn.coloured.any()  # the control: no segmentation, no colour
        expected = at(drawn, sample, sample.image, 1, np.nan)
        seen = np.isfinite(expected)
        assert seen.mean() > 0.1
        grey = 255 * np.clip((expected[seen] - window[0]) / (window[1] - window[0]), 0, 1)
        assert drawn.pixels[seen].mean() > 40
        assert np.abs(grey - drawn.pixels[seen].mean(-1)).mean() < 6
        flipped = at(drawn, sample, np.flip(sample.image), 1, np.nan)[seen]
        mirrored = 255 * np.clip((flipped - window[0]) / (window[1] - window[0]), 0, 1)
        assert np.abs(mirrored - drawn.pixels[seen].mean(-1)).mean() > 20  # that it is so close says something
    for drawn in after:
        expected = at(drawn, sample, sample.label, 0, 0) > 0
        assert expected.any()
        assert agreement(drawn.coloured, expected) > 0.93
        mirrored = at(drawn, sample, np.flip(sample.label), 0, 0) > 0
        assert agreement(drawn.coloured, mirrored) < 0.85
