"""The same function over many items, in processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from medsynth.errors import MedsynthError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """Yield (index of the item, result) as results come, which is in no fixed order.

    The processes end with this one, however it ends.

    Args:
        function: importable by its name; its results and errors can be pickled.
        items: can be pickled.
        workers: processes; with 1, or one item, all is done in this process, in order.

    Raises:
        MedsynthError: a process ended by itself.
    """
    if workers <= 1 or len(items) <= 1:
        yield from ((index, function(item)) for index, item in enumerate(items))
        return
    # spawn: a forked child of a process with threads (torch has some) can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), mp_context=context, initializer=_end_with_parent)
    waiting: dict[Future[R], int] = {}
    following = iter(range(len(items)))
    try:
        for index in following:
            waiting[pool.submit(function, items[index])] = index
            if len(waiting) >= 4 * workers:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)
    except BrokenProcessPool:
        raise MedsynthError(
            "a worker process ended by itself (out of memory, or the calling script lacks "
            '`if __name__ == "__main__":`); call again with workers=1, it goes on where it stopped'
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """A worker that waits for work does not see that its parent was killed (SIGTERM, SIGKILL): watch it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _finished(waiting: dict[Future[R], int]) -> Iterator[tuple[int, R]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()
