"""Audit a folder of samples: are they copies of training patients, does their model tell who was trained on?"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medsynth.audit_record import AUDIT_FILE, NEAREST_FILE, PAIRS_FILE, AuditRecord, write_audit
from medsynth.data.preparation import Preparation
from medsynth.data.prepared import default_cache
from medsynth.data.progress import progress_bar
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError, RunError
from medsynth.evidence.audit.attack import attack, read_patients
from medsynth.evidence.audit.material import OTHER_CASES, Material, are_its_cases, load_material, read_folder
from medsynth.evidence.audit.pairs import NEAREST_FOLDER, PAIRS_FOLDER, draw, lay, most_telling, nearest, suspected
from medsynth.evidence.audit.plan import AuditPlan, CopyBars, MembershipPlan
from medsynth.evidence.audit.report import audit_json, copies_json, finite, sample_rows
from medsynth.evidence.audit.search import Found, false_alarms, find, found_by_kind, search
from medsynth.evidence.audit.verdict import Judged, judge_copies, judge_membership, judge_samples, overall, p_said
from medsynth.evidence.device import chosen_device
from medsynth.files import sha256_file, write_text
from medsynth.metrics.correlation import Searcher, SearchPlan
from medsynth.metrics.features import fit_features
from medsynth.metrics.planted import kinds
from medsynth.models.model import DiffusionModel
from medsynth.models.run import RUN_FILE, RunInfo, load_run, read_run
from medsynth.records import CASES_FILE, SAMPLES_FILE, CaseRecord, SampleRecord, read_records

PRESUMED, PRETRAINED, NO_MEMBERSHIP = "presumed=i_accept", "pretrained=i_accept", "membership=null"


@dataclass(frozen=True)
class Audit:
    """What came out: the record, and where it lies."""

    record: AuditRecord
    folder: Path

    @property
    def exit_code(self) -> int:
        """0 where everything passed, else 1: a script stops here."""
        return 0 if self.record.verdict == "pass" else 1

    @property
    def summary(self) -> str:
        """The verdict, the reasons, and the main numbers with their controls."""
        content = self.record.content
        lines = [f"  {reason}" for reason in self.record.reasons]
        copies, member = content["copies"], content["membership"]
        if copies:
            found = ", ".join(f"{one['kind']} {one['found']}/{one['of']}" for one in copies["controls"]["planted"])
            stand_ins = copies["controls"]["held_out_stand_ins"]
            lines += [
                f"  copies: {copies['flagged']} of {content['inputs']['samples']} samples flagged; "
                f"{copies['tail_count']['above']} in the tail ({p_said(copies['tail_count']['p'])}); a rate of "
                f"{copies['smallest_rate']:.1%} would have been seen",
                f"  planted copies found: {found}",
                f"  alarms over real held-out patients: {stand_ins['alarms']:.0%} of {stand_ins['draws']} draws",
            ]
        if member and "area" in member:
            area, known = member["area"], member["controls"]["remembering"]
            rates = ", ".join(
                f"{r['value']:.0%} ({r['low']:.0%} to {r['high']:.0%}) at {r['at']:.0%} false" for r in member["rates"]
            )
            lines.append(
                f"  membership: AUC {area['value']:.2f} ({area['low']:.2f} to {area['high']:.2f}); {rates}; "
                f"a denoiser that remembers: {known['value']:.2f}"
            )
        lines.append(f"verdict: {self.record.verdict}; see {self.folder / AUDIT_FILE}")
        return "\n".join(lines)


def audit(
    samples: Path,
    run: Path,
    cases: Path,
    out: Path,
    *,
    seed: int = 0,
    search: SearchPlan | None = None,
    copies: CopyBars | None = None,
    membership: MembershipPlan | None = None,
    presumed: Literal["i_accept"] | None = None,
    pretrained: Literal["i_accept"] | None = None,
    device: str = "auto",
    cache: Path | None = None,
    progress: bool = True,
) -> Audit:
    """Judge every sample, the set and the run; write audit.json, pictures of suspected pairs and pairs.jsonl.

    Args:
        samples: SAMPLES, as generate left it.
        run: RUN that made them.
        cases: CASES that the run was trained on.
        out: folder for the audit; its pictures show real scans.
        seed: of all chance; 0 or more.
        search: how thoroughly copies are looked for.
        copies: where the lines are drawn.
        membership: the attack on the run; None leaves it out, which is recorded as an override.
        presumed: "i_accept" takes guessed patient keys for patients; it is recorded.
        pretrained: "i_accept" leaves patients of an earlier run, that this one began with, unsearched; it is recorded.
        device: of the model: "auto", "cpu" or "cuda".
        cache: of prepared scans; None is the user's own.
        progress: show a bar on the terminal.

    Raises:
        MedsynthError: a folder that is not whole, samples of another run.
    """
    if seed < 0:
        raise MedsynthError("seed is 0 or more")
    plan = AuditPlan(search=search or SearchPlan(), copies=copies or CopyBars(), membership=membership)
    preparation, records = read_folder(samples, run)
    _, info = read_run(run)
    inputs = _inputs(samples, run, preparation, records)
    unknown, overrides, blocked = _open_questions(cases, preparation, info, plan.copies, presumed, pretrained)
    overrides += [] if membership else [NO_MEMBERSHIP]
    parts = [Judged("cannot-assess", tuple(unknown))] if unknown else []
    found, measured, rows = None, None, []
    untold = [False] * len(records)
    member = None
    if not blocked:
        with progress_bar(progress) as bar:
            material = load_material(samples, records, cases, preparation)
            untold = list(material.untold())
            found, judged, measured = _copies(material, plan, seed, out, bar)
            rows = sample_rows(found)
            parts.append(judged)
            if membership:
                member, judged = _membership(run, cases, preparation, records, membership, seed, device, cache, bar)
                parts.append(judged)
    parts = parts or [Judged("pass", ())]
    verdicts = judge_samples(records, found, untold, overall(parts, {}))
    content = audit_json(
        overall(parts, verdicts),
        verdicts,
        records,
        inputs=inputs | ({"real": _counts(cases, preparation)} if not blocked else {}),
        plan=plan,
        seed=seed,
        overrides=[*overrides, *(name for record in records for name in record.overrides)],
        copies=measured,
        rows=rows,
        membership=member,
    )
    content["overrides"] = sorted(set(content["overrides"]))
    return Audit(write_audit(out, content), out)


def _inputs(samples: Path, run: Path, preparation: Preparation, records: Sequence[SampleRecord]) -> dict[str, Any]:
    return {
        "samples_sha256": sha256_file(samples / SAMPLES_FILE),
        "run_sha256": sha256_file(run / RUN_FILE),
        "cases_sha256": preparation.cases_sha256,
        "preparation_sha256": preparation.sha256,
        "checkpoints": sorted({record.checkpoint for record in records}),
        "samples": len(records),
        "derived": sum(bool(record.parents) for record in records),
    }


def _counts(cases: Path, preparation: Preparation) -> dict[str, int]:
    splits = list(split_patients(read_records(cases / CASES_FILE, CaseRecord), preparation.split).values())
    return {"training_patients": splits.count("train"), "held_out_patients": len(splits) - splits.count("train")}


def _open_questions(
    cases: Path,
    preparation: Preparation,
    info: RunInfo,
    bars: CopyBars,
    presumed: str | None,
    pretrained: str | None,
) -> tuple[list[str], list[str], bool]:
    """What stands in the way of a verdict, which overrides were used, and whether nothing can be searched at all."""
    if not are_its_cases(cases, preparation):
        return [f"{OTHER_CASES}; name the folder of cases that it was trained with"], [], True
    unknown, overrides = [], []
    real = _counts(cases, preparation)
    if real["held_out_patients"] == 0:
        unknown.append("the run has no split by patient: no held-out patients show what chance does")
    elif min(real.values()) < bars.least_held_out:
        unknown.append(
            f"{real['held_out_patients']} held-out patients and {real['training_patients']} training patients; "
            f"{bars.least_held_out} of each are needed"
        )
    blocked = bool(unknown)
    records = read_records(cases / CASES_FILE, CaseRecord)
    guessed = sum(record.patient_source == "presumed" for record in records)
    if guessed and presumed is None:
        unknown.append(
            f"patient keys are presumed for {guessed} of {len(records)} cases: training and held-out may share a "
            f"patient; ingest with the patients' names for them, or say {PRESUMED}"
        )
    if info.training.get("init_from") and pretrained is None:
        unknown.append(
            f"the run began with another run, whose patients cannot be searched here; train anew, or say {PRETRAINED}"
        )
    overrides += [PRESUMED] if guessed and presumed else []
    overrides += [PRETRAINED] if info.training.get("init_from") and pretrained else []
    return unknown, overrides, blocked


def _copies(
    material: Material, plan: AuditPlan, seed: int, out: Path, bar: Any
) -> tuple[Found, Judged, dict[str, Any]]:
    total = len(material.samples) + plan.copies.planted * len(kinds(material.reals.ndim - 2))
    total += min(plan.copies.calibration, len(set(material.patients)))
    task = bar.add_task("searching for copies", total=total, note="")

    def step(done: int) -> None:
        bar.update(task, advance=done)

    bars = plan.copies
    searched = search(material, plan, seed, fit=fit_features, step=step)
    found = find(searched, bars)
    alarms = false_alarms(searched, found.twins, bars, seed)
    planted = found_by_kind(found, searched.kinds, bars.false_alarms / 2 / len(found.p))
    judged = judge_copies(found, planted, alarms, bars)
    searcher = Searcher(material.reals, material.spacing, plan.search)
    lines = []
    for folder, rows in ((PAIRS_FOLDER, suspected(found)), (NEAREST_FOLDER, nearest(found))):
        pairs = lay(rows, found, material, searcher)
        for pair, name in zip(pairs, draw(out / folder, pairs, material), strict=True):
            lines.append(
                {
                    "sample": material.records[pair.sample].id,
                    "case": str(material.cases[pair.real]),
                    "flagged": folder == PAIRS_FOLDER,
                    "search": pair.family,
                    "p": float(found.p[pair.sample]),
                    "correlation": pair.aligned.correlation,
                    "shift": list(pair.aligned.shift),
                    **pair.aligned.turn._asdict(),
                    "picture": f"{folder}/{name}",
                }
            )
    write_text(out / PAIRS_FILE, _as_lines(lines))
    every = ((record.id, *most_telling(found, row)) for row, record in enumerate(material.records))
    known = [
        {"sample": sample, "case": str(material.cases[real]), "search": name, "p": float(found.p[row])}
        for row, (sample, name, real) in enumerate(every)
    ]
    write_text(out / NEAREST_FILE, _as_lines(known))
    return found, judged, copies_json(found, searched, planted, judged, alarms, bars)


def _as_lines(lines: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(finite(line), sort_keys=True) + "\n" for line in lines)


def _membership(
    run: Path,
    cases: Path,
    preparation: Preparation,
    records: Sequence[SampleRecord],
    plan: MembershipPlan,
    seed: int,
    device: str,
    cache: Path | None,
    bar: Any,
) -> tuple[dict[str, Any], Judged]:
    """The attack's result and verdict; where there is no model to ask, why."""
    try:
        loaded = load_run(run, **_weights(records), device=str(chosen_device(device)))
    except RunError as error:
        return _unasked(f"membership: the run's model cannot be asked: {error}")
    model = loaded.model
    if not isinstance(model, DiffusionModel):
        return _unasked(
            f"membership: the run has no denoiser to ask; leave it out with {NO_MEMBERSHIP}, which is recorded"
        )
    if {record.checkpoint for record in records} != {loaded.checkpoint}:
        return _unasked("membership: the samples were made with other weights than the run's")
    patients = read_patients(model, cases, preparation, plan, cache or default_cache(), seed)
    task = bar.add_task("asking the model", total=len(patients.latents), note="")
    step: Callable[[int], None] = lambda done: bar.update(task, advance=done)  # noqa: E731
    try:
        result = attack(model, patients, plan, seed, step)
    except MedsynthError as error:
        return _unasked(str(error))
    judged = judge_membership(result, plan)
    return {"verdict": judged.verdict, **result}, judged


def _unasked(reason: str) -> tuple[dict[str, Any], Judged]:
    return {"verdict": "cannot-assess", "reason": reason}, Judged("cannot-assess", (reason,))


def _weights(records: Sequence[SampleRecord]) -> dict[str, Any]:
    """As the first sample says that it was made."""
    sampler = records[0].sampler
    found: dict[str, Any] = {"weights": sampler.get("weights") or "best"}
    return found | ({"ema": sampler["ema"]} if sampler.get("ema") is not None else {})
