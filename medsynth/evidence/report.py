"""The content of evaluation.json (docs/reference/evaluation.md says what each field means)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medsynth.data.preparation import Preparation, PreparedCase
from medsynth.evidence.comparison import REAL_DRAWS, Compared, Verdict
from medsynth.evidence.groups import Group
from medsynth.metrics.controls import describe
from medsynth.records import SampleRecord

SCHEMA = "medsynth.evaluation/2"
FEW = 50
"""Below this many samples a note says that the numbers are coarse."""


def evaluation_json(
    groups: Sequence[Group],
    compared: Sequence[Mapping[str, Compared]],
    records: Sequence[SampleRecord],
    prepared: Sequence[PreparedCase],
    preparation: Preparation,
    *,
    settings: Mapping[str, Any],
    samples_sha256: str,
    pictures: Sequence[Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Plain JSON types; names no patient, no path of the machine, no case.

    `pictures`: of every group, the index of its pictures.
    """
    content = [
        {**_group(group, by_channel, prepared, preparation), "pictures": [dict(entry) for entry in shown]}
        for group, by_channel, shown in zip(groups, compared, pictures, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "verdict": _overall(content),
        "settings": {**settings, "real_draws": REAL_DRAWS},
        "inputs": {
            "samples_sha256": samples_sha256,
            "cases_sha256": preparation.cases_sha256,
            "preparation_sha256": preparation.sha256,
            "checkpoints": sorted({record.checkpoint for record in records}),
            "samples": len(records),
            "identity": sorted({record.identity for record in records}),
            "overrides": sorted({name for record in records for name in record.overrides}),
            "derived": sum(bool(record.parents) for record in records),
            "sampler": dict(records[0].sampler),
        },
        "notes": _notes(groups, records, prepared),
        "groups": content,
    }


def _group(
    group: Group, compared: Mapping[str, Compared], prepared: Sequence[PreparedCase], preparation: Preparation
) -> dict[str, Any]:
    units = {channel.name: channel.units for channel in preparation.layout.images}
    return {
        "name": group.name,
        "samples": group.asked,
        "samples_used": len(group.samples) if group.draws else 0,
        "reference": group.reference,
        "reference_images": group.sizes.second if group.sizes else 0,
        "real_images": len(group.pool),
        "real_patients": len({prepared[row].record.patient for row in group.pool}),
        "training_images": len(group.training),
        "reason": group.reason,
        "channels": [_channel(name, units[name], preparation.grid.rank, result) for name, result in compared.items()],
    }


def _channel(name: str, units: str, rank: int, result: Compared) -> dict[str, Any]:
    let_through = result.together.let_through()
    return {
        "name": name,
        "units": units,
        "volume_units": "cm²" if rank == 2 else "ml",
        "intensity_range": list(result.frame.value_range),
        "features": [
            {
                "name": given,
                "recipe": fixed.name,
                "sha256": fixed.sha256,
                "extractor_sha256": fixed.extractor.sha256,
                "count": int(fixed.projection.shape[1]),
                "training_images": fixed.count,
                "reads_labels": fixed.reads_labels,
                "bandwidth": fixed.bandwidth,
                "bandwidth_rule": "median distance between two real training images",
            }
            for given, fixed in result.frame.features.items()
        ],
        "together": _finite(result.together.to_json()),
        "lines": [_finite(line.to_json()) for line in result.lines],
        "controls": [
            {
                "name": case,
                "what": describe(case),
                "rejected_by": by,
                "verdict": "not measurable" if case in let_through else "rejected",
            }
            for case, by in result.rejected_by.items()
        ],
        "control_values": {
            case: {key: _finite(outcome.value) for key, outcome in of.items()} for case, of in result.outcomes.items()
        },
        "curves": _finite(result.curves),
    }


def _overall(groups: Iterable[Mapping[str, Any]]) -> Verdict:
    """Missed where a channel is, all lines together; met only where every bad case is rejected together too."""
    verdicts = []
    for group in groups:
        verdicts += ["not measurable"] if group["reason"] else []
        for channel in group["channels"]:
            verdicts += [channel["together"]["verdict"]]
            verdicts += ["not measurable" for control in channel["controls"] if control["verdict"] != "rejected"]
    if "missed" in verdicts:
        return "missed"
    return "not measurable" if "not measurable" in verdicts or not verdicts else "met"


def _notes(groups: Sequence[Group], records: Sequence[SampleRecord], prepared: Sequence[PreparedCase]) -> list[str]:
    notes = []
    presumed = sum(case.record.patient_source == "presumed" for case in prepared)
    if presumed:
        notes.append(
            f"Patient ids are presumed for {presumed} of {len(prepared)} real images: if one person counts as several, "
            "real-against-real looks more varied or more alike than it is."
        )
    overrides = sorted({name for record in records for name in record.overrides})
    if overrides:
        notes.append(f"These samples carry overrides: {', '.join(overrides)}.")
    if any(record.identity != "cleared" for record in records):
        states = ", ".join(sorted({record.identity for record in records}))
        notes.append(f"Identity of the training data: {states}. It was not cleared by a check.")
    if any(record.parents for record in records):
        notes.append("Some samples are derived from real cases: they are no free samples of the model.")
    for group in groups:
        if group.sizes and group.sizes.first < group.asked:
            notes.append(
                f"Group {group.name}: the reals allow {group.sizes.first} images a side; "
                f"the first of the {group.asked} samples were used."
            )
        if group.sizes and group.sizes.first < FEW:
            notes.append(f"Group {group.name}: {group.sizes.first} samples are few; small faults stay unseen.")
        if group.sizes and group.reference != "held-out":
            notes.append(
                f"Group {group.name}: held-out patients alone are too few for splits of this size, so training and "
                "held-out cases together are the reals; a copied training case counts as good here, "
                "the audit asks about copies."
            )
    notes.append(
        "The bar of a single line lets up to one real draw in twenty fail, so among many lines some are missed by "
        "chance: the verdict is that of all lines together."
    )
    return notes


def _finite(value: Any) -> Any:
    """NumPy numbers as plain ones, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
