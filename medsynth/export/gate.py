"""What may go out: what an audit passed, or what the user lets out unaudited, by name and for all to read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medsynth.errors import MedsynthError
from medsynth.files import sha256_file, sha256_json
from medsynth.records import SAMPLES_FILE, SampleRecord

AUDIT_FILE = "audit.json"
_SCHEMA = "medsynth.audit/1"
_VERDICTS = ("pass", "fail", "cannot-assess")
ACCEPTED = "i_accept"
OVERRIDE = "unaudited=i_accept"
_WAY_OUT = f"audit these samples, or set {OVERRIDE}, which is written into every object"


class Gate(NamedTuple):
    """What goes out, with the sentences that are written into each, and what stays.

    `flagged` are ids that the audit failed; they stay whatever is accepted. `unaudited` are ids that go out without a
    pass.
    """

    cleared: list[tuple[SampleRecord, tuple[str, ...]]]
    flagged: tuple[str, ...]
    unaudited: tuple[str, ...]


def cleared(samples: Path, records: Sequence[SampleRecord], audit: Path | None, unaudited: str | None = None) -> Gate:
    """Which samples may go out.

    A pass of a sample's own goes out, a failure never; what the audit could not assess, or what no audit covers,
    is not a pass and goes out only where that is accepted.

    Args:
        samples: SAMPLES, whose records they are.
        records: all of the folder.
        audit: AUDIT; None where there is none.
        unaudited: "i_accept" or None.

    Raises:
        MedsynthError: nothing clears a sample; an audit that is altered, of another version or of other samples;
            no sample is left.
    """
    if unaudited not in (None, ACCEPTED):
        raise MedsynthError(f"unaudited is {ACCEPTED} or null")
    if audit is None:
        if unaudited is None:
            raise MedsynthError(f"no audit covers these samples: give audit=AUDIT, or {_WAY_OUT}")
        said = ("Audit: NONE, nobody looked for copies of patients.", f"Override: {OVERRIDE}.")
        return Gate([(record, said) for record in records], (), tuple(record.id for record in records))
    content = _read(audit)
    if content["inputs"]["samples_sha256"] != sha256_file(samples / SAMPLES_FILE):
        raise MedsynthError("the audit is of other samples than these, or they were changed since; audit these samples")
    verdicts = {(entry["id"], entry["sha256"]): entry["verdict"] for entry in content["samples"]}
    by_record = {record.id: verdicts.get((record.id, record.sha256)) for record in records}
    flagged = tuple(name for name, verdict in by_record.items() if verdict == "fail")
    open_ones = tuple(name for name, verdict in by_record.items() if verdict not in ("pass", "fail"))
    if open_ones and unaudited is None:
        raise MedsynthError(
            f"the audit does not pass {len(open_ones)} of {len(records)} samples, and what is unknown is not a pass "
            f"({AUDIT_FILE} says why); {_WAY_OUT}"
        )
    if len(flagged) == len(records):
        raise MedsynthError(f"the audit flagged all {len(records)} samples: there is nothing to export")
    going = [record for record in records if record.id not in flagged]
    return Gate([(one, _said(content, passed=one.id not in open_ones)) for one in going], flagged, open_ones)


def _said(content: Mapping[str, Any], *, passed: bool) -> tuple[str, ...]:
    verdict = "this sample passed" if passed else "COULD NOT ASSESS this sample"
    overrides = [str(name) for name in content["overrides"]] + ([] if passed else [OVERRIDE])
    told = [f"Audit: {verdict}; audit SHA-256 {content['sha256']}."]
    return (*told, *([f"Override: {'; '.join(overrides)}."] if overrides else []))


def _read(audit: Path) -> dict[str, Any]:
    """The content of audit.json (docs/reference/audit.md), its digest checked: against damage, not against a forger."""
    try:
        content = json.loads((audit / AUDIT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MedsynthError(f"{audit} holds no {AUDIT_FILE}: is it a folder that `medsynth audit` finished?") from None
    except (OSError, ValueError):
        raise MedsynthError(f"{AUDIT_FILE} cannot be read; audit anew") from None
    if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
        raise MedsynthError(f"{AUDIT_FILE} was written by another version of medsynth; audit anew")
    if content.get("sha256") != sha256_json({key: value for key, value in content.items() if key != "sha256"}):
        raise MedsynthError(f"{AUDIT_FILE} was altered; audit anew")
    try:
        known = all(
            entry["verdict"] in _VERDICTS and isinstance(entry["id"], str) and isinstance(entry["sha256"], str)
            for entry in content["samples"]
        )
        known = (
            known and isinstance(content["overrides"], list) and isinstance(content["inputs"]["samples_sha256"], str)
        )
    except (KeyError, TypeError):
        known = False
    if not known:
        raise MedsynthError(f"{AUDIT_FILE} does not say what was found of each sample; audit anew")
    return content
