import dataclasses

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.radiomics.directions import half_neighbourhood
from medsynth.metrics.radiomics.discretise import FixedBinNumber, FixedBinWidth
from medsynth.metrics.radiomics.extractor import FEATURES, RadiomicsPlan, region_features
from medsynth.metrics.radiomics.glcm import cooccurrence_matrices
from medsynth.metrics.radiomics.glrlm import run_length_matrices


def blobs(shape, count=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(100, 20, (count, *shape)).astype(np.float32)
    labels = np.zeros(images.shape, dtype=np.uint8)
    labels[(slice(None), *[slice(2, -2)] * len(shape))] = 1
    labels[(slice(None), slice(3, 5), *[slice(3, -3)] * (len(shape) - 1))] = 2
    return ImageSet(images, labels, np.array([f"p{n}" for n in range(count)]))


@pytest.mark.parametrize("shape", [(12, 14), (10, 12, 9)])
def test_by_label_in_every_rank(shape):
    cases = blobs(shape)
    radiomics = RadiomicsPlan().fit(cases, (1.0,) * len(shape))
    features = radiomics(cases.images, cases.labels)
    assert features.shape == (8, len(radiomics.feature_names)) == (8, 2 * (len(FEATURES) + 1))
    assert np.isfinite(features).all()
    first = region_features(cases.images[0], cases.labels[0] == 2, (1.0,) * len(shape), FixedBinNumber())
    column = radiomics.feature_names.index("label 2: stat_mean")
    assert features[0, column] == pytest.approx(first["stat_mean"])
    np.testing.assert_allclose(radiomics(cases.images[3:4], cases.labels[3:4])[0], features[3])


def test_what_is_absent_is_the_training_median_and_says_so():
    cases = blobs((12, 14))
    radiomics = RadiomicsPlan().fit(cases, (1.0, 1.0))
    lost = cases.labels.copy()
    lost[0][lost[0] == 2] = 0
    features, whole = radiomics(cases.images, lost), radiomics(cases.images, cases.labels)
    names = radiomics.feature_names
    mean, present = names.index("label 2: stat_mean"), names.index("label 2: present")
    assert features[0, mean] == pytest.approx(np.median(whole[:, mean]))
    assert features[:, present].tolist() == [0, *[1] * 7]
    with pytest.raises(MedsynthError, match="no label maps"):
        radiomics(cases.images)


def test_the_foreground_where_there_are_no_labels():
    images = np.zeros((8, 12, 12))
    images[:, 3:9, 4:8] = 100 + np.random.default_rng(0).normal(0, 10, (8, 6, 4))
    radiomics = RadiomicsPlan().fit(ImageSet(images, None, np.arange(8).astype(str)), (1.0, 1.0))
    features = radiomics(images)
    assert features[:, radiomics.feature_names.index("foreground: morph_vol_approx")].tolist() == [24.0] * 8
    assert np.isfinite(radiomics(np.zeros((1, 12, 12)))).all()
    hu = RadiomicsPlan().fit(ImageSet(images - 1000, None, np.arange(8).astype(str)), (1.0, 1.0), units="HU")
    assert hu.cut == -500
    assert hu.discretisation == FixedBinWidth()
    assert radiomics.discretisation == FixedBinNumber(bins=32)


def test_the_hash_tells_settings_apart():
    cases = blobs((12, 14))
    radiomics = RadiomicsPlan().fit(cases, (1.0, 1.0))
    others = [
        RadiomicsPlan().fit(cases, (1.0, 2.0)),
        RadiomicsPlan(bins=16).fit(cases, (1.0, 1.0)),
        RadiomicsPlan(width=10).fit(cases, (1.0, 1.0)),
        RadiomicsPlan(labels=(1,)).fit(cases, (1.0, 1.0)),
        dataclasses.replace(radiomics, fill=radiomics.fill + 1),
    ]
    assert len({radiomics.sha256, *(other.sha256 for other in others)}) == 6
    assert RadiomicsPlan().fit(cases, (1.0, 1.0)).sha256 == radiomics.sha256


def test_levels():
    assert FixedBinNumber(bins=4)(np.array([0.0, 0.9, 1.0, 2.0, 3.9, 4.0])).tolist() == [1, 1, 2, 3, 4, 4]
    assert FixedBinNumber()(np.ones(3)).tolist() == [1, 1, 1]
    assert FixedBinWidth()(np.array([-2000.0, -1000, -975, 0, 3000])).tolist() == [1, 1, 2, 41, 160]
    with pytest.raises(MedsynthError, match="bins is 2"):
        FixedBinNumber(bins=1)
    with pytest.raises(MedsynthError, match="another width"):
        FixedBinWidth(width=0)
    with pytest.raises(MedsynthError, match="leave one out"):
        RadiomicsPlan(bins=32, width=25)
    with pytest.raises(MedsynthError, match="bins is 2"):
        RadiomicsPlan(bins=1)


def test_directions_of_every_rank():
    assert [len(half_neighbourhood(rank)) for rank in (1, 2, 3)] == [1, 4, 13]


def test_runs_hold_every_voxel_once_in_every_direction():
    levels = np.random.default_rng(1).integers(0, 4, (7, 5, 6))
    matrices = run_length_matrices(levels)
    lengths = np.arange(1, matrices.shape[2] + 1)
    np.testing.assert_array_equal((matrices * lengths).sum(axis=(1, 2)), (levels > 0).sum())


def test_pairs_of_a_checkerboard_differ_across_faces_and_not_across_corners():
    board = np.indices((6, 6)).sum(axis=0) % 2 + 1
    matrices = cooccurrence_matrices(board)
    for step, matrix in zip(half_neighbourhood(2), matrices, strict=True):
        same = np.trace(matrix) / matrix.sum()
        assert same == (1 if all(step) else 0)


def test_gain_and_offset_leave_textures_of_arbitrary_units_alone():
    cases = blobs((10, 12, 9), count=1)
    mask = cases.labels[0] == 1
    one, other = (
        region_features(image, mask, (1, 1, 1), FixedBinNumber())
        for image in (cases.images[0], cases.images[0] * 4 + 64)
    )
    for name in FEATURES:
        if name.startswith(("cm_", "rlm_", "ih_")):
            assert one[name] == pytest.approx(other[name])
