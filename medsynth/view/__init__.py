"""Look at volumes in a browser: a local page, served to this machine alone, or a notebook's cell.

`medsynth.view.show("SAMPLES")` in a notebook; `medsynth view samples=SAMPLES` on the command line.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsynth.view.notebook import show as show

__all__ = ["show"]


def __getattr__(name: str) -> Any:
    # The build fetches niivue by this package, before anything else is installed.
    if name == "show":
        from medsynth.view.notebook import show

        return show
    raise AttributeError(f"module 'medsynth.view' has no attribute {name!r}")
