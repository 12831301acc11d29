"""Precision, recall, density and coverage: brute force by the papers' formulas, and sets of known overlap."""

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.prdc import neighbours, prdc, prdc_of_distances, squared_distances


def by_the_papers(fake, real, k):
    """Kynkaanniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 4 and 5, image by image."""
    gap = lambda a, b: float(np.sqrt(((a - b) ** 2).sum()))  # noqa: E731
    radius = lambda at, of: sorted(gap(of[at], other) for other in of)[k]  # noqa: E731  # the 0th is the image itself
    real_radii, fake_radii = ([radius(i, of) for i in range(len(of))] for of in (real, fake))
    n, m = len(fake), len(real)
    precision = sum(any(gap(f, r) <= q for r, q in zip(real, real_radii, strict=True)) for f in fake) / n
    recall = sum(any(gap(f, r) <= q for f, q in zip(fake, fake_radii, strict=True)) for r in real) / m
    density = sum(gap(f, r) <= q for f in fake for r, q in zip(real, real_radii, strict=True)) / (k * n)
    coverage = sum(any(gap(f, r) <= q for f in fake) for r, q in zip(real, real_radii, strict=True)) / m
    return precision, recall, density, coverage


@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_papers_formulas(k):
    rng = np.random.default_rng(k)
    fake, real = rng.normal(size=(30, 4)) * 0.8 + 0.5, rng.normal(size=(40, 4))
    found = prdc(fake, real, k=k)
    assert tuple(part.value for part in found[:4]) == pytest.approx(by_the_papers(fake, real, k))


def test_k_is_the_papers_five_at_equal_numbers_and_covers_95_in_100():
    assert neighbours(1000, 1000) == 5
    assert neighbours(64, 256) in (13, 14)
    assert neighbours(3, 3) == 2
    rng, covered = np.random.default_rng(0), []
    for _ in range(40):
        fake, real = rng.normal(size=(50, 3)), rng.normal(size=(200, 3))
        gaps = squared_distances(fake, real), squared_distances(fake, fake), squared_distances(real, real)
        covered.append(prdc_of_distances(*gaps, np.arange(50).astype(str), np.arange(200).astype(str)).coverage)
    assert 0.94 < np.mean(covered) < 0.98


def test_known_overlap():
    """Uniform squares that share half; balls on the rim reach beyond it by some percent of a side."""
    rng = np.random.default_rng(1)
    fake, real = rng.random((500, 2)) + np.array([0.5, 0]), rng.random((500, 2))
    found = prdc(fake, real)
    assert found.precision.value == pytest.approx(0.53, abs=0.06)
    assert found.recall.value == pytest.approx(0.53, abs=0.06)
    assert found.coverage.value == pytest.approx(0.5, abs=0.06)
    assert found.density.value == pytest.approx(0.5, abs=0.08)
    assert found.precision.low < 0.5 + 0.06
    assert found.precision.high > 0.5


def test_a_dropped_mode_costs_recall_and_coverage_and_a_foreign_one_precision_and_density():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 30
    both = np.concatenate([a[:100], b[:100]])
    dropped, foreign = prdc(a[100:], both), prdc(both, a[100:])
    assert (dropped.precision.value, foreign.precision.value) == (
        pytest.approx(1, abs=0.08),
        pytest.approx(0.5, abs=0.05),
    )
    assert (dropped.recall.value, foreign.recall.value) == (pytest.approx(0.5, abs=0.05), pytest.approx(1, abs=0.08))
    assert dropped.coverage.value == pytest.approx(0.5, abs=0.05)
    assert foreign.density.value == pytest.approx(0.5, abs=0.1)


def test_copies_of_one_image_cover_little():
    rng = np.random.default_rng(3)
    real = rng.normal(size=(100, 4))
    found = prdc(np.repeat(rng.normal(size=(1, 4)), 50, axis=0), real)
    assert found.recall.value < 0.02
    assert found.coverage.value < 0.7


def test_the_scans_of_one_patient_are_not_neighbours():
    """Ten scans of each of 12 patients, nearly alike: balls must reach to other patients."""
    rng = np.random.default_rng(4)
    real, fake = (np.repeat(rng.normal(size=(12, 2)), 10, axis=0) + 0.001 * rng.normal(size=(120, 2)) for _ in range(2))
    owners = [str(i // 10) for i in range(120)]
    assert prdc(fake, real).coverage.value < 0.1
    assert prdc(fake, real, synthetic_owners=owners, real_owners=owners).coverage.value > 0.3
    with pytest.raises(MedsynthError, match="two patients"):
        prdc(fake, real, real_owners=["one"] * 120)
