"""Figures of the evaluation page, as PNG in base64: nothing outside the page is needed."""

import base64
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medsynth.data.contact_sheet import contact_sheet
from medsynth.evidence.comparison import Curves
from medsynth.geometry import Geometry
from medsynth.metrics import controls as bad

_OURS, _REAL, _BAD = "#d95f02", "#1b6ca8", "#888888"


class Picture(NamedTuple):
    """Images of one kind ("synthetic" or "real") on one grid, with label maps or None and a grey window."""

    title: str
    images: Sequence[NDArray[Any]]
    labels: Sequence[NDArray[Any]] | None
    grid: Geometry
    window: tuple[float, float]


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


def spectrum_figure(curves: Curves) -> str:
    """Mean log spectrum less the reals' mean, inside the real band or not, two bad cases beside it."""
    figure, axes = _figure()
    zero = np.zeros_like(curves.frequencies)
    axes.fill_between(curves.frequencies, -curves.band, curves.band, color=_REAL, alpha=0.25, label="real band (95%)")
    axes.plot(curves.frequencies, zero, color=_REAL, linewidth=1)
    for name, style in ((bad.BLUR, "--"), (bad.NOISE, ":")):
        if name in curves.control_spectra:
            gap = curves.control_spectra[name] - curves.real_spectrum
            axes.plot(curves.frequencies, gap, style, color=_BAD, linewidth=1, label=name)
    own = curves.spectrum - curves.real_spectrum
    axes.plot(curves.frequencies, own, color=_OURS, linewidth=1.8, label="synthetic")
    reach = 1.5 * max(float(curves.band.max()), float(np.abs(own).max()))
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("cycles per mm")
    axes.set_ylabel("log10 power less real")
    axes.legend(fontsize=7)
    return _png(figure)


def mmd_figure(curves: Curves) -> str:
    """MMD^2 of the samples on the histogram of real against real, with the bad cases."""
    figure, axes = _figure()
    axes.hist(curves.mmd_null, bins=30, color=_REAL, alpha=0.6, label="real against real")
    axes.axvline(
        float(np.quantile(curves.mmd_null, 0.95)), color=_REAL, linestyle="--", linewidth=1, label="95th percentile"
    )
    for number, (name, value) in enumerate(curves.control_mmd.items()):
        axes.axvline(value, color=_BAD, linewidth=1, linestyle=":", label="bad cases" if number == 0 else None)
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), rotation=90, fontsize=5, va="top", ha="right"
        )
    axes.axvline(curves.mmd, color=_OURS, linewidth=2, label="synthetic")
    axes.set_xscale("symlog", linthresh=max(1e-6, float(np.abs(curves.mmd_null).max())))
    axes.set_xlabel("MMD² (linear near zero, then logarithmic)")
    axes.set_ylabel("splits")
    axes.legend(fontsize=7)
    return _png(figure)


def volume_figure(curves: Curves, unit: str) -> str:
    """Distribution of every label's volume, real beside synthetic."""
    figure, axes = _figure()
    data = [side[side > 0] for pair in curves.volumes.values() for side in reversed(pair)]
    drawn = axes.boxplot([side if side.size else np.zeros(1) for side in data], patch_artist=True, widths=0.6)
    for number, box in enumerate(drawn["boxes"]):
        box.set_facecolor(_OURS if number % 2 else _REAL)
        box.set_alpha(0.5)
    ticks = [f"{name}\n{side}" for name in curves.volumes for side in ("real", "synth.")]
    axes.set_xticks(range(1, len(data) + 1), ticks, fontsize=6, rotation=0 if len(data) <= 6 else 60)
    axes.set_ylabel(f"volume ({unit})")
    return _png(figure)


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 3.2), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()
