"""Figures of the evaluation page, as PNG in base64: nothing outside the page is needed."""

import base64
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medsynth.data.contact_sheet import contact_sheet
from medsynth.geometry import Geometry
from medsynth.metrics import controls as bad

_OURS, _REAL, _BAD = "#d95f02", "#1b6ca8", "#888888"


class Picture(NamedTuple):
    """Images of one kind ("synthetic" or "real") and channel on one grid, with label maps or None and a grey window."""

    title: str
    images: Sequence[NDArray[Any]]
    labels: Sequence[NDArray[Any]] | None
    grid: Geometry
    window: tuple[float, float]
    channel: str


def contact_png(picture: Picture) -> str:
    """A contact sheet of a few images, base64 PNG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        contact_sheet(
            path,
            picture.images,
            geometries=[picture.grid] * len(picture.images),
            window=picture.window,
            labels=picture.labels,
            title=picture.title,
            columns=2,
            tile=96,
        )
        return base64.b64encode(path.read_bytes()).decode()


def spectrum_figure(curves: Mapping[str, Any]) -> str:
    """Mean log spectrum less the reals' mean, inside the real band or not, two bad cases beside it."""
    figure, axes = _figure()
    frequencies, real, band, own = (np.array(curves[name]) for name in ("cycles_per_mm", "real", "band", "synthetic"))
    axes.fill_between(frequencies, -band, band, color=_REAL, alpha=0.25, label="real band (95%)")
    axes.plot(frequencies, np.zeros_like(frequencies), color=_REAL, linewidth=1)
    for name, style in ((bad.BLUR, "--"), (bad.NOISE, ":")):
        if name in curves["controls"]:
            gap = np.array(curves["controls"][name]) - real
            axes.plot(frequencies, gap, style, color=_BAD, linewidth=1, label=name)
    axes.plot(frequencies, own - real, color=_OURS, linewidth=1.8, label="synthetic")
    reach = 1.5 * max(float(band.max()), float(np.abs(own - real).max()))
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("cycles per mm")
    axes.set_ylabel("log10 power less real")
    axes.legend(fontsize=7)
    return _png(figure)


def mmd_figure(curves: Mapping[str, Any]) -> str:
    """MMD^2 of the samples on the histogram of real against real, with the bad cases."""
    figure, axes = _figure()
    null = np.array(curves["real_against_real"])
    axes.hist(null, bins=30, color=_REAL, alpha=0.6, label="real against real")
    axes.axvline(float(np.quantile(null, 0.95)), color=_REAL, linestyle="--", linewidth=1, label="95th percentile")
    for number, (name, value) in enumerate(curves["controls"].items()):
        axes.axvline(value, color=_BAD, linewidth=1, linestyle=":", label="bad cases" if number == 0 else None)
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), rotation=90, fontsize=5, va="top", ha="right"
        )
    axes.axvline(curves["synthetic"], color=_OURS, linewidth=2, label="synthetic")
    axes.set_xscale("symlog", linthresh=max(1e-6, float(np.abs(null).max())))
    axes.set_xlabel("MMD² (linear near zero, then logarithmic)")
    axes.set_ylabel("splits")
    axes.legend(fontsize=7)
    return _png(figure)


def intensity_figure(curves: Mapping[str, Any], units: str) -> str:
    """Mean quantile of the grey values over the share of the voxels, real beside synthetic."""
    figure, axes = _figure()
    for name, colour in (("real", _REAL), ("synthetic", _OURS)):
        axes.plot(curves["shares"], curves[name], color=colour, linewidth=1.5, label=name)
    axes.set_xlabel("share of the voxels")
    axes.set_ylabel(f"intensity ({units})")
    axes.legend(fontsize=7)
    return _png(figure)


def volume_figure(volumes: Mapping[str, Mapping[str, Any]], unit: str) -> str:
    """Boxes of every label's volume, real beside synthetic: quartiles, whiskers from 5% to 95%."""
    figure, axes = _figure()
    boxes, ticks = [], []
    for name, sides in volumes.items():
        for side, word in (("real", "real"), ("synthetic", "synth.")):
            low, first, middle, third, high = sides[side] or [0.0] * 5
            boxes.append({"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high, "fliers": []})
            ticks.append(f"{name}\n{word}")
    drawn = axes.bxp(boxes, patch_artist=True, widths=0.6, showfliers=False)
    for number, box in enumerate(drawn["boxes"]):
        box.set_facecolor(_OURS if number % 2 else _REAL)
        box.set_alpha(0.5)
    axes.set_xticks(range(1, len(boxes) + 1), ticks, fontsize=6, rotation=0 if len(boxes) <= 6 else 60)
    axes.set_ylabel(f"volume ({unit})")
    return _png(figure)


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 3.2), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()
