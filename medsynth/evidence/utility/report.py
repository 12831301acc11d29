"""The content of utility.json (docs/reference/utility.md says what each field means)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from medsynth.evidence.utility import arms
from medsynth.evidence.utility.comparison import Judged, Outcomes, Verdict, interval_json
from medsynth.evidence.utility.folders import Row
from medsynth.evidence.utility.tasks import Task

SCHEMA = "medsynth.utility/1"


class Counted(NamedTuple):
    """Images in the pools of each draw of a row."""

    real: list[int]
    others: list[int]
    synthetic: list[int]


def utility_json(
    rows: Sequence[Row],
    tested: Sequence[Outcomes],
    judged: Sequence[Judged],
    counted: Sequence[Counted],
    task: Task,
    *,
    settings: Mapping[str, Any],
    presumed: bool,
) -> dict[str, Any]:
    """Plain JSON types; names no patient, no path, no case."""
    preparation = rows[0].folders[0].preparation
    verdicts = [one.verdict for one in judged]
    folders = [folder for row in rows for folder in row.folders]
    return {
        "schema": SCHEMA,
        "verdict": _overall(verdicts),
        "task": {"name": task.name, "score": task.score_name, "parts": list(task.parts)},
        "settings": dict(settings),
        "inputs": {
            "cases_sha256": preparation.cases_sha256,
            "samples_sha256": [folder.sha256 for folder in folders],
            "checkpoints": [folder.checkpoint for folder in folders],
            "preparations": [folder.preparation.sha256 for folder in folders],
        },
        "pretrained": sorted({one for folder in folders for one in folder.origin.pretrained}),
        "notes": _notes(rows, presumed),
        "rows": [_row(*parts, task) for parts in zip(rows, tested, judged, counted, strict=True)],
    }


def _row(row: Row, tested: Outcomes, judged: Judged, counted: Counted, task: Task) -> dict[str, Any]:
    draws, seeds = next(iter(tested.outcomes.values())).shape[:2]
    even = _even(tested.owners)
    return {
        "name": row.name,
        "patients": row.size,
        "whole": row.whole,
        "draws_of": "trainings of the generator" if row.whole else "patients",
        "draws": draws,
        "seeds": seeds,
        "split_draws": [folder.preparation.split.draw for folder in row.folders],
        "origins_known": all(folder.origin.known for folder in row.folders),
        "images": counted._asdict(),
        "test_patients": len(np.unique(tested.owners)),
        "test_images": len(tested.owners),
        "verdict": judged.verdict,
        "reason": judged.reason,
        "arms": [
            {
                "name": name,
                "what": arms.WHAT[name],
                "control": name not in arms.ARMS,
                "score": interval_json(judged.scores[name]),
                "by_part": {part: interval_json(one) for part, one in judged.by_part[name].items()},
                "scores": [
                    [float(task.scores(one, tested.truth, even).mean()) for one in of_draw] for of_draw in outcome
                ],
            }
            for name, outcome in tested.outcomes.items()
        ],
        "differences": [one.to_json() for one in judged.differences],
        "controls": [one.to_json() for one in judged.controls],
    }


def _even(owners: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights (1, N) under which each patient counts once."""
    _, of_image, images = np.unique(owners, return_inverse=True, return_counts=True)
    weights: np.ndarray[Any, np.dtype[np.float64]] = 1 / images[of_image][None]
    return weights


def _overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Missed where one row is; met where all are."""
    if "missed" in verdicts:
        return "missed"
    return "met" if all(verdict == "met" for verdict in verdicts) else "not measurable"


def _notes(rows: Sequence[Row], presumed: bool) -> list[str]:
    notes = []
    if presumed:
        notes.append(
            "Patient ids are presumed for some real cases: if one person counts as several, intervals are too narrow."
        )
    for row in rows:
        if row.whole and len(row.folders) > 1:
            notes.append(
                f"{row.name}: its draws share all patients and differ by the generator's training, so its interval "
                "says nothing of other training patients."
            )
        if not all(folder.origin.known for folder in row.folders):
            notes.append(f"{row.name}: what its generators saw beyond these patients is not known.")
    if any(folder.origin.pretrained for row in rows for folder in row.folders):
        notes.append("Some generators use what was learnt from other data: see pretrained.")
    notes.append("No network was chosen by a validation score: each is the one after the last step of the budget.")
    return notes


def summary_text(content: Mapping[str, Any]) -> str:
    """Every row with its scores, differences and verdict, as text."""
    lines = []
    name = content["task"]["score"]
    for row in content["rows"]:
        lines.append(f"{row['name']}: {row['draws']} draws, {row['seeds']} seeds, {row['test_patients']} test patients")
        for arm in row["arms"]:
            lines.append(f"  {arm['name']:<32} {name} {_said(arm['score'], sign='')}")
        for line in [*row["differences"], *row["controls"]]:
            asked = f"   must {line['must']}: {'yes' if line['holds'] else 'no'}" if line["must"] else ""
            lines.append(f"  {line['first']} less {line['second']:<28} {_said(line['interval'], sign='+')}{asked}")
        because = f" ({row['reason']})" if row["reason"] else ""
        lines.append(f"  synthetic data beat ordinary augmentation: {row['verdict']}{because}")
    return "\n".join(lines)


def _said(interval: Mapping[str, float], sign: str) -> str:
    value, low, high = (format(interval[key], f"{sign}.3f") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
