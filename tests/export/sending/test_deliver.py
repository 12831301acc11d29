"""Rounds, waits and threads, over lines that do as they are told."""

import threading

import pytest

from medsynth.errors import MedsynthError
from medsynth.export.sending import deliver as module
from medsynth.export.sending.deliver import IN_A_ROW, deliver
from medsynth.export.sending.destinations import Pace
from medsynth.export.sending.items import Item
from medsynth.export.sending.lines import LineError
from medsynth.export.sending.outcomes import Outcome

SENT = Outcome("sent")
FULL = Outcome("again", "full")


def items(count):
    return [Item(f"{n:04d}.dcm", f"2.25.{n}", "ab", "2.25.0", "CT", "1.2", "1.2", False) for n in range(count)]


class Archive:
    """`answers`: outcome by item and number of the try; `opens`: errors of the first openings."""

    def __init__(self, answers=lambda item, tries: SENT, opens=()):
        self.answers, self.opens = answers, list(opens)
        self.tries: dict[str, int] = {}
        self.taken: list[str] = []
        self.lines = self.most = self.now = 0
        self.lock = threading.Lock()

    def line(self):
        self.lines += 1
        return self

    def open(self):
        with self.lock:
            if self.opens:
                raise self.opens.pop(0)

    def send(self, item, _):
        with self.lock:
            self.tries[item.path] = self.tries.get(item.path, 0) + 1
            answer = self.answers(item, self.tries[item.path])
            if isinstance(answer, Exception):
                raise answer
            if answer.state == "sent":
                self.taken.append(item.path)
            return answer

    def close(self):
        self.now -= 1


def run(archive, count, load=lambda item: None, **pace):
    told, waits = [], []
    left = deliver(
        items(count),
        archive.line,
        load,
        Pace(**{"wait": 0.01, "attempts": 3, "connections": 3, **pace}),
        lambda item, outcome: told.append((item.path, outcome.state)),
        lambda seconds, number: waits.append((round(seconds, 3), number)),
    )
    return [(item.path, why) for item, why in left], told, waits


def test_all_get_through_once():
    archive = Archive()
    left, told, waits = run(archive, 100)
    assert (left, waits) == ([], [])
    assert sorted(archive.taken) == [item.path for item in items(100)]
    assert sorted(path for path, _ in told) == sorted(archive.taken)
    assert archive.lines == 3


def test_what_fails_is_tried_again_alone():
    archive = Archive(lambda item, tries: FULL if item.path in ("0003.dcm", "0007.dcm") and tries < 3 else SENT)
    left, _, waits = run(archive, 10)
    assert left == []
    assert archive.tries["0003.dcm"] == 3
    assert archive.tries["0004.dcm"] == 1
    assert waits == [(0.01, 2), (0.01, 2)]


def test_it_ends_after_rounds_in_which_nothing_got_through_with_growing_waits():
    archive = Archive(lambda item, tries: FULL if item.path == "0001.dcm" else SENT)
    left, told, waits = run(archive, 4, attempts=4)
    assert left == [("0001.dcm", "full")]
    assert archive.tries["0001.dcm"] == 5  # one round with the others, four without
    assert waits == [(0.01, 1), (0.01, 1), (0.02, 1), (0.04, 1)]
    assert len(told) == 3


def test_a_wait_is_a_minute_at_most(monkeypatch):
    monkeypatch.setattr(module.threading.Event, "wait", lambda self, seconds=None: True)
    _, _, waits = run(Archive(lambda item, tries: FULL), 1, wait=40, attempts=4)
    assert [seconds for seconds, _ in waits] == [40, 60, 60]


def test_a_full_archive_is_not_asked_for_each():
    archive = Archive(lambda item, tries: FULL)
    left, _, _ = run(archive, 1000, attempts=2, connections=1)
    assert len(left) == 1000
    assert len(archive.tries) <= 2 * (IN_A_ROW + 2)
    assert sum(why == "not tried: full" for _, why in left) >= 1000 - 2 * (IN_A_ROW + 2)


def test_what_is_refused_is_not_tried_again():
    archive = Archive(lambda item, tries: Outcome("refused", "no SEG") if item.path == "0002.dcm" else SENT)
    left, told, waits = run(archive, 5)
    assert left == [("0002.dcm", "no SEG")]
    assert (archive.tries["0002.dcm"], waits) == (1, [])
    assert len(told) == 5


def test_where_it_is_closed_it_ends_at_once():
    archive = Archive(lambda item, tries: Outcome("closed", "no right"))
    left, _, waits = run(archive, 50, connections=1)
    assert len(left) == 50
    assert waits == []
    assert {why for _, why in left} == {"no right", "not tried: no right"}
    assert len(archive.tries) < 50


def test_a_line_that_does_not_open_leaves_its_object_to_the_others():
    left, _, _ = run(Archive(opens=[LineError("no more connections")] * 2), 20)
    assert left == []
    left, _, waits = run(Archive(opens=[LineError("no more connections")] * 100), 3)
    assert left == [(item.path, "not tried: no more connections") for item in items(3)]
    assert len(waits) == 2
    left, _, waits = run(Archive(opens=[LineError("rejected", closed=True)] * 100), 3)
    assert (len(left), waits) == (3, [])


def test_an_object_that_was_changed_stays():
    def load(item):
        if item.path == "0001.dcm":
            raise MedsynthError("it was changed")

    archive = Archive()
    left, _, _ = run(archive, 3, load)
    assert left == [("0001.dcm", "it was changed")]
    assert "0001.dcm" not in archive.tries


def test_a_bug_in_a_thread_comes_out():
    with pytest.raises(ZeroDivisionError):
        run(Archive(lambda item, tries: ZeroDivisionError()), 10)


def test_an_interrupt_ends_the_threads():
    def stop(item, outcome):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        deliver(items(500), Archive().line, lambda item: None, Pace(), stop, lambda seconds, left: None)
    assert threading.active_count() == before
