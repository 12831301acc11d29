"""What stands out among simulated scores: copies, and whether the rest is fit to be shared."""

import numpy as np
import pytest

from medsynth.evidence.audit.plan import CopyBars
from medsynth.evidence.audit.search import Rows, Searched, alarm, find, stand_in, without

BARS = CopyBars()


def searched(copies: int = 0, nearer: int = 0, samples: int = 100, seed: int = 0) -> Searched:
    """100 training and 50 held-out patients; of the samples some are copies, some a little nearer to training."""
    rng = np.random.default_rng(seed)
    patients = np.arange(150)
    scores = rng.normal(size=(samples + 150, 1, 150))
    scores[np.arange(copies), 0, np.arange(copies)] += 15
    scores[np.arange(copies, copies + nearer), 0, 0] += 4
    excluded = np.zeros((samples + 150, 150), dtype=bool)
    excluded[samples + patients, patients] = True
    rows = Rows(np.arange(samples), np.arange(0), samples + patients)
    nothing = np.array([], dtype=str)
    return Searched({"whole": scores}, excluded, patients < 100, rows, nothing, np.arange(0), patients, [])


def test_copies_are_flagged_and_do_not_speak_against_the_others() -> None:
    """With 20 copies of 100, the 80 others are as any real patients are, and the count is of them."""
    found = find(searched(copies=20), BARS)
    assert set(np.flatnonzero(found.flagged)) == set(range(20))
    assert found.tail.of == 80
    assert found.tail.p > BARS.false_alarms
    assert (found.families["whole"].samples.nearest[:20] == np.arange(20)).all()


def test_many_that_are_a_little_nearer_fail_by_their_count() -> None:
    found = find(searched(nearer=40), BARS)
    assert found.tail.p < BARS.false_alarms / 2
    assert found.flagged.sum() <= 2


def test_a_set_of_copies_alone_leaves_none_to_count() -> None:
    found = find(searched(copies=10, samples=10), BARS)
    assert found.flagged.all()
    assert (found.tail.above, found.tail.of, found.tail.p) == (0, 0, 1.0)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_sets_of_real_patients_raise_an_alarm_as_rarely_as_said(share) -> None:
    rng = np.random.default_rng(1)
    alarms = []
    for seed in range(60):
        whole = searched(samples=0, seed=seed)
        held_out = np.flatnonzero(~whole.training)
        alarms.append(alarm(find(stand_in(whole, rng.permutation(held_out)[: int(share * 50)]), BARS), BARS))
    assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


def test_references_that_are_left_out_are_gone_for_everybody() -> None:
    left = without(searched(copies=5), np.arange(150) < 5)
    assert left.training.sum() == 95
    assert left.scores["whole"].shape == (250, 1, 145)
    assert not find(left, BARS).flagged[:5].any()
