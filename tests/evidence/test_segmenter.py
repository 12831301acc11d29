"""The segmenter learns what is to be learnt, to the same bits, and judges what it should."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from monai.networks.utils import one_hot

from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.segmenter import dice_per_case, indexed, read_segmenter, train_segmenter
from medsynth.evidence.segmenter_check import CONSTANT, OTHER_MAPS, OTHER_SAMPLES, segmenter_lines
from medsynth.evidence.segmenter_pairs import Judged, Pair, dice_ratios

VALUES = (0, 1, 7)
NAMES = {0: "background", 1: "front", 7: "back"}


def pair(folders, count, seed, shape=(24, 20)):
    """Blobs of two labels at more varied places than other tests have them."""
    rng = np.random.default_rng(seed)
    images, labels = folders.blobs(count, seed, shape)
    moves = [tuple(rng.integers(-4, 5, len(shape))) for _ in range(count)]
    images, labels = (
        np.stack([np.roll(one, move, range(len(shape))) for one, move in zip(part, moves, strict=True)])
        for part in (images, labels)
    )
    x = torch.from_numpy(images)[:, None] / 127.5 - 1
    maps = np.where(labels == 2, 7, labels).astype(np.int32)
    return Pair(x, maps, np.array([f"{seed}-{row}" for row in range(count)]))


def train(taught, steps=40, **more):
    asked = {"values": VALUES, "steps": steps, "seed": 3, "augment": Augmenter(), "device": "cpu"}
    return train_segmenter(taught.x, taught.maps, **asked | more)


@pytest.fixture(scope="module")
def trained(folders):
    return train(pair(folders, 40, 0), steps=240)


@pytest.fixture(scope="module")
def held_out(folders):
    return pair(folders, 24, 1)


def by_label(segmenter, samples, real):
    return {line.subject: line for line in segmenter_lines(segmenter, samples, real, NAMES, 0)}


def test_it_finds_the_labels_of_others_by_their_values(trained, held_out):
    found = trained.predict(held_out.x)
    assert set(np.unique(found)) <= set(VALUES)
    for value in VALUES[1:]:
        assert dice_per_case(found, held_out.maps, value).mean() > 0.85


def test_good_samples_meet_the_bar_and_every_bad_case_misses_it(trained, held_out, folders):
    for line in by_label(trained, pair(folders, 16, 2), held_out).values():
        assert line.verdict == "met", line
        assert line.real_passes == 1
        assert set(line.controls) == {OTHER_MAPS, CONSTANT, OTHER_SAMPLES}
        assert max(line.controls.values()) < 0.5
        assert 0.5 < line.detail["ratio_of_reals_blurred"] < 1
        low, high = line.interval
        assert low <= line.value <= high


def test_samples_with_other_maps_or_without_content_miss_it(trained, held_out, folders):
    samples, rng = pair(folders, 16, 2), np.random.default_rng(0)
    for bad in (samples.other_maps(rng), samples.constant(), samples._replace(x=samples.x.roll(6, 2))):
        assert {line.verdict for line in by_label(trained, bad, held_out).values()} & {"missed"}
    without = samples._replace(maps=np.where(samples.maps == 7, 0, samples.maps))
    assert by_label(trained, without, held_out)["back"].verdict == "missed"
    assert "no synthetic label map" in by_label(trained, without, held_out)["back"].reason


def test_what_cannot_judge_says_so(held_out, folders):
    weak = train(pair(folders, 40, 0), steps=1)
    line = by_label(weak, pair(folders, 16, 2), held_out)["front"]
    assert line.verdict == "not measurable"
    assert "the segmenter finds the label" in line.reason


def test_too_few_held_out_or_like_maps_are_not_measurable(trained, held_out, folders):
    samples = pair(folders, 16, 2)
    line = by_label(trained, samples, held_out.take(np.arange(4)))["front"]
    assert (line.verdict, line.reason) == ("not measurable", "4 held-out real images have the label, 8 are needed")
    alike = samples._replace(x=samples.x[:1].expand_as(samples.x), maps=samples.maps[:1].repeat(16, 0))
    line = by_label(trained, alike, held_out)["front"]
    assert line.verdict == "not measurable"
    assert OTHER_SAMPLES in line.reason


def test_the_same_seed_gives_the_same_weights_and_files_keep_them(trained, folders, tmp_path):
    taught = pair(folders, 40, 0)
    before = torch.random.get_rng_state()
    assert train(taught).sha256 == train(taught).sha256
    assert torch.equal(torch.random.get_rng_state(), before)
    assert train(taught, seed=4).sha256 != train(taught).sha256
    trained.write(tmp_path / "s.ckpt")
    again = read_segmenter(tmp_path / "s.ckpt", 1, 2)
    assert again.sha256 == trained.sha256
    assert again.values == VALUES
    assert again.settings == trained.settings
    np.testing.assert_array_equal(again.predict(taught.x), trained.predict(taught.x))


def test_a_share_of_nothing_is_never_drawn(folders):
    """With all shares on the first half, what stands in the second changes nothing."""
    taught = pair(folders, 20, 0)
    shares = np.repeat((1.0, 0.0), 10)
    other = taught._replace(x=torch.cat([taught.x[:10], -taught.x[10:]]))
    first, second = (train(one, steps=5, shares=shares).sha256 for one in (taught, other))
    assert first == second
    assert train(other, steps=5).sha256 != train(taught, steps=5).sha256


def test_any_size_and_rank(folders):
    taught = pair(folders, 4, 0, (13, 10, 9))
    assert train(taught, steps=1).predict(taught.x).shape == (4, 13, 10, 9)


def test_dice_is_that_of_monai(held_out, trained):
    found = trained.predict(held_out.x)
    found[0], true = 1, held_out.maps.copy()
    true[1] = np.where(true[1] == 7, 0, true[1])
    wanted = compute_dice(
        *(one_hot(torch.from_numpy(indexed(one, VALUES))[:, None], 3) for one in (found, true)),
        include_background=False,
    )
    for row, value in enumerate(VALUES[1:]):
        np.testing.assert_allclose(dice_per_case(found, true, value), wanted[:, row], rtol=1e-6)
    assert np.isnan(dice_per_case(found, true, 7)[1])


def test_bad_input_gets_one_line(held_out):
    with pytest.raises(MedsynthError, match="24 and 3 given"):
        train(held_out._replace(maps=held_out.maps[:3]))
    with pytest.raises(MedsynthError, match="does not name"):
        train(held_out, values=(0, 1))
    with pytest.raises(MedsynthError, match="1 step"):
        train(held_out, steps=0)


def judged(dice, owners):
    return Judged(np.array(dice)[:, None], np.array(owners))


def test_a_shared_patients_share_is_exact():
    """Of patients on both sides the same are drawn: what they share cancels in the ratio."""
    rng = np.random.default_rng(0)
    own = rng.uniform(0.4, 0.95, 40)
    names = [f"p{number:02d}" for number in rng.permutation(40)]
    (found,) = dice_ratios(judged(0.88 * own, names), judged(own, names), 0)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.88, 0.88, 0.88), abs=1e-6)


def test_other_patients_are_drawn_apart():
    rng = np.random.default_rng(1)
    one, two = rng.uniform(0.4, 0.95, (2, 400))
    (found,) = dice_ratios(judged(one, [f"a{k}" for k in range(400)]), judged(two, [f"b{k}" for k in range(400)]), 0)
    spread = np.sqrt(one.var() / one.mean() ** 2 / 400 + two.var() / two.mean() ** 2 / 400)
    assert np.log(found.high / found.low) / (2 * 1.96) == pytest.approx(spread, rel=0.1)


def test_a_patients_further_images_narrow_nothing():
    rng = np.random.default_rng(2)
    one, two = rng.uniform(0.4, 0.95, (2, 50))
    names = [[f"{side}{k}" for k in range(50)] for side in "ab"]
    (single,) = dice_ratios(judged(one, names[0]), judged(two, names[1]), 0)
    (thrice,) = dice_ratios(judged(np.tile(one, 3), names[0] * 3), judged(two, names[1]), 0)
    assert thrice[:6] == pytest.approx(single[:6])
    assert (thrice.images, thrice.owners) == (150, 50)
