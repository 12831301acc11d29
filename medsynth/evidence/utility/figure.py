"""Scores of every arm and their differences, with intervals: one picture a row."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medsynth.evidence.utility import arms
from medsynth.files import write_bytes

_COLOURS = {"arm": "#1b6ca8", "synthetic": "#d95f02", "control": "#888888"}


def utility_figure(path: Path, rows: Sequence[Mapping[str, Any]], score_name: str) -> None:
    """Write a PNG with two panels for each row of utility.json: scores left, differences right.

    Args:
        path: of the PNG.
        rows: `rows` of utility.json.
        score_name: of the axis.
    """
    figure = Figure(figsize=(12, 4.8 * len(rows)), dpi=110, layout="constrained")
    for (left, right), row in zip(figure.subplots(len(rows), 2, squeeze=False), rows, strict=True):
        _scores(left, row, score_name)
        _differences(right, row, score_name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def _scores(axes: Any, row: Mapping[str, Any], score_name: str) -> None:
    for place, arm in enumerate(row["arms"]):
        score, name = arm["score"], arm["name"]
        kind = "control" if name not in arms.ARMS else "synthetic" if "synthetic" in name else "arm"
        points = np.ravel(arm["scores"])
        axes.plot(points, np.full(len(points), place) - 0.22, ".", color=_COLOURS[kind], markersize=4, alpha=0.5)
        _bar(axes, score, place, _COLOURS[kind])
    axes.set_yticks(range(len(row["arms"])), [arm["name"] for arm in row["arms"]], fontsize=8)
    axes.invert_yaxis()
    tested = f"{row['test_patients']} test patients"
    axes.set_title(f"{row['name']}: {row['draws']} draws x {row['seeds']} seeds, {tested}", fontsize=9)
    axes.set_xlabel(f"{score_name}, 95% interval; dots: single networks", fontsize=8)


def _differences(axes: Any, row: Mapping[str, Any], score_name: str) -> None:
    shown = [(line, "arm") for line in row["differences"]] + [(line, "control") for line in row["controls"]]
    for place, (line, kind) in enumerate(shown):
        _bar(axes, line["interval"], place, _COLOURS["synthetic" if place == 0 else kind])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [_asked(line) for line, _ in shown], fontsize=7)
    axes.invert_yaxis()
    axes.set_title(f"{row['verdict']}", fontsize=9)
    axes.set_xlabel(f"difference of {score_name}, paired by test patient, 95% interval", fontsize=8)


def _asked(line: Mapping[str, Any]) -> str:
    asked = f" must {line['must']}: {'yes' if line['holds'] else 'no'}" if line["must"] else ""
    return f"{line['first']}\nless {line['second']}{asked}"


def _bar(axes: Any, interval: Mapping[str, float], place: int, colour: str) -> None:
    axes.plot([interval["low"], interval["high"]], [place, place], color=colour, linewidth=2)
    axes.plot([interval["value"]], [place], "o", color=colour, markersize=5)
