"""Broken and ill-meaning DICOM and NIfTI files: nothing crashes, hangs, raises or truncates without a word.

`python benchmarks/mutated_files.py [--count 2000] [--seed 0] [--data FOLDER]` changes whole files in one way each
and gives them to the conversion of `medsynth ingest`, to the identity check and, where they are DICOM, to the removal
of identity, in a process with limits of memory and time. A reader may give the voxels of the whole file, other voxels
as many as the header states, or a refusal of one line. Five readers that are wrong on purpose show that each fault is
seen. `--data` names a folder of real scans, whose DICOM and NIfTI files are then among those that are changed.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from mutated_seeds import Seed, real_dicom, real_nifti, shipped_dicom, shipped_nifti
from mutated_truth import same_as_whole, stated
from numpy.typing import NDArray

from medsynth.identity.check import Checker
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from medsynth.ingest.convert import Task, Terms, convert
from medsynth.ingest.gate import Gate
from medsynth.ingest.plan import PlannedCase, PlannedChannel

MEMORY = 4 * 2**30
SECONDS = 60.0
"""Of the processor; by the clock ten times that, since other work may share the machine."""
FAULTS = ("raised", "hung", "crashed", "truncated", "said too much")
Reader = Callable[[Path, str, Path], "Read"]


class Read(NamedTuple):
    """Voxels, or the reason why there are none."""

    array: NDArray[Any] | None
    reason: str


class Result(NamedTuple):
    """What became of a file: "same", "changed", "refused" or a fault; and the operation and error of a fault."""

    kind: str
    detail: str = ""


def read(path: Path, kind: str, out: Path) -> Read:
    """Through the conversion of ingest."""
    channel = PlannedChannel(name="image", reader="dicom" if kind == "dicom" else "nifti", paths=(path,), modality="MR")
    plan = PlannedCase(source="x", patient="x", patient_source="dicom", channels=(channel,))
    done = convert(Task("c1", "p1", plan, Terms(out, None, Gate(identity="trust"), path.parent)))
    if done.record is None:
        return Read(None, f"{done.reason}; {done.way_out}")
    return Read(np.asanyarray(nib.load(out / done.record["channels"]["image"]["path"]).dataobj), "")


# Readers that are wrong on purpose


def truncating(path: Path, kind: str, out: Path) -> Read:
    found = read(path, kind, out)
    if found.array is not None:
        found.array.T.reshape(-1)[found.array.size // 2 :] = 0
    return found


def shortening(path: Path, kind: str, out: Path) -> Read:
    found = read(path, kind, out)
    return found if found.array is None else Read(found.array[..., : max(found.array.shape[-1] // 2, 1)], "")


def hanging(*_: object) -> Read:
    while True:
        pass


def raising(*_: object) -> Read:
    raise KeyError("on purpose")


def crashing(*_: object) -> Read:
    os.kill(os.getpid(), signal.SIGKILL)


CONTROLS = {
    "half of the voxels zero": (truncating, "truncated"),
    "half of the voxels left out": (shortening, "truncated"),
    "never returns": (hanging, "hung"),
    "raises": (raising, "raised"),
    "ends the process": (crashing, "crashed"),
}


# In the worker


def judge(reader: Reader, path: Path, changed: Path, kind: str, whole: NDArray[Any] | None) -> Result:
    """All that is done with one file, and the first fault of it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        step = "read"
        try:
            found = reader(path, kind, Path(folder))
            result = _judged(found, path, kind, whole)
            if result.kind in FAULTS or reader is not read:
                return result
            step = "check"
            Checker().file(changed, PurePosixPath(changed.name))
            if kind == "dicom":
                step = "removal"
                removed = remove_from_file(RemovalTask(changed, Path(folder), bytes(32)))
                if removed.path is None and not _plain(removed.reason):
                    return Result("said too much", step)
        except BaseException as error:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            at = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
            return Result("raised", f"{step}: {type(error).__name__} {at}")
    return result


def _plain(reason: str) -> bool:
    return 10 < len(reason) < 300 and "\n" not in reason and "Traceback" not in reason


def _judged(found: Read, path: Path, kind: str, whole: NDArray[Any] | None) -> Result:
    if found.array is None:
        return Result("refused") if _plain(found.reason) else Result("said too much", "read")
    asked = stated(path, kind, whole)
    if asked is not None and found.array.size < asked.voxels:
        return Result("truncated", f"{found.array.size} of {asked.voxels} voxels")
    if asked is not None and asked.there < asked.voxels:
        return Result("truncated", f"the file holds {asked.there} of {asked.voxels} voxels")
    return Result(*same_as_whole(found.array, whole, asked.end if asked is not None else found.array.size))


def serve(pipe: Connection, reader: Reader, seconds: float, memory: int) -> None:
    """Judge files until the pipe closes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # what C libraries say of broken files
    while True:
        try:
            path, changed, kind, whole = pipe.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)  # ends the process
        result = judge(reader, path, changed, kind, whole)
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send(result)


class Worker:
    """A process that judges one file at a time, and another one where it does not come back."""

    def __init__(self, reader: Reader, seconds: float, memory: int = MEMORY) -> None:
        self._reader, self._seconds, self._memory = reader, seconds, memory
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, self._reader, self._seconds, self._memory), daemon=True
        )
        self._process.start()
        theirs.close()

    def judge(self, path: Path, changed: Path, kind: str, whole: NDArray[Any] | None) -> Result:
        """Its result, "hung" or "crashed"."""
        self._pipe.send((path, changed, kind, whole))
        result = Result("hung", f"more than {10 * self._seconds:g} s by the clock")
        try:
            if self._pipe.poll(10 * self._seconds):
                return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            late = self._process.exitcode == -signal.SIGPROF
            result = Result("hung", f"more than {self._seconds:g} s") if late else Result("crashed")
        self.close()
        self._start()
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


# The run


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files of a seed and give the one that a reader is given."""
    for ending, raw in files.items():
        (folder / f"x{ending}").write_bytes(raw)
    return folder / f"x{next(iter(files))}"


def whole_of(seed: Seed, folder: Path) -> NDArray[Any] | None:
    """The voxels of the file before it is changed; None where it is refused."""
    return read(put(folder, seed.files), seed.kind, folder / "whole").array


def run(
    seeds: Sequence[Seed],
    numbers: Sequence[int],
    seed: int,
    reader: Reader = read,
    seconds: float = SECONDS,
) -> list[tuple[Seed, str, Result]]:
    """Change a file for each number and judge it: its seed, the name of its change, and the result."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wholes = [whole_of(one, folder) for one in seeds]
        worker = Worker(reader, seconds)
        for number in numbers:
            random = Random(f"{seed} {number}")
            one = seeds[number % len(seeds)]
            change = one.mutations[(number // len(seeds)) % len(one.mutations)]
            files = {**one.files, one.changed: change(one.files[one.changed], random)}
            path = put(folder, files)
            result = worker.judge(path, folder / f"x{one.changed}", one.kind, wholes[number % len(seeds)])
            results.append((one, f"{change.__name__} #{number}", result))
            if len(results) % 200 == 0:
                print(f"{len(results)} files", file=sys.stderr, flush=True)
            if result.kind in FAULTS and reader is read:
                print(f"{result.kind}: {one.name}, {change.__name__} #{number}: {result.detail}", flush=True)
        worker.close()
    return results


def controls(seeds: Sequence[Seed], seconds: float = 3.0) -> dict[str, tuple[int, int]]:
    """For each wrong reader: how often its fault was seen, of how many files."""
    seen = {}
    readable = [one for one in seeds if one.name.endswith(("int16", "NIfTI-2"))][:2]
    for name, (reader, fault) in CONTROLS.items():
        unchanged = [one._replace(mutations=(_unchanged,)) for one in readable]
        results = [result for *_, result in run(unchanged, range(2), 0, reader, seconds)]
        seen[name] = (sum(result.kind == fault for result in results), len(results))
    return seen


def _unchanged(raw: bytes, _: Random) -> bytes:
    return raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first, to go on or to see one again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    seeds = [*shipped_dicom(), *shipped_nifti()]
    if chosen.data is not None:
        seeds += [*real_dicom(chosen.data), *real_nifti(chosen.data)]
    start = time.monotonic()
    found = run(seeds, range(chosen.first, chosen.first + chosen.count), chosen.seed)
    kinds = Counter(one.kind for one in seeds)
    print(f"{chosen.count} files, seed {chosen.seed}, of {kinds['dicom']} DICOM and {kinds['nifti']} NIfTI files")
    for kind in ("dicom", "nifti"):
        counts = Counter(result.kind for one, _, result in found if one.kind == kind)
        print(f"{kind}: " + ", ".join(f"{name} {counts[name]}" for name in ("same", "changed", "refused", *FAULTS)))
    for name, (seen, of) in controls(seeds).items():
        print(f"control, a reader that is wrong ({name}): seen in {seen} of {of}")
    print(f"{time.monotonic() - start:.0f} s")
    raise SystemExit(any(result.kind in FAULTS for *_, result in found))


if __name__ == "__main__":
    main()
