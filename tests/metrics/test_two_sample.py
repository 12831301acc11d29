"""The classifier test: its fits against scikit-learn, its p under the null, its power."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from medsynth.errors import MedsynthError
from medsynth.metrics.two_sample import classifier_test, cross_validated_scores, logistic_fits
from medsynth.metrics.weighted import auc


def test_fits_equal_scikit_learns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    design = np.concatenate([x, np.ones((60, 1))], axis=1)
    targets = (x[:, 0] + rng.normal(size=(3, 60)) > 0.4).astype(float)
    weights = (rng.random((3, 60)) < 0.8).astype(float)
    found = logistic_fits(design, targets, weights)
    for row in range(3):
        used = weights[row] > 0
        library = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=1000)
        library.fit(x[used], targets[row][used])
        np.testing.assert_allclose(found[row], [*library.coef_[0], *library.intercept_], rtol=1e-4, atol=1e-5)


def test_groups_that_can_be_parted_have_finite_fits():
    design = np.stack([np.r_[-np.ones(20), np.ones(20)] * 100, np.ones(40)], axis=1)
    found = logistic_fits(design, (np.arange(40) >= 20)[None].astype(float), np.ones((1, 40)))
    assert np.isfinite(found).all()
    assert found[0, 0] > 0


def test_auc_is_scikit_learns():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, 30), rng.integers(1, 7, 50)
    assert auc(a, b) == pytest.approx(roc_auc_score(np.r_[np.ones(30), np.zeros(50)], np.r_[a, b]))


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(2)
    found = [
        classifier_test(rng.normal(size=(20, 4)), rng.normal(size=(40, 4)), permutations=39, seed=k) for k in range(150)
    ]
    ps = np.array([one.p for one in found])
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert (ps <= 0.05).mean() < 0.12
    assert abs(np.mean([one.value for one in found]) - 0.5) < 0.05


def test_power_at_25():
    rng = np.random.default_rng(3)
    hit = [
        classifier_test(rng.normal(size=(25, 8)) + 0.5, rng.normal(size=(50, 8)), permutations=39, seed=k).p <= 0.05
        for k in range(40)
    ]
    assert np.mean(hit) >= 0.9


def test_no_score_comes_from_a_classifier_that_saw_the_patient():
    """Features that name the patient and say nothing else: told by image they part the groups, by patient not."""
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(24, 40))
    images = np.repeat(centres, 6, axis=0) + 0.01 * rng.normal(size=(144, 40))
    first = (np.arange(144) < 72)[None]
    used = np.ones((1, 144), dtype=bool)
    owners = np.array([str(i // 6) for i in range(144)])
    by_image = cross_validated_scores(images, first, used, np.arange(144).astype(str))[0]
    by_patient = cross_validated_scores(images, first, used, owners)[0]
    assert auc(by_image[first[0]], by_image[~first[0]]) > 0.95
    assert auc(by_patient[first[0]], by_patient[~first[0]]) < 0.8


def test_patients_stay_together_in_permutations():
    rng, alarms = np.random.default_rng(5), 0
    for k in range(30):
        images = np.repeat(rng.normal(size=(24, 4)), 5, axis=0) + 0.05 * rng.normal(size=(120, 4))
        owners = [str(i // 5) for i in range(60)]
        test = classifier_test(images[:60], images[60:], permutations=39, seed=k, x_owners=owners, y_owners=owners)
        alarms += test.p <= 0.05
    assert alarms <= 5


def test_too_few_patients_are_refused():
    with pytest.raises(MedsynthError, match="10 patients"):
        classifier_test(np.zeros((4, 2)), np.zeros((4, 2)))
