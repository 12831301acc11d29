"""Figures of a report as SVG, drawn from the numbers in evaluation.json alone."""

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

OURS, REAL, BAD = "#b34700", "#1b5f95", "#666666"
# Users' names of labels and classes are no mathematics; the same numbers give the same bytes.
_STYLE: Any = {"text.parse_math": False, "svg.hashsalt": "medsynth", "svg.fonttype": "path", "font.size": 11}


class Drawn(NamedTuple):
    """A figure: base64 SVG, a title, a sentence on how to read it."""

    svg: str
    title: str
    how: str


def channel_figures(channel: Mapping[str, Any]) -> Iterator[Drawn]:
    """The figures of one channel of evaluation.json, of those whose curves it holds."""
    curves = channel.get("curves") or {}
    spectrum = curves.get("spectrum") or channel.get("spectrum")
    if spectrum:
        yield Drawn(
            _svg(partial(_spectrum, found=spectrum)),
            "Fine and coarse detail (power spectrum)",
            "Left: coarse shapes; right: fine detail and noise. The line of the synthetic scans should stay inside the "
            "band of real scans. Above it is too much detail or noise, below it is blur.",
        )
    for features, mmd in (curves.get("mmd") or {}).items():
        yield Drawn(
            _svg(partial(_mmd, found=mmd)),
            f"Distance between synthetic and real (MMD), features {features}",
            "The hill shows how far two groups of real patients are apart by chance. The synthetic scans should lie on "
            "it, the bad cases to the right of it.",
        )
    if curves.get("intensity"):
        yield Drawn(
            _svg(partial(_intensity, found=curves["intensity"], units=str(channel.get("units", "")))),
            "Brightness",
            "For every share of the voxels, the value below which they lie. The two lines should lie on each other.",
        )
    boxes = {name: box for name, box in (curves.get("volumes") or {}).items() if box.get("real")}
    if boxes:
        yield Drawn(
            _svg(partial(_volumes, boxes=boxes, unit=str(channel.get("volume_units") or "ml; of flat images, cm²"))),
            "Size of the marked structures",
            "Boxes hold the middle half of the scans, whiskers nine tenths. Real and synthetic boxes of one structure "
            "should be alike in place and height.",
        )


def _spectrum(axes: Any, found: Mapping[str, Any]) -> None:
    at = np.asarray(found["cycles_per_mm"], dtype=float)
    real, own, band = (np.asarray(found[name], dtype=float) for name in ("real", "synthetic", "band"))
    axes.fill_between(at, -band, band, color=REAL, alpha=0.25, label="real scans (95%)")
    axes.axhline(0, color=REAL, linewidth=1)
    named = [(name, values) for name, values in dict(found.get("controls") or {}).items() if "blur" in name]
    named += [(name, values) for name, values in dict(found.get("controls") or {}).items() if "noise" in name]
    for (name, values), style in zip(named, ("--", ":"), strict=False):
        axes.plot(at, np.asarray(values, dtype=float) - real, style, color=BAD, label=name)
    axes.plot(at, own - real, color=OURS, linewidth=2.2, label="synthetic")
    reach = 1.5 * max(float(band.max()), float(np.abs(own - real).max()), 1e-6)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("cycles per mm")
    axes.set_ylabel("log10 power less real")
    _legend(axes)


def _mmd(axes: Any, found: Mapping[str, Any]) -> None:
    null = np.asarray(found["real_against_real"], dtype=float)
    axes.hist(null, bins=30, color=REAL, alpha=0.6, label="real against real")
    axes.axvline(float(np.quantile(null, 0.95)), color=REAL, linestyle="--", linewidth=1, label="bar (95%)")
    for number, value in enumerate(dict(found.get("controls") or {}).values()):
        if value is not None:
            axes.axvline(value, color=BAD, linewidth=1, linestyle=":", label=None if number else "bad cases")
    if found.get("synthetic") is not None:
        axes.axvline(found["synthetic"], color=OURS, linewidth=2.2, label="synthetic")
    reach = max(1e-6, float(np.abs(null).max()))
    axes.set_xscale("symlog", linthresh=reach)
    decades = 10.0 ** np.arange(np.ceil(np.log10(reach)), np.log10(max(axes.get_xlim()[1], reach)) + 1)
    shown = [tick for tick in (-reach, 0.0, reach, *decades[decades > 2 * reach]) if tick <= axes.get_xlim()[1]]
    axes.set_xticks(shown, [f"{tick:.1g}" for tick in shown], fontsize=9)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("MMD² (linear near 0, then logarithmic)")
    axes.set_ylabel("splits of real patients")
    _legend(axes)


def _intensity(axes: Any, found: Mapping[str, Any], units: str) -> None:
    shares = 100 * np.asarray(found["shares"], dtype=float)
    axes.plot(shares, found["real"], color=REAL, linewidth=2.2, label="real")
    axes.plot(shares, found["synthetic"], "--", color=OURS, linewidth=2.2, label="synthetic")
    axes.set_xlabel("share of the voxels (%)")
    axes.set_ylabel(f"value ({units})" if units else "value")
    _legend(axes)


def _legend(axes: Any) -> None:
    """Above the axes, where it hides nothing."""
    axes.figure.legend(loc="outside upper center", ncols=2, fontsize=9, frameon=False)


def _volumes(axes: Any, boxes: Mapping[str, Any], unit: str) -> None:
    drawn = []
    for name, box in boxes.items():
        for side, short in (("real", "real"), ("synthetic", "synth.")):
            if box.get(side):
                low, first, middle, third, high = (float(value) for value in box[side])
                label = f"{name if len(name) <= 14 else name[:13] + '…'}\n{short}"
                drawn.append({"label": label, "whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high})
    made = axes.bxp(drawn, showfliers=False, patch_artist=True, medianprops={"color": "black"})
    for patch, box in zip(made["boxes"], drawn, strict=True):
        patch.set_facecolor(REAL if str(box["label"]).endswith("real") else OURS)
        patch.set_alpha(0.55)
    axes.tick_params(axis="x", labelsize=9, rotation=0 if len(drawn) <= 6 else 60)
    axes.set_ylabel(f"size ({unit})")


def _svg(draw: Callable[[Any], None]) -> str:
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that the font lacks
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return base64.b64encode(buffer.getvalue()).decode()
