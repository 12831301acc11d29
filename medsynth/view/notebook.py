"""Volumes in a notebook: niivue as a widget where ipyniivue is installed, else the page in a frame."""

import html
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from medsynth.data.contact_sheet import COLOURS
from medsynth.errors import MedsynthError
from medsynth.view.catalogue import Entry, catalogue
from medsynth.view.server import Viewer

How = Literal["auto", "widget", "page"]


class Frame:
    """The page of `medsynth view` in a cell; it is served from this process until `close`.

    Args:
        viewer: that serves it.
        place: behind its address, "#3" for instance.
        height: in pixels.
    """

    def __init__(self, viewer: Viewer, place: str, height: int) -> None:
        self._viewer, self._place, self._height = viewer.start(), place, height

    @property
    def url(self) -> str:
        """Address of what is shown."""
        return self._viewer.url + self._place

    def close(self) -> None:
        """Stop serving."""
        self._viewer.close()

    def _repr_html_(self) -> str:
        address, look = html.escape(self.url, quote=True), 'style="border:0" title="medsynth view"'
        return f'<iframe src="{address}" width="100%" height="{self._height}" {look}></iframe>'


def show(
    samples: Path | str | None = None,
    name: str | None = None,
    *,
    beside: str | None = None,
    audit: Path | str | None = None,
    cases: Path | str | None = None,
    folder: Path | str | None = None,
    height: int = 480,
    how: How = "auto",
) -> Any:
    """Show a sample, or two volumes beside each other, in a notebook's cell.

    Args:
        samples: SAMPLES.
        name: id of what is shown; by default the widget shows the first, the page all.
        beside: id of a second volume, or "nearest" for the training case that the audit found nearest.
        audit: AUDIT of these samples.
        cases: CASES.
        folder: any folder, as in `medsynth view`.
        height: in pixels.
        how: "widget" (needs the extra `notebook`, works on remote notebooks too), "page" (the whole of `medsynth view`
            in a frame, for a notebook on this machine), or "auto": the widget where it is installed.

    Returns:
        What the notebook displays.

    Raises:
        UsageError: nothing to look at.
        MedsynthError: as `medsynth view`; no such id; the widget is not installed.
    """
    entries = catalogue(*(None if path is None else Path(path) for path in (samples, audit, cases, folder)))
    first = 0 if name is None else _number(entries, name)
    second = None if beside is None else _beside(entries, first, beside)
    if how not in ("auto", "widget", "page"):
        raise MedsynthError("how is auto, widget or page")
    installed = all(importlib.util.find_spec(module) is not None for module in ("ipyniivue", "ipywidgets"))
    if how == "widget" and not installed:
        raise MedsynthError("the widget is not installed: pip install 'medsynth[notebook]', or how='page'")
    if installed and how != "page":
        return _widgets([entries[number] for number in (first, second) if number is not None], height)
    place = "" if name is None and second is None else f"#{first}" + ("" if second is None else f"+{second}")
    return Frame(Viewer(entries, framed=True), place, height)


def _number(entries: Sequence[Entry], name: str) -> int:
    for number, entry in enumerate(entries):
        if entry.id == name:
            return number
    raise MedsynthError(f"there is no {name!r} in these folders; there are {entries[0].id} to {entries[-1].id}")


def _beside(entries: Sequence[Entry], first: int, name: str) -> int:
    if name != "nearest":
        return _number(entries, name)
    found = entries[first].nearest
    if found is None:
        raise MedsynthError(
            f"no nearest training case of {entries[first].id} is known: give audit=, which names it, "
            "and the cases= that it looked at"
        )
    return found.number


def _widgets(entries: Sequence[Entry], height: int) -> Any:
    import ipywidgets

    made = [_widget(entry, height) for entry in entries]
    if len(made) == 1:
        return made[0]
    for one in made:
        one.layout.width = "50%"  # a box gives its children no width of their own, and niivue then draws nothing
    for one, other in (made, reversed(made)):
        one.broadcast_to([other], {"2d": True, "3d": True})
    return ipywidgets.HBox(made)


def _widget(entry: Entry, height: int) -> Any:
    from ipyniivue import NiiVue, ShowRender, Volume

    shown = NiiVue(
        height=height,
        is_slice_mm=True,
        is_radiological_convention=True,
        sagittal_nose_left=True,
        crosshair_width=0.4,
        crosshair_width_unit="percent",
        multiplanar_show_render=ShowRender.ALWAYS,
    )
    image, label = entry.images[0], entry.label
    window = {"cal_min": image.window.low, "cal_max": image.window.high} if image.window else {}
    volumes = [Volume(data=image.read(), name=f"{entry.id}{image.ending}", colormap="gray", **window)]
    if label is not None:
        volumes.append(Volume(data=label.read(), name=f"{entry.id}-label{label.ending}", opacity=0.5))
        volumes[-1].set_colormap_label(label_colours(entry.labels))
    shown.load_volumes(volumes)
    return shown


def label_colours(labels: Mapping[int, str]) -> dict[str, list[Any]]:
    """A label map as niivue takes it: the background is clear, a value has the contact sheets' colour."""
    values = sorted({0, *labels})
    colours = [COLOURS[(value - 1) % len(COLOURS)] if value > 0 else (0, 0, 0) for value in values]
    return {
        **{name: [colour[part] for colour in colours] for part, name in enumerate("RGB")},
        "A": [255 if value > 0 else 0 for value in values],
        "I": values,
        "labels": [labels.get(value, "background") for value in values],
    }
