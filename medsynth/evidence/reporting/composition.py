"""What the samples and their run are, as short texts: the material of the model card and the data sheet.

Names no patient, no case and no path; what is not recorded is said to be unknown.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medsynth.evidence.reporting.plain import number
from medsynth.evidence.reporting.sources import Evidence, sampler_of, texts
from medsynth.records import Attribute, SampleRecord

UNKNOWN = "unknown"
_MOST_VALUES = 20
_LONGEST = 40


class Composition(NamedTuple):
    """Pairs are (name, text); `split` is how patients were divided, `sampler` how samples were drawn."""

    samples: str
    derived: int
    channels: list[tuple[str, str]]
    labels: list[str]
    grid: str
    conditions: list[tuple[str, str]]
    licences: list[str]
    identity: list[str]
    overrides: list[str]
    sampler: list[tuple[str, str]]
    guidance: str
    split: list[tuple[str, str]]
    patients: list[tuple[str, str]]
    presumed: str
    model: list[tuple[str, str]]
    training: list[tuple[str, str]]
    checkpoints: list[str]


def compose(evidence: Evidence) -> Composition:
    """Everything that the two cards say of samples, training data and model."""
    inputs = evidence.evaluation.content["inputs"]
    info: Mapping[str, Any] = dict((evidence.run or {}).get("info") or {})
    records, sampler = evidence.records, dict(sampler_of(evidence))
    presumed = info.get("patient_keys_presumed")
    return Composition(
        samples=number(inputs.get("samples", UNKNOWN)),
        derived=int(inputs.get("derived") or 0),
        channels=_channels(evidence),
        labels=_labels(records),
        grid=_grids(records),
        conditions=condition_counts(records),
        licences=sorted({name for record in records for name in record.licences} | set(texts(info.get("licences")))),
        identity=texts(inputs.get("identity")),
        overrides=_overrides(evidence, inputs, info),
        sampler=[(key.replace("_", " "), number(value)) for key, value in sampler.items() if value is not None],
        guidance=number(sampler["guidance"]) if "guidance" in sampler else UNKNOWN,
        split=_split(evidence),
        patients=[(str(name), number(count)) for name, count in dict(info.get("patients") or {}).items()],
        presumed=UNKNOWN if presumed is None else "yes, for some" if presumed else "no",
        model=_model(evidence.run),
        training=_training(info),
        checkpoints=texts(inputs.get("checkpoints")),
    )


def condition_counts(records: Sequence[SampleRecord]) -> list[tuple[str, str]]:
    """What was asked for, by condition: values with their counts, the range of numbers, the number of texts."""
    asked: dict[str, list[Attribute]] = {}
    for record in records:
        for name, value in record.condition.items():
            asked.setdefault(name, []).append(value)
    return [(name, _counted(values)) for name, values in asked.items()]


def _counted(values: Sequence[Attribute]) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > 2:
        return f"numbers from {number(min(numbers))} to {number(max(numbers))} in {number(len(numbers))} samples"
    found = Counter(number(value) for value in values)
    if len(found) > _MOST_VALUES or any(len(value) > _LONGEST for value in found):
        return f"{number(len(found))} different texts or values in {number(len(values))} samples"
    return ", ".join(f"{value}: {number(count)}" for value, count in sorted(found.items()))


def _overrides(evidence: Evidence, *named: Mapping[str, Any]) -> list[str]:
    """Gates passed by an override, in the samples, the run or the audit."""
    every = [*named, evidence.audit.content if evidence.audit else {}]
    return sorted({name for one in every for name in texts(one.get("overrides"))})


def _channels(evidence: Evidence) -> list[tuple[str, str]]:
    if evidence.preparation is None:
        groups = evidence.evaluation.content["groups"]
        return [(channel["name"], str(channel["units"])) for channel in (groups[-1]["channels"] if groups else [])]
    layout = evidence.preparation.layout
    found = [
        (
            channel.name,
            f"image, {channel.units}, {channel.modality or 'modality not recorded'}, "
            f"values from {number(float(channel.low))} to {number(float(channel.high))}",
        )
        for channel in layout.images
    ]
    return found + ([(layout.label.name, "label map")] if layout.label else [])


def _labels(records: Sequence[SampleRecord]) -> list[str]:
    return list(dict.fromkeys(name for record in records for value, name in sorted(record.labels.items()) if value))


def _grids(records: Sequence[SampleRecord]) -> str:
    grids = Counter(
        (record.geometry.shape, tuple(round(float(step), 3) for step in record.geometry.spacing)) for record in records
    )
    if not grids:
        return UNKNOWN
    (shape, spacing), _ = grids.most_common(1)[0]
    text = f"{' x '.join(map(str, shape))} voxels of {' x '.join(f'{step:g}' for step in spacing)} mm"
    return text if len(grids) == 1 else f"{text}, and {len(grids) - 1} other grids"


def _split(evidence: Evidence) -> list[tuple[str, str]]:
    if evidence.preparation is None:
        return []
    plan = evidence.preparation.split.to_json()
    return [(str(name), number(value)) for name, value in plan.items() if not isinstance(value, dict | list)]


def _model(run: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    found = []
    for part in ("network", "generator", "discriminator", "autoencoder", "conditioner", "parametrisation"):
        spec = (run or {}).get(part)
        if isinstance(spec, Mapping):
            name = str(spec.get("_target_") or spec.get("name") or part).rpartition(".")[2]
            facts = [
                f"{str(key).replace('_', ' ')} {_short(value)}"
                for key, value in spec.items()
                if key not in ("_target_", "name") and value not in (None, {}, [])
            ]
            found.append((part, f"{name}; {', '.join(facts)}" if facts else name))
    return found


def _training(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    training = dict(info.get("training") or {})
    wanted = ("seed", "schedule", "objective", "batch_size", "augmentation", "init_from")
    found = [(name.replace("_", " "), _short(training[name])) for name in wanted if training.get(name) is not None]
    pretrained = "none" if training and training.get("init_from") is None else training.get("init_from", UNKNOWN)
    environments = training.get("environments") or []
    last = environments[-1] if environments and isinstance(environments[-1], Mapping) else {}
    versions = [f"{name} {last[name]}" for name in ("medsynth", "python", "torch", "monai") if last.get(name)]
    return [*found, ("pretrained weights", str(pretrained)), ("versions", ", ".join(versions) or UNKNOWN)]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key).replace('_', ' ')}: {_short(entry)}"
            for key, entry in value.items()
            if entry not in (None, {}, [])
        )
    if isinstance(value, list | tuple):
        return " ".join(_short(entry) for entry in value) or "none"
    if isinstance(value, float) and not math.isfinite(value):
        return UNKNOWN
    return number(value)
