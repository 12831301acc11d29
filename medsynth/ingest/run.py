"""From a source of scans to a folder of cases: cases.jsonl, volumes/, refused.jsonl."""

import dataclasses
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from medsynth.errors import MedsynthError, UsageError
from medsynth.files import disk_errors, write_text
from medsynth.identity.pseudonym import Pseudonymiser, key_path, load_key, write_private
from medsynth.ingest.convert import Outcome, Task, convert, refuse
from medsynth.ingest.journal import Journal, fingerprint, sweep
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.plan import Found, PlannedCase
from medsynth.ingest.pool import in_processes
from medsynth.ingest.report import IngestReport, count_reasons
from medsynth.ingest.series_rule import SeriesRule, passed_over, table_of
from medsynth.ingest.settle import Settled, settle
from medsynth.records import CASES_FILE, write_records

REFUSED_FILE = "refused.jsonl"
_SECONDS_BETWEEN_LINES = 10.0


class _Advance(Protocol):
    def __call__(self) -> None:
        """One more case is done."""


def ingest(
    source: Path,
    out: Path,
    *,
    identity: str | None,
    layout: str = "auto",
    workers: int = 2,
    key: Path | None = None,
    licence: str | None = None,
    patient_pattern: str | None = None,
    modality: str | None = None,
    labels: Mapping[str, str] | None = None,
    series: SeriesRule | None = None,
    tilt: Literal["refuse", "resample"] = "refuse",
    progress: bool = True,
) -> IngestReport:
    """Find the scans in `source`, check them, write them as cases into `out`.

    `out` gets cases.jsonl, volumes/<case>/<channel>.nii.gz and, where a case was refused,
    refused.jsonl with the reason and the way out. It names no file, path or person of the
    source; which case is which file stands in a private list beside the key. A call that
    was stopped goes on where it was; a file that changed and a case that was refused are read anew.

    Args:
        source: folder of scans (DICOM, NIfTI, Decathlon, BIDS, PNG or JPEG), or a CSV.
        out: folder of cases.
        identity: "trust": you vouch that the scans name nobody; it is recorded.
        layout: one of `medsynth.ingest.layouts.LAYOUTS`.
        workers: processes.
        key: pseudonym key file, made on first use; default as `medsynth.identity.pseudonym.key_path`.
        licence: under which the scans came, recorded in each case.
        patient_pattern: regular expression whose one group, found in a file's path below
            `source`, is its patient.
        modality: DICOM code ("CT", "MR") of NIfTI images in the channel "image", which do not
            say it themselves; with CT they count as HU.
        labels: name of each value of the label maps, {"1": "liver"}, where the source names none;
            of DICOM SEG and RTSTRUCT, the structures that are wanted, by the names that they have there.
        series: which series of a DICOM tree become cases; None for all.
        tilt: DICOM series with gantry tilt: refuse, or resample onto a straight grid, which interpolates.
        progress: print what was found, a progress bar and the summary.

    Raises:
        MedsynthError: nothing to read, nothing accepted, `out` is another's, no disk space.
        UsageError: a value that is none of a key's.
    """
    _check(source, out, identity, workers)
    secret = key_path(key)
    pseudonymiser = Pseudonymiser(load_key(secret, out))
    console, errors = Console(quiet=not progress), Console(stderr=True, quiet=not progress)
    names = _named(labels)
    found = find_cases(
        source,
        layout=layout,
        patient_pattern=patient_pattern,
        modality=modality,
        workers=workers,
        series=series,
        labels=names,
    )
    console.print(f"found {found.text}", markup=False, soft_wrap=True)
    if found.seen:
        console.print(table_of(found.seen))
    if names:
        cases = [dataclasses.replace(plan, labels=plan.labels or names) for plan in found.cases]
        found = found._replace(cases=cases)
    if tilt != "refuse":
        found = found._replace(cases=[_tilted(plan, tilt) for plan in found.cases])
    settings: list[object] = [source.resolve().as_posix(), layout, patient_pattern, modality, licence, identity]
    settings += [sorted(names.items())] if names else []
    settings += [tilt] if tilt != "refuse" else []
    settings += [dataclasses.asdict(series)] if series not in (None, SeriesRule()) else []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        journal = Journal(out, _stamps(settings, pseudonymiser))
        if journal.resumed:
            errors.print("medsynth: the folder was begun by the same command: going on", soft_wrap=True)
        tasks, outcomes = _tasks(found, out, licence, pseudonymiser)
        sources = (
            secret.parent / "sources" / f"{hashlib.sha256(out.resolve().as_posix().encode()).hexdigest()[:16]}.jsonl"
        )
        _write_sources(sources, source, out, tasks)
        resumed = _convert_all(tasks, outcomes, journal, pseudonymiser, workers, console)
        settled = settle(outcomes)
        _write(out, settled)
    report = _report(found, settled, resumed, sources)
    report.print(console)
    return report


def _tilted(plan: PlannedCase, tilt: str) -> PlannedCase:
    return dataclasses.replace(plan, channels=tuple(dataclasses.replace(part, tilt=tilt) for part in plan.channels))


def _named(labels: Mapping[str, str] | None) -> dict[int, str]:
    try:
        names = {int(value): str(name) for value, name in (labels or {}).items()}
    except ValueError:
        names = {0: ""}
    if any(value < 1 or not name for value, name in names.items()):
        raise UsageError("labels gives a name to whole numbers above 0: labels={1: liver, 2: spleen}")
    return names


def _check(source: Path, out: Path, identity: str | None, workers: int) -> None:
    if identity != "trust":
        raise UsageError(
            "there is no identity gate yet that could clear the scans: say identity=trust when you vouch that they "
            "name nobody; it is recorded"
        )
    if workers < 1:
        raise UsageError("workers is 1 or more")
    if out.is_file():
        raise MedsynthError(f"out is a file: {out}; name a folder")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise MedsynthError("out lies inside source, and would be taken for scans by the next call; choose another out")
    if source.resolve().is_relative_to(out.resolve()):
        raise MedsynthError("source lies inside out; choose another out")


def _stamps(settings: Sequence[object], pseudonymiser: Pseudonymiser) -> dict[str, str]:
    """Digests of what the folder belongs to, nothing to anybody without the key; the source is first of `settings`."""
    return {
        "settings": pseudonymiser.digest("settings", json.dumps(settings)),
        "key": pseudonymiser.digest("key"),
        "source": pseudonymiser.digest("source", str(settings[0])),
    }


def _tasks(
    found: Found, out: Path, licence: str | None, pseudonymiser: Pseudonymiser
) -> tuple[dict[str, Task], dict[str, Outcome]]:
    """Tasks by case id, and the outcomes of cases that are refused before they are read."""
    tasks: dict[str, Task] = {}
    outcomes: dict[str, Outcome] = {}
    for plan in found.cases:
        patient = pseudonymiser.patient(plan.patient or f"file:{plan.source}")
        case = pseudonymiser.case(patient, plan.source)
        if case in tasks:
            number = sum(key.startswith(f"{case}-") for key in outcomes) + 2
            outcomes[f"{case}-{number}"] = refuse("the source names the same case twice; remove the second one")
            continue
        tasks[case] = Task(case, patient, plan, out, licence, "trusted")
    return tasks, outcomes


def _write_sources(path: Path, source: Path, out: Path, tasks: Mapping[str, Task]) -> None:
    head = {"source": source.resolve().as_posix(), "out": out.resolve().as_posix()}
    lines = [head]
    for case, task in tasks.items():
        first = task.plan.channels[0].paths[:1] if task.plan.channels else ()
        lines.append({"case": case, "source": task.plan.source, "file": first[0].as_posix() if first else ""})
    write_private(path, "".join(json.dumps(line) + "\n" for line in lines))


def _convert_all(
    tasks: Mapping[str, Task],
    outcomes: dict[str, Outcome],
    journal: Journal,
    pseudonymiser: Pseudonymiser,
    workers: int,
    console: Console,
) -> int:
    """Fill `outcomes`; returns how many an earlier call had done."""
    prints = {case: fingerprint(task, pseudonymiser) for case, task in tasks.items()}
    for case in tasks:
        known = journal.done(case, prints[case])
        if known is not None:
            outcomes[case] = known
    resumed = sum(case in outcomes for case in tasks)
    left = [task for case, task in tasks.items() if case not in outcomes]
    with _progress(Console(stderr=True, quiet=console.quiet), len(tasks), resumed) as advance:
        for index, outcome in in_processes(convert, left, workers):
            case = left[index].id
            journal.add(case, prints[case], outcome)
            outcomes[case] = outcome
            advance()
    return resumed


def _write(out: Path, settled: Settled) -> None:
    refusals = [
        {"case": case, "reason": outcome.reason, "way_out": outcome.way_out}
        for case, outcome in sorted(settled.refused.items())
    ]
    if refusals:
        write_text(out / REFUSED_FILE, "".join(json.dumps(line) + "\n" for line in refusals))
    else:
        (out / REFUSED_FILE).unlink(missing_ok=True)
    if not settled.records:
        (out / CASES_FILE).unlink(missing_ok=True)
        sweep(out, settled.records)
        reason, count = Counter(line["reason"] for line in refusals).most_common(1)[0]
        raise MedsynthError(
            f"none of the {len(refusals)} cases can be taken ({count} of them: {reason}); see {out / REFUSED_FILE}"
        )
    write_records(out / CASES_FILE, settled.records)
    sweep(out, settled.records)


def _report(found: Found, settled: Settled, resumed: int, sources: Path) -> IngestReport:
    labelled = sum(any(part.kind == "label" for part in one.channels.values()) for one in settled.records)
    return IngestReport(
        found=found.text,
        cases=len(settled.records),
        refused=len(settled.refused),
        aside=found.aside,
        passed=passed_over(found.seen),
        resumed=resumed,
        patients=len({record.patient for record in settled.records}),
        unlabelled=len(settled.records) - labelled if labelled else 0,
        presumed=sum(record.patient_source == "presumed" for record in settled.records),
        repeated=settled.repeated,
        joined=settled.joined,
        reasons=count_reasons([outcome.reason for outcome in settled.refused.values()]),
        sources=sources,
    )


@contextmanager
def _progress(console: Console, total: int, done: int) -> Iterator[_Advance]:
    """A bar with the time left on a terminal, a line now and then elsewhere."""
    if console.is_terminal and not console.quiet:
        columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("reading", total=total, completed=done)
            yield lambda: bar.advance(task)
        return
    start = shown = time.monotonic()
    count = done

    def advance() -> None:
        nonlocal count, shown
        count += 1
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES and count < total:
            shown = now
            left = (now - start) / (count - done) * (total - count)
            console.print(f"{count} of {total} cases, about {left / 60:.0f} min left", markup=False)

    yield advance
