"""What a report cannot tell, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from medsynth.evidence.reporting.sources import Evidence, texts
from medsynth.evidence.reporting.verdicts import lines_of, name_of

_ALWAYS = (
    "No reader was asked. The numbers compare sets of scans; they do not say that any one scan is right.",
    "Sites and scanners are not recorded, so other hospitals, scanners and patients are not spoken for.",
)


def limits(evidence: Evidence) -> list[str]:
    """Sentences on everything that was not, or could not be, measured."""
    found = [*_sizes(evidence), *_not_measurable(evidence), *_let_through(evidence), *_missing(evidence)]
    notes = [
        note
        for part in (evidence.evaluation, evidence.audit, evidence.utility)
        if part is not None
        for note in texts(part.content.get("notes"))
    ]
    return list(dict.fromkeys([*found, *notes, *_identity(evidence), *_ALWAYS]))


def _where(group: str, channel: str = "") -> str:
    return ("All samples" if group == "all" else f"Class {group}") + (f", {channel}" if channel else "")


def _sizes(evidence: Evidence) -> Iterator[str]:
    for group in evidence.evaluation.content["groups"]:
        if group.get("reason"):
            yield f"{_where(group['name'])}: nothing was measured. {group['reason']}"
        else:
            yield (
                f"{_where(group['name'])}: {group['samples_used']} of {group['samples']} samples beside "
                f"{group['real_images']} real images of {group['real_patients']} patients. Faults smaller than what "
                "two groups of so many real patients differ by are not seen."
            )


def _not_measurable(evidence: Evidence) -> Iterator[str]:
    for line in lines_of(evidence.evaluation.content):
        if line["verdict"] == "not measurable":
            reason = f": {line['reason']}" if line.get("reason") else ""
            yield f"Not measurable: {name_of(line)} ({_where(line['group'], line['channel'])}){reason}."


def _let_through(evidence: Evidence) -> Iterator[str]:
    for group in evidence.evaluation.content["groups"]:
        for channel in group["channels"]:
            named = [control["name"] for control in channel["controls"] if control["verdict"] != "rejected"]
            if named:
                where = _where(group["name"], channel["name"])
                yield f"At this size these bad scans are not rejected ({where}): {', '.join(named)}."


def _missing(evidence: Evidence) -> Iterator[str]:
    if evidence.audit is None:
        yield "No audit is part of this report: copies of patients were not looked for."
    else:
        for name, part in evidence.audit.content.items():
            if isinstance(part, Mapping) and part.get("verdict") in ("cannot-assess", "cannot assess"):
                why = "; ".join(texts(part.get("reasons") or part.get("reason")))
                yield f"Audit, {name.replace('_', ' ')}: could not be assessed{f': {why}' if why else ''}."
            for what in texts(part.get("cannot_tell")) if isinstance(part, Mapping) else ():
                yield f"Audit, {name.replace('_', ' ')}, cannot tell: {what}."
    if evidence.utility is None:
        yield "Usefulness was not measured."
    elif not _same_samples(evidence):
        yield "Usefulness was measured with other samples of the same cases; that these are as useful is not shown."


def _same_samples(evidence: Evidence) -> bool:
    bound = next(bond.sha256 for bond in evidence.bonds if bond.what == "samples.jsonl")
    inputs = dict(evidence.utility.content.get("inputs") or {}) if evidence.utility else {}
    return bound in texts(inputs.get("samples_sha256"))


def _identity(evidence: Evidence) -> Iterator[str]:
    inputs: Mapping[str, Any] = evidence.evaluation.content["inputs"]
    audited = texts(evidence.audit.content.get("overrides")) if evidence.audit else []
    overrides = sorted({*texts(inputs.get("overrides")), *audited})
    if overrides:
        yield f"These gates were passed by an override: {', '.join(overrides)}."
    if any(state != "cleared" for state in texts(inputs.get("identity"))):
        yield "The identity of the training scans was not cleared by a check."
    info = dict((evidence.run or {}).get("info") or {})
    if info.get("patient_keys_presumed"):
        yield "Who is one patient was guessed for some training scans: two scans of one person may count as two."
