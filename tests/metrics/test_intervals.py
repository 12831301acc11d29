import numpy as np
import pytest

from medsynth.metrics.intervals import around, jackknife_error, owners_or_rows, share_interval


def test_error_of_a_difference_of_means_is_the_textbooks():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=30), rng.normal(size=20)
    error = jackknife_error(
        lambda a, b: x[a].mean() - y[b].mean(), np.arange(30).astype(str), np.arange(20).astype(str)
    )
    assert error == pytest.approx(np.sqrt(x.var(ddof=1) / 30 + y.var(ddof=1) / 20))
    assert around(1.0, 0.5)[1:] == pytest.approx((0.02, 1.98), abs=1e-3)


def test_blocks_and_owners():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=100), 3)
    owners = np.repeat(np.arange(100), 3).astype(str)
    nothing = np.array([""])
    one_by_one, in_blocks, by_image = (
        jackknife_error(lambda a, _: values[a].mean(), names, nothing, blocks=blocks)
        for names, blocks in ((owners, 100), (owners, 20), (np.arange(300).astype(str), 300))
    )
    assert in_blocks == pytest.approx(one_by_one, rel=0.35)
    assert one_by_one == pytest.approx(np.sqrt(3) * by_image, rel=0.02)


def test_shares_keep_an_interval_at_their_ends():
    # Newcombe 1998, table I, method 3: 0 of 20 and 81 of 263
    assert share_interval(0, 0, 20)[1:] == pytest.approx((0, 0.1611), abs=5e-5)
    share = 81 / 263
    assert share_interval(share, np.sqrt(share * (1 - share) / 263), 263)[1:] == pytest.approx(
        (0.2553, 0.3662), abs=5e-5
    )
    wide, narrow = share_interval(0.5, 0.1, 400), share_interval(0.5, 0.05, 400)
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_owners_are_as_many_as_images():
    assert owners_or_rows(None, 2).tolist() == ["0", "1"]
    with pytest.raises(ValueError, match="3 owners"):
        owners_or_rows(["a", "b", "c"], 2)
