"""The issue's controls on real scans: each rejected by a named metric, fresh reals let through."""

import numpy as np
import pytest
from nibabel import load
from PIL import Image

from medsynth.evidence.comparison import DIVERSITY, Draws, compare
from medsynth.evidence.measurements import fit_frame
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import HaarPlan
from medsynth.metrics.splits import patient_splits, plan_sizes

pytestmark = pytest.mark.data
IMAGE_CONTROLS = (bad.BLUR, bad.NOISE, bad.AVERAGE, bad.CONSTANT)


def fit(array, shape):
    """Crop and pad centrally."""
    for axis, side in enumerate(shape):
        have = array.shape[axis]
        start = max(0, (have - side) // 2)
        array = array.take(range(start, min(have, start + side)), axis)
        before = (side - array.shape[axis]) // 2
        pad = [(0, 0)] * array.ndim
        pad[axis] = (before, side - array.shape[axis] - before)
        array = np.pad(array, pad)
    return array


@pytest.fixture(scope="module")
def hippocampi(test_data):
    images, labels = [], []
    for path in sorted((test_data / "hippocampus" / "images").glob("*.nii.gz")):
        image = np.asarray(load(path).dataobj, dtype=np.float32)
        low, high = np.percentile(image, (0.5, 99.5))
        images.append(fit(np.clip((image - low) / (high - low), 0, 1), (32, 48, 32)))
        labels.append(fit(np.asarray(load(test_data / "hippocampus" / "labels" / path.name).dataobj), (32, 48, 32)))
    patients = np.array([str(i) for i in range(len(images))])
    return ImageSet(np.stack(images), np.stack(labels).astype(np.int32), patients)


@pytest.fixture(scope="module")
def radiographs(test_data):
    paths = sorted((test_data / "chest_xray" / "PNEUMONIA").glob("*.jpg"))
    images = np.stack([np.asarray(Image.open(path), dtype=np.float32).T for path in paths])
    patients = [path.name.split("person")[1].split("_")[0] for path in paths]
    return ImageSet(images, None, np.array(patients))


def judged(real, n, seed, labels, spacing):
    """Hold n images of some patients out as perfect samples, compare them with the other patients'."""
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.unique(real.owners))
    held = np.flatnonzero(np.isin(real.owners, patients[: int(1.3 * n)]))[:n]
    pool = real.take(np.flatnonzero(~np.isin(real.owners, patients[: int(1.3 * n)])))
    training = np.isin(pool.owners, patients[int(1.3 * n) :][: int(0.8 * (len(patients) - 1.3 * n))])
    frame = fit_frame({"haar": HaarPlan()}, pool.take(np.flatnonzero(training)), spacing, labels)
    sizes = plan_sizes(pool.owners.tolist(), n)
    splits = patient_splits(pool.owners.tolist(), sizes, 240, rng)
    return compare(real.take(held[: sizes.first]), pool, frame, Draws(splits[:40], splits[40:]), seed=seed)


def test_hippocampus_64(hippocampi):
    result = judged(hippocampi, 64, 0, {1: "anterior", 2: "posterior"}, (1.0, 1.0, 1.0))
    assert all(result.rejected_by.values()), result.rejected_by
    for name in IMAGE_CONTROLS:
        assert {"MMD on haar", "power spectrum"} <= set(result.rejected_by[name])
    assert {"contrast: anterior", "contrast: posterior"} <= set(result.rejected_by[bad.SHUFFLED])
    assert DIVERSITY in result.rejected_by[bad.REPEATED]
    verdicts = [line.verdict for line in result.lines]
    assert verdicts.count("met") >= len(verdicts) - 1  # every bar lets one real draw in twenty fail
    assert all(line.real_passes >= 0.8 for line in result.lines)
    reals = {line.check: line.value for line in result.lines if line.check == "connectivity"}
    assert reals == {"connectivity": 1.0}


def test_chest_128(radiographs):
    """Several radiographs a patient; real draws in the samples' place miss a line in one of twenty."""
    results = [judged(radiographs, 128, seed, {}, (1.0, 1.0)) for seed in (1, 2, 3)]
    for result in results:
        assert all(result.rejected_by.values()), result.rejected_by
        for name in IMAGE_CONTROLS:
            assert "MMD on haar" in result.rejected_by[name]
        assert [line.verdict for line in result.lines].count("met") >= len(result.lines) - 1
    missed = [line.check for result in results for line in result.lines if line.verdict == "missed"]
    assert len(missed) <= 1, missed
