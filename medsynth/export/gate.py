"""What may go out: what an audit passed, or what the user lets out unaudited, by name and for all to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from medsynth.audit_record import AUDIT_FILE, AuditRecord
from medsynth.errors import MedsynthError
from medsynth.records import SampleRecord

ACCEPTED = "i_accept"
OVERRIDE = "unaudited=i_accept"
_WAY_OUT = f"audit these samples, or set {OVERRIDE}, which is written into all that goes out"


class Gate(NamedTuple):
    """What goes out, with the sentences that are written into each, and what stays.

    `flagged` are ids that the audit failed; they stay whatever is accepted. `unaudited` are ids that go out without a
    pass; `audited` is whether an audit was there.
    """

    cleared: list[tuple[SampleRecord, tuple[str, ...]]]
    flagged: tuple[str, ...]
    unaudited: tuple[str, ...]
    audited: bool = True


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
        return Gate([(record, said) for record in records], (), tuple(record.id for record in records), False)
    found = AuditRecord.read(audit)
    verdicts = found.require(samples)
    by_record = {record.id: verdicts[record.id].verdict for record in records}
    flagged = tuple(name for name, verdict in by_record.items() if verdict == "fail")
    open_ones = tuple(name for name, verdict in by_record.items() if verdict == "cannot-assess")
    if open_ones and unaudited is None:
        raise MedsynthError(
            f"the audit does not pass {len(open_ones)} of {len(records)} samples, and what is unknown is not a pass "
            f"({AUDIT_FILE} says why); {_WAY_OUT}"
        )
    if len(flagged) == len(records):
        raise MedsynthError(f"the audit flagged all {len(records)} samples: there is nothing to export")
    going = [record for record in records if record.id not in flagged]
    return Gate([(one, _said(found, passed=one.id not in open_ones)) for one in going], flagged, open_ones)


def _said(audit: AuditRecord, *, passed: bool) -> tuple[str, ...]:
    verdict = "this sample passed" if passed else "COULD NOT ASSESS this sample"
    overrides = [*audit.overrides, *([] if passed else [OVERRIDE])]
    told = [f"Audit: {verdict}; audit SHA-256 {audit.sha256}."]
    return (*told, *([f"Override: {'; '.join(overrides)}."] if overrides else []))
