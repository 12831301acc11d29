"""The sensitivity matrix in small: on real hippocampi every claim is kept and reals pass."""

import numpy as np
import pytest
from nibabel import load

from benchmarks.sensitivity import FAULTS, REAL, TOGETHER, Sensitivity, claimed, degraded, sensitivity
from medsynth.evidence.claims import CLAIMS, MODES
from medsynth.evidence.measurements import fit_frame, measure
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import HaarPlan
from medsynth.metrics.splits import Split


def central(array, shape):
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


@pytest.mark.data
def test_on_hippocampi_every_claim_is_kept(test_data):
    images = []
    for path in sorted((test_data / "hippocampus" / "images").glob("*.nii.gz")):
        image = np.asarray(load(path).dataobj, dtype=np.float32)
        low, high = np.percentile(image, (0.5, 99.5))
        images.append(central(np.clip((image - low) / (high - low), 0, 1), (32, 48, 32)))
    pool = ImageSet(np.stack(images), None, np.arange(len(images)).astype(str))
    frame = fit_frame({"haar": HaarPlan()}, pool.take(np.arange(0, len(images), 2)), (1.0, 1.0, 1.0), {})
    found = sensitivity(pool, frame, 25, draws=3, splits=60, bar_draws=8)
    assert found.broken() == []
    assert found.rejected[TOGETHER][bad.BLUR].all()
    for fault in FAULTS:
        assert any(of[fault].mean() == 1 for key, of in found.rejected.items() if fault in claimed(key)), fault


def test_every_fault_is_claimed_by_a_check():
    claims = {fault for of in (CLAIMS, MODES) for faults in of.values() for fault in faults}
    assert set(FAULTS) <= claims


def test_a_claim_that_is_not_kept_is_named_and_so_are_reals_that_fail():
    row = {fault: np.ones(10, dtype=bool) for fault in FAULTS} | {REAL: np.zeros(10, dtype=bool)}
    assert Sensitivity({"MMD on haar": row}, 25, 100).broken() == []
    blind = row | {bad.BLUR: np.arange(10) < 7}
    assert Sensitivity({"MMD on haar": blind}, 25, 100).broken() == [f"MMD on haar catches {bad.BLUR} in 70% only"]
    alarmed = row | {REAL: np.arange(10) < 3}
    assert Sensitivity({"intensity": alarmed}, 25, 100).broken() == ["intensity rejects real draws in 30%"]


def test_a_dropped_mode_is_one_class_of_fresh_images():
    rng = np.random.default_rng(0)
    pool = ImageSet(rng.normal(size=(80, 8, 8)).astype(np.float32), None, np.arange(80).astype(str))
    frame = fit_frame({"haar": HaarPlan()}, pool, (1.0, 1.0), {})
    modes = np.where(np.arange(80) % 2 == 0, "a", "b")
    split = Split(np.arange(32), np.arange(32, 80))
    made = degraded(pool, measure(pool, frame), split, frame, 16, modes, 0)
    np.testing.assert_array_equal(made[bad.DROPPED].images, pool.images[0:32:2])
    assert {len(images.images) for images in made.values()} == {16}
    half = degraded(pool, measure(pool, frame), split, frame, 16, None, 0)[bad.DROPPED]
    assert len(np.unique(half.images.reshape(16, -1), axis=0)) == 16
