"""Files and trees without identity: each instance anew, under names that are made of its new UIDs alone."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from medsynth.data.dicom_file import quiet, read_header
from medsynth.errors import MedsynthError, UnreadableError
from medsynth.files import disk_errors, write_bytes
from medsynth.identity.confidentiality import ALL_OPTIONS, Option
from medsynth.identity.pixels import Box
from medsynth.identity.pseudonym import Pseudonymiser, write_private
from medsynth.identity.removal import patient_of, remove_identity

T = TypeVar("T")
R = TypeVar("R")
FindBoxes = Callable[[Dataset], Sequence[Box]]
_PIXEL_DATA = 0x7FE00010


class InOrder(Protocol):
    """The same function over many items, (index, result) in any order; `medsynth.ingest.pool.in_processes` is one."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
        """Yield the results."""


def one_by_one(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """In this process, in order, whatever `workers` says."""
    del workers
    return ((index, function(item)) for index, item in enumerate(items))


class RemovalTask(NamedTuple):
    """One file to write anew; can be pickled when `find_boxes` can.

    Args:
        source: the file.
        out: folder that the file comes into.
        key: of the pseudonyms.
        options: of PS3.15 E.3.
        find_boxes: boxes of burned-in text of a data set with pixels; None: nobody looks. Where it fails the file is
            refused.
        patient: see `medsynth.identity.removal.remove_identity`.
    """

    source: Path
    out: Path
    key: bytes
    options: frozenset[Option] = ALL_OPTIONS
    find_boxes: FindBoxes | None = None
    patient: str | None = None


class Removed(NamedTuple):
    """What became of a file.

    Args:
        path: below `out`; None when refused.
        patient: real identity, which goes into the private list and nowhere else.
        pseudonym: of the patient.
        reason: why it was refused ("reason; way out"), "" otherwise.
    """

    path: str | None
    patient: str
    pseudonym: str
    reason: str


class TreeReport(NamedTuple):
    """Files written, patients among them, and how often each reason refused a file."""

    written: int
    patients: int
    refused: Mapping[str, int]


def remove_from_file(task: RemovalTask) -> Removed:
    """Write a file without identity to out/<pseudonym>/<study>/<series>/<instance>.dcm, the UIDs new ones.

    Raises:
        MedsynthError: the output cannot be written. What is wrong with the file itself is a reason.
    """
    names = Pseudonymiser(task.key)
    try:
        dataset = read_whole(task.source)
        with quiet():
            boxes = task.find_boxes(dataset) if task.find_boxes and "PixelData" in dataset else None
            identity = task.patient if task.patient is not None else patient_of(dataset)
        cleaned = remove_identity(dataset, names, patient=identity, boxes=boxes, options=task.options)
        relative = _name_of(cleaned)
        content = _as_bytes(cleaned)
    except UnreadableError as error:
        return Removed(None, "", "", str(error))
    except (MemoryError, RecursionError, OverflowError):
        return Removed(None, "", "", "the file asks for more memory than there is; exclude it")
    except MedsynthError:
        raise
    except Exception:  # values are parsed when first asked for, and broken ones fail in any way
        return Removed(None, "", "", "the file holds values that are not understood; export it again")
    write_bytes(task.out / relative, content)
    return Removed(relative, identity, names.patient(identity), "")


def _as_bytes(cleaned: Dataset) -> bytes:
    file = BytesIO()
    with quiet():
        pydicom.dcmwrite(file, cleaned, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return file.getvalue()


def _name_of(cleaned: Dataset) -> str:
    parts = [str(cleaned.get(tag) or "none") for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if not all(re.fullmatch(r"[0-9.]{1,64}|none", part) for part in parts):
        raise UnreadableError("the file has several UIDs where one is meant; export it again")
    return "/".join([str(cleaned.PatientID), *parts]) + ".dcm"


def read_whole(path: Path) -> FileDataset:
    """A DICOM file up to its pixels and no further: what stands behind them is not read.

    Raises:
        UnreadableError: see `medsynth.data.dicom_file.read_file`.
    """

    def behind(tag: BaseTag, vr: str | None, length: int) -> bool:
        del vr, length
        return bool(tag > _PIXEL_DATA)

    with quiet():
        read_header(path)  # refuses what opens to too much
        try:
            with path.open("rb") as file:
                return read_partial(file, stop_when=behind)
        except Exception:  # a parser fed with any bytes fails in any way
            raise UnreadableError("the file is cut short or is no DICOM; export it again") from None


def remove_from_tree(
    files: Sequence[Path],
    out: Path,
    key: bytes,
    *,
    options: frozenset[Option] = ALL_OPTIONS,
    find_boxes: FindBoxes | None = None,
    links: Path | None = None,
    workers: int = 1,
    each: InOrder = one_by_one,
) -> TreeReport:
    """Write files without identity into `out`.

    Args:
        files: DICOM files; what is none is refused and counted.
        out: folder for the new files.
        key: of the pseudonyms, as `medsynth.identity.pseudonym.load_key` gives it.
        options: of PS3.15 E.3.
        find_boxes: finds boxes of burned-in text; importable by its name where there are several processes.
        links: private list of patients and their pseudonyms, mode 600, added to where it exists; None: no such list.
        workers: processes.
        each: runs them; `medsynth.ingest.pool.in_processes` for several.

    Raises:
        MedsynthError: `links` would lie inside `out`, or the disk does not take the files.
    """
    if links is not None and links.resolve().is_relative_to(out.resolve()):
        raise MedsynthError(f"the list of patients would lie inside {out}: give it another place")
    tasks = [RemovalTask(path, out, key, options, find_boxes) for path in files]
    refused: Counter[str] = Counter()
    pairs: dict[str, str] = {}
    written: set[str] = set()
    for _, done in each(remove_from_file, tasks, workers):
        if done.path is None:
            refused[done.reason] += 1
        elif done.path in written:
            refused["an instance that came before, by its UID; remove the copy"] += 1
        else:
            written.add(done.path)
            pairs[done.patient] = done.pseudonym
    if links is not None:
        _add_links(links, pairs)
    return TreeReport(len(written), len(set(pairs.values())), dict(refused))


def _add_links(path: Path, pairs: Mapping[str, str]) -> None:
    """JSON Lines {"patient": real id, "pseudonym": its pseudonym}, readable by its owner alone."""
    with disk_errors(path):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        known = {line["patient"]: line["pseudonym"] for line in map(json.loads, lines)}
    except (ValueError, KeyError, TypeError):
        raise MedsynthError(f"{path} is no list of patients and pseudonyms; give it another place") from None
    known |= pairs
    text = "".join(json.dumps({"patient": one, "pseudonym": known[one]}) + "\n" for one in sorted(known))
    write_private(path, text)
