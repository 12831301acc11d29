"""What an audit found, as it travels: written by `audit`, read by whatever hands samples on.

An audit holds for the bytes that it saw. `AuditRecord.require` gives the samples that may go on, and refuses where
anything changed since: samples.jsonl, a record (and through it every file), the audit itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from medsynth.errors import MedsynthError
from medsynth.files import sha256_file, sha256_json, write_json
from medsynth.records import SAMPLES_FILE, SampleRecord, read_records

AUDIT_FILE = "audit.json"
PAIRS_FILE, NEAREST_FILE = "pairs.jsonl", "nearest.jsonl"
"""Pairs that are shown, and the nearest training case of every sample: both name cases."""
SCHEMA = "medsynth.audit/1"
Verdict = Literal["pass", "fail", "cannot-assess"]
VERDICTS: tuple[Verdict, ...] = ("pass", "cannot-assess", "fail")


@dataclass(frozen=True, kw_only=True)
class SampleVerdict:
    """What was found of one sample.

    Args:
        sha256: of its record, and through it of its files.
        verdict: "pass", "fail" or "cannot-assess".
        reason: why it is not a pass, or empty.
    """

    sha256: str
    verdict: Verdict
    reason: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise MedsynthError(f"a verdict is one of {', '.join(VERDICTS)}; audit anew")


@dataclass(frozen=True)
class AuditRecord:
    """An audit, read back.

    Args:
        content: of audit.json, whose digest was checked.
    """

    content: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """Of the whole set."""
        found: Verdict = self.content["verdict"]
        return found

    @property
    def sha256(self) -> str:
        """Digest of its content."""
        return str(self.content["sha256"])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not a pass."""
        return tuple(self.content["reasons"])

    @property
    def overrides(self) -> tuple[str, ...]:
        """What was accepted by name (`presumed=i_accept`); it travels into all that is made."""
        return tuple(self.content["overrides"])

    @property
    def samples(self) -> dict[str, SampleVerdict]:
        """By id of the sample."""
        return {
            entry["id"]: SampleVerdict(sha256=entry["sha256"], verdict=entry["verdict"], reason=entry["reason"])
            for entry in self.content["samples"]
        }

    def require(self, folder: Path) -> dict[str, SampleVerdict]:
        """The verdict on every sample of a folder, which is the one that was audited.

        Args:
            folder: SAMPLES.

        Raises:
            MedsynthError: samples.jsonl, or a record in it, is not what the audit saw.
        """
        if sha256_file(folder / SAMPLES_FILE) != self.content["inputs"]["samples_sha256"]:
            raise MedsynthError("the audit is of other samples than these, or they changed since: audit these samples")
        samples = self.samples
        for record in read_records(folder / SAMPLES_FILE, SampleRecord):
            if record.id not in samples or samples[record.id].sha256 != record.sha256:
                raise MedsynthError(f"sample {record.id} is not as it was audited; audit anew")
        return samples

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read AUDIT/audit.json.

        Raises:
            MedsynthError: it is missing, cut short, altered or of another version.
        """
        try:
            content = json.loads((folder / AUDIT_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MedsynthError(
                f"{folder} holds no {AUDIT_FILE}: is it a folder that `medsynth audit` finished?"
            ) from None
        except (OSError, ValueError):
            raise MedsynthError(f"{AUDIT_FILE} cannot be read: it is cut short; audit anew") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise MedsynthError(f"{AUDIT_FILE} was written by another version of medsynth; audit anew")
        if content.get("sha256") != audit_sha256(content):
            raise MedsynthError(f"{AUDIT_FILE} was altered; audit anew")
        found = cls(content)
        if not _is_whole(found):
            raise MedsynthError(f"{AUDIT_FILE} does not say what was found of each sample; audit anew")
        return found


def _is_whole(record: AuditRecord) -> bool:
    """Whether all is there that the properties give."""
    try:
        texts = [*record.reasons, *record.overrides, record.content["inputs"]["samples_sha256"]]
        texts += [text for name, one in record.samples.items() for text in (name, one.sha256, one.reason)]
        return record.verdict in VERDICTS and all(isinstance(text, str) for text in texts)
    except (KeyError, TypeError, MedsynthError):
        return False


def audit_sha256(content: Mapping[str, Any]) -> str:
    """Digest of an audit's content, itself left out: against damage, not against a forger."""
    return sha256_json({key: value for key, value in content.items() if key != "sha256"})


def write_audit(folder: Path, content: Mapping[str, Any]) -> AuditRecord:
    """Write audit.json with its digest."""
    sealed = {**content, "sha256": audit_sha256(content)}
    write_json(folder / AUDIT_FILE, sealed)
    return AuditRecord(json.loads(json.dumps(sealed)))


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """A failure outweighs what is unknown, which outweighs a pass."""
    return max(verdicts, key=VERDICTS.index, default="cannot-assess")
