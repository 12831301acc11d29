"""The build's one step beyond pyproject.toml: the viewer's script comes from its npm package."""

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from medsynth.errors import MedsynthError
from medsynth.view.niivue import fetch


class BuildWithViewer(build_py):
    """Fetches niivue first. MEDSYNTH_NIIVUE=required: no wheel without it; else one without says so when it is used."""

    def run(self) -> None:
        """Fetch, then build."""
        required = os.environ.get("MEDSYNTH_NIIVUE") == "required"
        try:
            fetch()
        except MedsynthError as error:
            if required:
                raise SystemExit(f"medsynth: error: {error}") from None
            print(f"warning: built without the viewer, `medsynth view` will not run: {error}", file=sys.stderr)
        super().run()


setup(cmdclass={"build_py": BuildWithViewer})
