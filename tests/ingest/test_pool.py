"""Worker processes end with the process that started them, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medsynth.ingest.pool import in_processes

WAITING = """
import os, sys, time
from pathlib import Path
from medsynth.ingest.pool import in_processes

def wait(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(0.1)

if __name__ == "__main__":
    for _ in in_processes(wait, [sys.argv[1]] * 10_000, workers=2):
        pass
"""


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and not yet collected by its new parent


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the state of a process is read from /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_of_a_killed_process_end(tmp_path, how):
    (tmp_path / "script.py").write_text(WAITING)
    (tmp_path / "workers").mkdir()
    process = subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path / "workers"])
    workers = []
    try:
        limit = time.monotonic() + 120
        while len(workers) < 2:
            assert time.monotonic() < limit
            assert process.poll() is None
            time.sleep(0.05)
            workers = [int(path.name) for path in (tmp_path / "workers").iterdir()]
        os.kill(process.pid, how)
        assert process.wait(60) == -how  # what a shell calls 128 + the signal
        limit = time.monotonic() + 30
        while any(alive(worker) for worker in workers):
            assert time.monotonic() < limit, "a worker outlived the command"
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
        for worker in filter(alive, workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_item_has_its_result(workers):
    assert dict(in_processes(abs, [-3, 2, -1], workers)) == {0: 3, 1: 2, 2: 1}
