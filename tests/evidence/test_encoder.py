import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsynth.errors import MedsynthError
from medsynth.evidence.encoder import EncoderPlan, _rows, _view, vicreg_loss
from medsynth.metrics.controls import ImageSet
from medsynth.models.sealed import read_sealed, write_sealed

PLAN = EncoderPlan(steps=400, batch=32, widths=(6, 12, 24), embedding=32, gain=0.2, hidden=0.2, device="cpu")


def textures(count, seed, shape=(32, 32)):
    """Every owner has a pattern of their own coarseness and contrast: what a view of it keeps."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.6, 3), mode="wrap")
        images.append(100 + rng.uniform(10, 40) * field / field.std())
    return ImageSet(np.stack(images).astype(np.float32), None, np.array([f"p{n}" for n in range(count)]))


@pytest.fixture(scope="module")
def training():
    return textures(48, 0)


@pytest.fixture(scope="module")
def trained(training, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return PLAN.fit(training, (1.0, 1.0), cache=cache), cache


def test_loss_of_known_embeddings():
    torch.manual_seed(0)
    z = torch.linalg.qr(torch.randn(64, 8) - torch.randn(64, 8).mean(0)).Q
    white = (z - z.mean(0)) / (z - z.mean(0)).std(0)
    terms = vicreg_loss(2 * white, 2 * white)
    assert terms.invariance == 0
    assert terms.variance == 0
    collapsed = vicreg_loss(torch.ones(8, 4), torch.ones(8, 4))
    assert collapsed.variance == pytest.approx(0.99, abs=1e-3)
    assert collapsed.covariance == 0
    same = torch.randn(512, 1).expand(-1, 3)
    variance = float(same[:, 0].var())
    assert float(vicreg_loss(same, same).covariance) == pytest.approx(2 * 6 * variance**2 / 3, rel=1e-4)


def nearest_to_itself(extractor, cases, seed=5):
    """Share of the images of which one view is nearest to the other view of the same image."""
    chance = np.random.default_rng(seed)
    plan = dataclasses.replace(PLAN, hidden=0.0)
    x = torch.from_numpy(cases.images)[:, None]
    first, second = (extractor(_view(x, plan, chance)[:, 0].numpy()) for _ in range(2))
    centre, spread = first.mean(0), first.std(0) + 1e-6
    apart = np.linalg.norm(((first - centre) / spread)[:, None] - ((second - centre) / spread)[None], axis=-1)
    return float((apart.argmin(axis=1) == np.arange(len(apart))).mean())


def test_training_is_worth_something_on_images_it_never_saw(training, trained):
    untrained = dataclasses.replace(PLAN, steps=0, part="embedding").fit(training, (1.0, 1.0))
    assert untrained.name == "vicreg_encoder_v1, untrained, embedding"
    fresh = textures(96, 1)
    # The same training, the part that the loss looked at: from the cache of the other.
    encoder = dataclasses.replace(PLAN, part="embedding").fit(training, (1.0, 1.0), cache=trained[1])
    assert encoder.weights_sha256 == trained[0].weights_sha256
    assert nearest_to_itself(encoder, fresh) > nearest_to_itself(untrained, fresh) + 0.1


def test_the_same_seed_gives_the_same_bits_and_another_others(training, trained):
    short = dataclasses.replace(PLAN, steps=8)
    first, again, other = (short.fit(training, (1.0, 1.0), seed=seed) for seed in (0, 0, 1))
    assert again.weights_sha256 == first.weights_sha256 != other.weights_sha256
    assert again.sha256 == first.sha256 != trained[0].sha256


def test_training_leaves_the_callers_chance_alone(training):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    dataclasses.replace(PLAN, steps=1).fit(training, (1.0, 1.0))
    assert torch.rand(1) == expected


def test_the_cache_is_for_the_same_training_alone(training, trained, monkeypatch, tmp_path):
    encoder, cache = trained[0], Path(shutil.copytree(trained[1], tmp_path / "cache"))
    (file,) = cache.iterdir()
    monkeypatch.setattr("medsynth.evidence.encoder.train_encoder", lambda *_, **__: pytest.fail("trained again"))
    assert PLAN.fit(training, (1.0, 1.0), cache=cache).sha256 == encoder.sha256
    others = [
        lambda: PLAN.fit(training, (1.0, 1.0), cache=cache, seed=1),
        lambda: PLAN.fit(training.take(np.arange(40)), (1.0, 1.0), cache=cache),
        lambda: PLAN.fit(training._replace(images=training.images + 1), (1.0, 1.0), cache=cache),
        lambda: dataclasses.replace(PLAN, rate=1e-4).fit(training, (1.0, 1.0), cache=cache),
    ]
    for other in others:
        with pytest.raises(pytest.fail.Exception):
            other()
    content = read_sealed(file).content
    write_sealed(file, {**content, "record": {**content["record"], "seed": 9}})  # a file of another training, renamed
    with pytest.raises(pytest.fail.Exception):
        PLAN.fit(training, (1.0, 1.0), cache=cache)
    write_sealed(file, content)
    assert PLAN.fit(training, (1.0, 1.0), cache=cache).sha256 == encoder.sha256
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(pytest.fail.Exception):
        PLAN.fit(training, (1.0, 1.0), cache=cache)


def test_what_is_recorded_names_no_patient(training, trained):
    record = trained[0].record
    assert record["patients"] == record["images"] == 48
    assert record["settings"]["steps"] == 400
    assert "p1" not in str(record)
    other = dataclasses.replace(PLAN, steps=0).fit(training.take(np.arange(40)), (1.0, 1.0))
    assert other.record["patients_sha256"] != record["patients_sha256"]


def test_parts_stand_side_by_side(training, trained):
    parts = [
        dataclasses.replace(PLAN, part=part).fit(training, (1.0, 1.0), cache=trained[1])
        for part in ("levels", "embedding")
    ]
    found = [part(training.images[:4]) for part in parts]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), trained[0](training.images[:4]))
    assert len({part.sha256 for part in parts} | {trained[0].sha256}) == 3


def test_features_do_not_depend_on_the_batch(training, trained):
    encoder = trained[0]
    np.testing.assert_allclose(encoder(training.images[20:21])[0], encoder(training.images)[20], rtol=1e-4, atol=1e-5)
    with pytest.raises(MedsynthError, match="in 2D, these images are in 3D"):
        encoder(np.zeros((2, 8, 8, 8)))


def test_a_batch_holds_a_patient_once():
    owners = np.array(["a", "a", "b", "c", "c", "c", "d"])
    for seed in range(20):
        rows = _rows(owners, 16, np.random.default_rng(seed))
        assert sorted(owners[rows]) == ["a", "b", "c", "d"]
        assert len(_rows(owners, 2, np.random.default_rng(seed))) == 2


def test_views_are_voxels_of_the_image():
    x = torch.arange(2 * 12 * 10, dtype=torch.float32).view(2, 1, 12, 10)
    view = _view(x, dataclasses.replace(PLAN, gain=0.0, hidden=0.0), np.random.default_rng(0))
    assert view.shape == (2, 1, 9, 8)
    assert np.isin(view.numpy(), x.numpy()).all()


def test_a_volume_trains_too():
    cases = textures(16, 2, (10, 12, 8))
    encoder = dataclasses.replace(PLAN, steps=2, widths=(4, 8)).fit(cases, (1.0, 1.0, 1.0))
    assert encoder(cases.images).shape == (16, 24 + 32)


def test_refuses_what_trains_nothing(training):
    with pytest.raises(MedsynthError, match="at least 16"):
        PLAN.fit(training.take(np.arange(15)), (1.0, 1.0))
    with pytest.raises(MedsynthError, match="crop"):
        EncoderPlan(crop=0)
    with pytest.raises(MedsynthError, match="steps"):
        EncoderPlan(steps=-1)
