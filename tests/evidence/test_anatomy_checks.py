"""Bars of anatomy by hand-made tables, then bad cases of blobs in 2D and 3D, then real hippocampi."""

import numpy as np
import pytest

from medsynth.evidence.anatomy_checks import (
    LEVEL,
    HolesCheck,
    ShapeCheck,
    TogetherCheck,
    TouchingCheck,
    anatomy_checks,
    touching_shares,
)
from medsynth.evidence.measurements import Measured
from medsynth.metrics import controls as bad
from medsynth.metrics.anatomy import anatomy_table
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.label_controls import label_controls
from medsynth.metrics.splits import Sizes, patient_splits

LABELS = {1: "front", 2: "back"}


def measured(labels, owners=None):
    rows = len(labels)
    empty = np.zeros((rows, 1))
    owners = np.arange(rows).astype(str) if owners is None else owners
    table = anatomy_table(labels, tuple(LABELS), (1.0,) * (labels.ndim - 1))
    return Measured({}, empty, {}, owners, {None: empty}, table)


def by_key(pool, splits):
    return {f"{c.name}: {getattr(c, 'label', '')}".rstrip(": "): c for c in anatomy_checks(LABELS, pool, splits)}


@pytest.fixture(scope="module", params=[(24, 26), (16, 18, 14)], ids=["2d", "3d"])
def blobs(request, folders):
    labels = folders.blobs(150, 0, request.param)[1].astype(np.int32)
    pool = measured(labels[:120])
    return labels, pool, patient_splits(range(120), Sizes(30, 90), 100, np.random.default_rng(0))


def test_fresh_reals_are_seldom_outside(blobs, folders):
    """One in twenty by design; the bar itself is known from 120 reals only."""
    labels, pool, splits = blobs
    sets = [measured(folders.blobs(30, seed, labels.shape[1:])[1].astype(np.int32)) for seed in range(1, 9)]
    checks = by_key(pool, splits)
    missed = np.array([[check(one, pool).passed is not True for check in checks.values()] for one in sets])
    assert missed.mean() < 0.12


def test_every_bad_case_is_rejected_by_its_checks(blobs):
    labels, pool, splits = blobs
    checks, fresh = by_key(pool, splits), labels[120:]
    assert len(checks) == 2 * 4 + 4
    real = ImageSet(np.zeros(fresh.shape), fresh, np.arange(30).astype(str))
    cases = label_controls(real, tuple(LABELS), (1.0,) * (fresh.ndim - 1), np.random.default_rng(0))
    found = {name: measured(case.labels) for name, case in cases.items()}
    for key, check in checks.items():
        assert check.must_reject
        for name in check.must_reject:
            assert check(found[name], pool).passed is False, (key, name)


def test_real_draws_are_outside_a_bar_about_as_often_as_it_says(blobs):
    _, pool, splits = blobs
    for key, check in by_key(pool, splits).items():
        passed = [check(pool.take(split.first), pool.take(split.second)).passed for split in splits]
        assert 0.97 <= np.mean(passed) <= 1, key
        if isinstance(check, TogetherCheck):
            assert np.mean(passed) == pytest.approx(LEVEL, abs=0.005)


def test_what_is_worst_is_named_in_mm(blobs):
    labels, pool, splits = blobs
    moved = measured(np.roll(labels[120:], 3, axis=2))
    found = TogetherCheck(pool, splits, LABELS)(moved, pool)
    assert found.passed is False
    assert found.detail["worst"].endswith("axis 1")
    assert found.detail["worst_gap_mm"] == pytest.approx(3, abs=0.5)


def test_surfaces_by_ratio_and_means_beside(blobs):
    _, pool, splits = blobs
    larger = pool._replace(anatomy=pool.anatomy._replace(surface=1.2 * pool.anatomy.surface))
    found = ShapeCheck(1, "front", pool, splits)(larger, pool)
    assert found.value == pytest.approx(0.2)
    assert found.passed is False
    assert found.detail["synthetic_mean"] == pytest.approx(1.2 * found.detail["real_mean"])


def test_holes_below_the_bar_alone_count(blobs):
    _, pool, splits = blobs
    check = HolesCheck(1, "front", pool, splits)
    assert check.usual == 0
    holes = pool.anatomy.holes.copy()
    for count, passed in ((5, True), (9, False)):
        holes[:count, 0] = 1
        found = check(pool._replace(anatomy=pool.anatomy._replace(holes=holes.copy())), pool)
        assert found.value == pytest.approx(-count / 120)
        assert found.passed is passed


def test_labels_absent_in_samples_are_missed_and_in_reals_not_measured(blobs):
    labels, pool, splits = blobs
    without = measured(np.where(labels[120:] == 2, 0, labels[120:]))
    for key, check in by_key(pool, splits).items():
        if key.endswith("front") or key == "labels that touch":
            continue
        assert check(without, pool).passed is False, key
        assert "fewer than 8 synthetic" in check(without, pool).detail["reason"]
    bare = measured(np.where(labels[:120] == 2, 0, labels[:120]))
    for key, check in by_key(bare, splits).items():
        found = check(pool, bare)
        assert found.passed is None or key.endswith("front") or key in ("place", "labels that touch"), key


def test_labels_that_never_touch_have_a_bad_case_of_their_own(folders):
    labels = folders.blobs(60, 0, (24, 26))[1].astype(np.int32)
    labels[:, :, 10:17] = 0
    pool = measured(labels)
    splits = patient_splits(range(60), Sizes(20, 40), 40, np.random.default_rng(0))
    check = TouchingCheck(pool, splits, LABELS)
    assert touching_shares(pool.anatomy).tolist() == [0]
    assert check.must_reject == (bad.BRIDGED,)
    assert "shared border" not in by_key(pool, splits)
    real = ImageSet(np.zeros(labels[:20].shape), labels[:20], np.arange(20).astype(str))
    joined = label_controls(real, (1, 2), (1.0, 1.0), np.random.default_rng(0))[bad.BRIDGED]
    assert check(measured(labels[:20]), pool).passed
    assert check(measured(joined.labels), pool).passed is False


def test_no_maps_no_checks_and_one_label_no_pairs(blobs):
    _, pool, splits = blobs
    assert list(anatomy_checks({}, pool._replace(anatomy=None), splits)) == []
    names = [check.name for check in anatomy_checks({1: "front"}, pool, splits)]
    assert names == ["surface", "sphericity", "roughness", "holes", "place"]


@pytest.mark.data
def test_real_hippocampi_pass_and_their_bad_cases_do_not(test_data):
    from nibabel import load

    paths = sorted((test_data / "hippocampus" / "labels").glob("*.nii.gz"))[:120]
    labels = np.zeros((len(paths), 32, 48, 32), dtype=np.int32)
    for row, path in enumerate(paths):
        one = np.asarray(load(path).dataobj)[:32, :48, :32]
        labels[(row, *(slice(0, side) for side in one.shape))] = one
    pool, fresh = measured(labels[:96]), labels[96:]
    checks = by_key(pool, patient_splits(range(96), Sizes(24, 72), 100, np.random.default_rng(0)))
    perfect = measured(fresh)
    assert [key for key, check in checks.items() if check(perfect, pool).passed is not True][1:] == []
    real = ImageSet(np.zeros(fresh.shape), fresh, np.arange(24).astype(str))
    cases = label_controls(real, (1, 2), (1.0, 1.0, 1.0), np.random.default_rng(0))
    found = {name: measured(case.labels) for name, case in cases.items()}
    for key, check in checks.items():
        for name in check.must_reject:
            assert check(found[name], pool).passed is False, (key, name)
