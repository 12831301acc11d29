"""One self-contained HTML page: verdicts first, then pictures, figures, and tables with the controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from medsynth.evidence.figures import Picture, contact_png, intensity_figure, mmd_figure, spectrum_figure, volume_figure

__all__ = ["Picture", "evaluation_page"]
_MARKS = {"met": "✓", "missed": "✗", "not measurable": "?"}


def evaluation_page(content: Mapping[str, Any], pictures: Sequence[Sequence[Picture]]) -> str:
    """The page of one evaluation.

    Args:
        content: of evaluation.json.
        pictures: of every group.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medsynth.evidence", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    sheets = [[(picture.title, contact_png(picture)) for picture in group] for group in pictures]
    figures = [{channel["name"]: _figures(channel) for channel in group["channels"]} for group in content["groups"]]
    template = environment.get_template("evaluation.html.jinja")
    return template.render(content=content, sheets=sheets, figures=figures, marks=_MARKS)


def _figures(channel: Mapping[str, Any]) -> list[tuple[str, str]]:
    curves = channel["curves"]
    found = [("Power spectrum against the real band", spectrum_figure(curves["spectrum"]))]
    found += [(f"MMD on {name} against real splits", mmd_figure(of)) for name, of in curves["mmd"].items()]
    found.append(("Intensity", intensity_figure(curves["intensity"], channel["units"])))
    if curves["volumes"]:
        found.append(("Volumes of the labels", volume_figure(curves["volumes"], channel["volume_units"])))
    return found


def number(value: float | None) -> str:
    """Three significant digits, a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"
