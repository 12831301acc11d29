"""The content of audit.json (docs/reference/audit.md says what each field means)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medsynth.audit_record import SCHEMA, SampleVerdict
from medsynth.evidence.audit.plan import AuditPlan, CopyBars
from medsynth.evidence.audit.search import Found, Searched, is_whole
from medsynth.evidence.audit.verdict import Judged
from medsynth.metrics.copies import exact_interval, smallest_rate
from medsynth.metrics.planted import describe
from medsynth.records import SampleRecord


def audit_json(
    verdict: Judged,
    samples: Mapping[str, SampleVerdict],
    records: Sequence[SampleRecord],
    *,
    inputs: Mapping[str, Any],
    plan: AuditPlan,
    seed: int,
    overrides: Sequence[str],
    copies: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
    membership: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Plain JSON types; names no patient, no path, no case."""
    found = rows or [{} for _ in records]
    content: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "verdict": verdict.verdict,
            "reasons": list(verdict.reasons),
            "overrides": sorted(overrides),
            "settings": {"seed": seed, **plan.to_json()},
            "inputs": dict(inputs),
            "copies": copies,
            "membership": membership,
            "samples": [
                {
                    "id": record.id,
                    "sha256": samples[record.id].sha256,
                    "verdict": samples[record.id].verdict,
                    "reason": samples[record.id].reason,
                    "derived": bool(record.parents),
                    **more,
                }
                for record, more in zip(records, found, strict=True)
            ],
        }
    )
    return content


def copies_json(
    found: Found,
    searched: Searched,
    planted: Mapping[str, tuple[int, int]],
    judged: Judged,
    alarms: float,
    bars: CopyBars,
) -> dict[str, Any]:
    """What the search found of the set, with its controls and what it could not have seen."""
    size = len(found.p)
    controls, blind = [], []
    for kind, (hits, of) in planted.items():
        low, high = exact_interval(hits, of)
        controls.append(
            {
                "kind": kind,
                "what": describe(kind),
                "found": hits,
                "of": of,
                "interval": [low, high],
                "required": is_whole(kind),
            }
        )
        if hits < bars.least_found * of:
            blind.append(f"copies of this kind would mostly not be seen here: {describe(kind)}")
    whole = [pair for kind, pair in planted.items() if is_whole(kind)]
    low, _ = exact_interval(sum(hits for hits, _ in whole), sum(of for _, of in whole))
    return {
        "verdict": judged.verdict,
        "flagged": int(found.flagged.sum()),
        "flag_bar": bars.false_alarms / 2,
        "tail_count": {**found.tail._asdict(), "smallest_rate": found.tail.least / max(found.tail.of, 1)},
        "smallest_rate": smallest_rate(size, low),
        "families": {
            name: {
                "threshold": family.tail.threshold,
                "excess": family.tail.excess,
                "tail": family.tail.size,
                "real_patients": family.tail.total,
                "real_gap": [float(q) for q in np.quantile(family.real.gap, (0.05, 0.5, 0.95))],
                "sample_gap": [float(q) for q in np.quantile(family.samples.gap, (0.05, 0.5, 0.95))],
            }
            for name, family in found.families.items()
        },
        "features": searched.extractors,
        "twins": int(found.twins.sum()),
        "controls": {"planted": controls, "held_out_stand_ins": {"draws": bars.stand_ins, "alarms": alarms}},
        "cannot_tell": [
            *blind,
            "a copy of less than a patch or a slice, and one that is turned by much more than the rotations tried",
            "label maps are not searched",
            *(["two keys may be one patient: some real cases are as near as copies"] if found.twins.any() else []),
        ],
        "images": {"training": int(searched.training.sum()), "held_out": int((~searched.training).sum())},
    }


def sample_rows(found: Found) -> list[dict[str, Any]]:
    """Of every sample its p and, by search, how near it comes to training and to held-out patients."""
    return [
        {
            "p": float(found.p[row]),
            "searches": {
                name: {
                    "gap": float(family.samples.gap[row]),
                    "training": float(family.samples.training[row]),
                    "held_out": float(family.samples.held_out[row]),
                    "training_of_same_number": float(family.samples.training_of_same[row]),
                    "held_out_of_same_number": float(family.samples.held_out_of_same[row]),
                }
                for name, family in found.families.items()
            },
        }
        for row in range(len(found.p))
    ]


def finite(value: Any) -> Any:
    """NumPy numbers as plain ones, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    return int(value) if isinstance(value, np.integer) else value
