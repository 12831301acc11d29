"""The finished folders that a report is made from, and whether they belong together."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medsynth.audit_record import audit_sha256
from medsynth.data.preparation import PREPARATION_FILE, Preparation
from medsynth.errors import MedsynthError
from medsynth.files import sha256_file
from medsynth.models.run import RUN_FILE
from medsynth.models.sealed import sealed_sha256
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

EVALUATION_FILE, AUDIT_FILE, UTILITY_FILE = "evaluation.json", "audit.json", "utility.json"
_VERSIONS = {
    EVALUATION_FILE: ("medsynth.evaluation/1", "medsynth.evaluation/2"),
    AUDIT_FILE: ("medsynth.audit/1",),
    UTILITY_FILE: ("medsynth.utility/1",),
}
_VERBS = {EVALUATION_FILE: "evaluate", AUDIT_FILE: "audit", UTILITY_FILE: "utility"}
_SAMPLES = "samples.jsonl"
_CASES = "cases"
_PREPARATION = "preparation"


class Found(NamedTuple):
    """One finished folder: where it lies and the content of its JSON file."""

    folder: Path
    content: Mapping[str, Any]


class Bond(NamedTuple):
    """A hash, what it is of, and which folders name it."""

    what: str
    sha256: str
    named_in: tuple[str, ...]


class Evidence(NamedTuple):
    """All that a report can know. `records` is empty and the others None where they were not given."""

    evaluation: Found
    audit: Found | None
    utility: Found | None
    records: Sequence[SampleRecord]
    preparation: Preparation | None
    run: Mapping[str, Any] | None
    bonds: tuple[Bond, ...]


def read_evidence(
    evaluation: Path, audit: Path | None, utility: Path | None, samples: Path | None, run: Path | None
) -> Evidence:
    """Read the folders and refuse those that do not belong together.

    Args:
        evaluation: EVALUATION; audit: AUDIT; utility: UTILITY; samples: SAMPLES; run: RUN.

    Raises:
        MedsynthError: a folder that is not whole or of another version; an evaluation and an audit of different
            samples; samples, cases or weights that are not those of the evaluation.
    """
    evaluated = _found(evaluation, EVALUATION_FILE)
    audited = _found(audit, AUDIT_FILE) if audit else None
    used = _found(utility, UTILITY_FILE) if utility else None
    records = read_records(samples / SAMPLES_FILE, SampleRecord) if samples else []
    preparation = Preparation.read(samples / PREPARATION_FILE) if samples else None
    described = _json(run, RUN_FILE, "train") if run else None
    hashes: list[tuple[str, str, Any]] = [
        (_SAMPLES, "evaluation", _of(evaluated, "samples_sha256")),
        (_CASES, "evaluation", _of(evaluated, "cases_sha256")),
        (_PREPARATION, "evaluation", _of(evaluated, "preparation_sha256")),
    ]
    if audited:
        hashes.append((_SAMPLES, "audit", _of(audited, "samples_sha256") or "none"))
        hashes.append((_CASES, "audit", _of(audited, "cases_sha256")))
    if used:
        hashes.append((_CASES, "utility", _of(used, "cases_sha256")))
    if samples and preparation:
        hashes.append((_SAMPLES, "samples", sha256_file(samples / SAMPLES_FILE)))
        hashes.append((_CASES, "samples", preparation.cases_sha256))
        hashes.append((_PREPARATION, "samples", preparation.sha256))
    if described is not None:
        hashes.append((_CASES, "run", dict(described.get("info") or {}).get("cases_sha256")))
    bonds = [*_bonds(hashes), *_weights(evaluated, records, run)]
    return Evidence(evaluated, audited, used, records, preparation, described, tuple(bonds))


def sampler_of(evidence: Evidence) -> Mapping[str, Any]:
    """How the samples were drawn, by key of the sampler."""
    if evidence.records:
        return evidence.records[0].sampler
    found = dict(evidence.evaluation.content["inputs"]).get("sampler")
    return found if isinstance(found, Mapping) else {}


def texts(value: Any) -> list[str]:
    """A text, or a list of them, as a list."""
    if value is None or value == "":
        return []
    return [str(entry) for entry in value] if isinstance(value, list | tuple) else [str(value)]


def _found(folder: Path, name: str) -> Found:
    content = _json(folder, name, _VERBS[name])
    if content.get("schema") not in _VERSIONS[name]:
        raise MedsynthError(f"{name} is of another version: this one reads {', '.join(_VERSIONS[name])}; make it anew")
    if name == AUDIT_FILE and audit_sha256(content) != content.get("sha256"):
        raise MedsynthError(f"{name} was altered since it was written; audit anew")
    if not isinstance(content.get("verdict"), str) or not isinstance(content.get("inputs", {}), Mapping):
        raise MedsynthError(f"{name} has no verdict or no inputs; make it anew")
    return Found(folder, content)


def _json(folder: Path, name: str, verb: str) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MedsynthError(f"{folder} holds no {name}: is it a folder that `medsynth {verb}` finished?") from None
    except (OSError, ValueError, RecursionError):
        raise MedsynthError(f"{name} is cut short or no JSON; call `medsynth {verb}` again") from None
    if not isinstance(content, dict):
        raise MedsynthError(f"{name} is cut short or no JSON; call `medsynth {verb}` again")
    return content


def _of(found: Found, name: str) -> Any:
    """A hash among the inputs, or beside them."""
    return dict(found.content.get("inputs", {})).get(name, found.content.get(name))


def _bonds(hashes: Sequence[tuple[str, str, Any]]) -> Iterator[Bond]:
    for what in (_SAMPLES, _CASES, _PREPARATION):
        named = {where: str(sha256) for of, where, sha256 in hashes if of == what and sha256 is not None}
        if not named:
            continue
        first = next(iter(named))
        for where, sha256 in named.items():
            if sha256 != named[first]:
                raise MedsynthError(
                    f"{first} and {where} are of different {what}: a report is about one set of samples; "
                    f"give the {where} that belongs to this {first}, or make it anew"
                )
        yield Bond(what, named[first], tuple(named))


def _weights(evaluated: Found, records: Sequence[SampleRecord], run: Path | None) -> Iterator[Bond]:
    named = {name: ["evaluation"] for name in texts(_of(evaluated, "checkpoints"))}
    if records and set(named) != {record.checkpoint for record in records}:
        raise MedsynthError("samples and evaluation name different weights; give the samples that were evaluated")
    for where in named.values():
        where += ["samples"] if records else []
    if run is not None:
        held = {sealed_sha256(path) for path in sorted((run / "weights").glob("*.ckpt"))}
        anew = any(record.sampler.get(name) is not None for name in ("ema", "step") for record in records)
        if not held.intersection(named) and not anew:
            raise MedsynthError("run does not hold the weights of these samples; give the run that they were made with")
        for sha256 in held.intersection(named):
            named[sha256].append("run")
    for sha256, where in named.items():
        yield Bond("weights", sha256, tuple(where))
