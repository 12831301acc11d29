"""Objects over several lines at once, round after round until they are through or nothing more gets through."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Pace
from medsynth.export.sending.items import Item, Loaded
from medsynth.export.sending.lines import Line, LineError
from medsynth.export.sending.outcomes import Outcome

IN_A_ROW = 8
"""Failures in a row, over all lines, that end a round: a full archive is not asked a thousand times."""
_LONGEST_WAIT = 60.0

Load = Callable[[Item], Loaded]
Tell = Callable[[Item, Outcome], None]


def deliver(
    items: Sequence[Item],
    line: Callable[[], Line],
    load: Load,
    pace: Pace,
    tell: Tell,
    waiting: Callable[[float, int], None],
) -> list[tuple[Item, str]]:
    """Send objects; what may work later is tried again in further rounds, with growing waits between them.

    A round after one in which nothing got through has one line. It ends when all are through or refused, or after
    `pace.attempts` rounds in a row in which nothing got through.

    Args:
        items: to be sent.
        line: makes a line for a thread.
        load: gives the object of an item; its MedsynthError keeps the object back.
        pace: how many lines, rounds and seconds.
        tell: is called in this thread for every object that is through or refused for good.
        waiting: is called before a wait with its seconds and the number of objects that are left.

    Returns:
        The objects that are not there, each with the reason, in their order.
    """
    order = {item.uid: number for number, item in enumerate(items)}
    failed: list[tuple[Item, str]] = []
    left = list(items)
    idle = 0
    while left:
        # After a round without success over one line: an archive that takes few may refuse all that come at once.
        found = _Round(left, line, load).run(1 if idle else pace.connections, tell)
        failed += found.refused
        left = sorted(found.left, key=lambda item: order[item.uid])
        idle = 0 if found.sent else idle + 1
        if left and (found.closed or idle >= pace.attempts):
            failed += [(item, found.left[item]) for item in left]
            break
        if left:
            seconds = min(pace.wait * 2.0 ** max(idle - 1, 0), _LONGEST_WAIT)
            waiting(seconds, len(left))
            threading.Event().wait(seconds)
    return sorted(failed, key=lambda one: order[one[0].uid])


@dataclass
class _Found:
    """What came of a round; `left` has a reason for each."""

    sent: int = 0
    closed: bool = False
    refused: list[tuple[Item, str]] = field(default_factory=list)
    left: dict[Item, str] = field(default_factory=dict)


class _Round:
    """Each object once, by as many threads as there are lines."""

    def __init__(self, items: Sequence[Item], line: Callable[[], Line], load: Load) -> None:
        self._line, self._load = line, load
        self._waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for item in items:
            self._waiting.put(item)
        self._count = len(items)
        self._told: queue.SimpleQueue[tuple[Item | None, Outcome | BaseException | None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._in_a_row = 0

    def run(self, connections: int, tell: Tell) -> _Found:
        threads = [
            threading.Thread(target=self._work, name=f"sending-{number}", daemon=True)
            for number in range(min(connections, self._count))
        ]
        for thread in threads:
            thread.start()
        try:
            return self._gather(len(threads), tell)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _gather(self, working: int, tell: Tell) -> _Found:
        found, reason = _Found(), ""
        while working:
            item, outcome = self._told.get()
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is None:
                working -= 1
                continue
            reason = outcome.said if outcome.state in ("again", "closed") else reason
            found.closed = found.closed or outcome.state == "closed"
            if item is None:  # a line that could not be opened
                continue
            if outcome.state in ("again", "closed"):
                found.left[item] = outcome.said
                continue
            found.sent += outcome.state == "sent"
            if outcome.state == "refused":
                found.refused.append((item, outcome.said))
            tell(item, outcome)
        while not self._waiting.empty():
            found.left[self._waiting.get()] = f"not tried: {reason}"
        return found

    def _tell(self, item: Item | None, outcome: Outcome) -> None:
        with self._lock:
            failed = outcome.state in ("again", "closed")
            self._in_a_row = self._in_a_row + 1 if failed else 0
            if outcome.state == "closed" or self._in_a_row >= IN_A_ROW:
                self._stop.set()
        self._told.put((item, outcome))

    def _work(self) -> None:
        line: Line | None = None
        try:
            line = self._line()
            while not self._stop.is_set():
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
                try:
                    loaded = self._load(item)
                except MedsynthError as error:
                    self._tell(item, Outcome("refused", str(error)))
                    continue
                try:
                    line.open()
                except LineError as error:
                    self._waiting.put(item)
                    self._tell(None, Outcome("closed" if error.closed else "again", str(error)))
                    break
                self._tell(item, line.send(item, loaded))
        except BaseException as error:
            self._told.put((None, error))
        finally:
            if line is not None:
                line.close()
            self._told.put((None, None))
