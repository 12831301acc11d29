"""From a source of scans to a folder of cases: cases.jsonl, volumes/, refused.jsonl."""

import dataclasses
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from medsynth.errors import MedsynthError, UsageError
from medsynth.files import disk_errors, write_text
from medsynth.identity.finding import KINDS
from medsynth.identity.known_identifiers import read_list
from medsynth.identity.pseudonym import Pseudonymiser, key_path, load_key, write_private
from medsynth.ingest.clearance import notes_of, write_clearance
from medsynth.ingest.convert import Outcome, Task, Terms, convert, refuse
from medsynth.ingest.gate import Gate, Policy
from medsynth.ingest.journal import Journal, fingerprint, sweep
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.looks import require_eyes
from medsynth.ingest.plan import Found, PlannedCase
from medsynth.ingest.pool import in_processes
from medsynth.ingest.progress import progress_of
from medsynth.ingest.report import IngestReport, count_reasons
from medsynth.ingest.series_rule import SeriesRule, passed_over, table_of
from medsynth.ingest.settle import Settled, settle
from medsynth.records import CASES_FILE, write_records

REFUSED_FILE = "refused.jsonl"
NO_KEY = Path("none")
"""As `key`: the pseudonyms come from a key that is thrown away."""


def ingest(
    source: Path,
    out: Path,
    *,
    identity: str | None,
    text: Policy = "refuse",
    faces: Policy = "refuse",
    known: Path | None = None,
    allow: Path | None = None,
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

    `out` gets cases.jsonl, volumes/<case>/<channel>.nii.gz, identity.json and, where a case was
    refused, refused.jsonl with the reason and the way out. It names no file, path or person of the
    source; which case is which file stands in a private list beside the key. A call that
    was stopped goes on where it was; a file that changed and a case that was refused are read anew.

    Args:
        source: folder of scans (DICOM, NIfTI, Decathlon, BIDS, PNG or JPEG), or a CSV.
        out: folder of cases.
        identity: "check", "remove" or "trust", see `medsynth.ingest.gate.Gate`.
        text, faces: what becomes of text in pictures and of faces, see there.
        known: text file of identifiers that must not occur, one a line.
        allow: text file of texts that are fine, one a line.
        layout: one of `medsynth.ingest.layouts.LAYOUTS`.
        workers: processes.
        key: pseudonym key file, made on first use; default as `medsynth.identity.pseudonym.key_path`. NO_KEY: a key
            that is thrown away, and no list of which case is which file; nothing can be gone on with or added then.
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
    _check(source, out, workers)
    known_texts, fine_texts = (tuple(read_list(path)) if path else () for path in (known, allow))
    if known and not known_texts:
        raise UsageError("known names a file without an identifier; write one a line, or leave known= out")
    gate = Gate(identity=identity or "", text=text, faces=faces, known=known_texts, allow=fine_texts)
    gate.require_clean_licence(licence)
    require_eyes(gate)
    secret = None if key == NO_KEY else key_path(key)
    pseudonymiser = Pseudonymiser(secrets.token_bytes(32) if secret is None else _key_of(secret, source, out))
    gate = dataclasses.replace(gate, marks=bytes.fromhex(pseudonymiser.digest("marks")))
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
    settings += [[text, faces, known_texts, fine_texts]] if gate.looks else []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        journal = Journal(out, _stamps(settings, pseudonymiser))
        if journal.resumed:
            errors.print("medsynth: the folder was begun by the same command: going on", soft_wrap=True)
        terms = Terms(out, licence, gate, source)
        tasks, outcomes = _tasks(found, terms, pseudonymiser)
        sources = None if secret is None else _write_sources(secret.parent / "sources", terms, tasks)
        resumed = _convert_all(tasks, outcomes, journal, pseudonymiser, workers, console)
        settled = settle(outcomes)
        write_clearance(out, gate, settled.records, outcomes)
        _write(out, settled)
    report = _report(found, settled, outcomes, resumed, sources)
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


def _key_of(path: Path, source: Path, out: Path) -> bytes:
    if not path.exists() and source.is_dir() and path.resolve().is_relative_to(source.resolve()):
        raise MedsynthError(f"the pseudonym key would be made inside {source}: give key= another place")
    return load_key(path, out)


def _check(source: Path, out: Path, workers: int) -> None:
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


def _tasks(found: Found, terms: Terms, pseudonymiser: Pseudonymiser) -> tuple[dict[str, Task], dict[str, Outcome]]:
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
        tasks[case] = Task(case, patient, plan, terms)
    return tasks, outcomes


def _write_sources(folder: Path, terms: Terms, tasks: Mapping[str, Task]) -> Path:
    """Which file each case id stands for, in a file of its own for each folder of cases."""
    source, out = (path.resolve().as_posix() for path in (terms.source, terms.out))
    path = folder / f"{hashlib.sha256(out.encode()).hexdigest()[:16]}.jsonl"
    lines = [{"source": source, "out": out}]
    for case, task in tasks.items():
        first = task.plan.channels[0].paths[:1] if task.plan.channels else ()
        lines.append({"case": case, "source": task.plan.source, "file": first[0].as_posix() if first else ""})
    write_private(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


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
    with progress_of(Console(stderr=True, quiet=console.quiet), len(tasks), resumed) as advance:
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


def _report(
    found: Found, settled: Settled, outcomes: Mapping[str, Outcome], resumed: int, sources: Path | None
) -> IngestReport:
    labelled = sum(any(part.kind == "label" for part in one.channels.values()) for one in settled.records)
    return IngestReport(
        found=found.text,
        cases=len(settled.records),
        cleared=sum(record.identity == "cleared" for record in settled.records),
        notes=Counter(
            f"{note.became}: {KINDS[note.kind]}"
            for found_in in notes_of(outcomes).values()
            for note in {note._replace(place="", mark="") for note in found_in if note.became != "refused"}
        ),
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
