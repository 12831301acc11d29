"""medsynth: from a folder of scans to a folder of synthetic volumes.

In a notebook: `medsynth.load_run("RUN").sample(4, seed=0)`. On the command line:
`medsynth --help`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsynth.models.run import load_run as load_run

__version__ = "0.1.0"
__all__ = ["__version__", "load_run"]


def __getattr__(name: str) -> Any:
    # torch and MONAI take seconds to import: only who asks for a model pays for them.
    if name == "load_run":
        from medsynth.models.run import load_run

        return load_run
    raise AttributeError(f"module 'medsynth' has no attribute {name!r}")
