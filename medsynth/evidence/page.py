"""One self-contained HTML page: verdicts first, then pictures, figures, and tables with the controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from medsynth.evidence.comparison import Compared
from medsynth.evidence.figures import Picture, contact_png, mmd_figure, spectrum_figure, volume_figure

__all__ = ["Picture", "evaluation_page"]
_MARKS = {"met": "✓", "missed": "✗", "not measurable": "?"}


def evaluation_page(
    content: Mapping[str, Any], compared: Sequence[Mapping[str, Compared]], pictures: Sequence[Sequence[Picture]]
) -> str:
    """The page of one evaluation.

    Args:
        content: of evaluation.json.
        compared: of every group, by channel; gives the curves of the figures.
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
    figures = [
        {name: _figures(result, pictures[at]) for name, result in by_channel.items()}
        for at, by_channel in enumerate(compared)
    ]
    template = environment.get_template("evaluation.html.jinja")
    return template.render(content=content, sheets=sheets, figures=figures, marks=_MARKS)


def _figures(result: Compared, pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    found = [
        ("Power spectrum against the real band", spectrum_figure(result.curves)),
        ("MMD against real splits", mmd_figure(result.curves)),
    ]
    if result.curves.volumes:
        flat = bool(pictures) and pictures[0].grid.rank == 2
        found.append(("Volumes of the labels", volume_figure(result.curves, "cm²" if flat else "ml")))
    return found


def number(value: float | None) -> str:
    """Three significant digits, a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"
