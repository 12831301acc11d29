"""What medsynth imports is what pyproject.toml asks for: the wheel's tests borrow whatever is installed here."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {"test", "dev"}
"""Extras for work on medsynth itself: no part of it may need them."""


def plain(name: str) -> str:
    """A distribution's name without version and extras, as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


@cache
def asked_for() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (names for extra, names in project["optional-dependencies"].items() if extra not in OWN)
    return {plain(name) for names in (project["dependencies"], *extras) for name in names}


def imported(code: str) -> set[str]:
    """Top-level names of everything imported from elsewhere, at the top, in functions and behind conditions."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"medsynth"}


@cache
def sources() -> dict[str, list[str]]:
    return {name: [plain(one) for one in found] for name, found in packages_distributions().items()}


def unasked(code: str) -> dict[str, list[str]]:
    """Imported names -> the distributions they come from, none of which pyproject.toml asks for."""
    found = {name: sources().get(name, []) for name in imported(code)}
    return {name: source for name, source in found.items() if not asked_for().intersection(source)}


def test_every_import_is_asked_for() -> None:
    found = {path.relative_to(ROOT): unasked(path.read_text()) for path in (ROOT / "medsynth").rglob("*.py")}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("import pytest", ["pytest"]),
        ("def late():\n    from hypothesis import given", ["hypothesis"]),
        ("if True:\n    import not_installed.anywhere", []),
    ],
)
def test_what_is_for_tests_only_or_not_there_is_told(code: str, source: list[str]) -> None:
    assert list(unasked(f"import numpy, json, PIL.Image, yaml\n{code}").values()) == [source]


def test_names_of_distributions() -> None:
    assert plain("medsynth[codecs]") == "medsynth"
    assert plain("PyYAML>=6.0") == plain("pyyaml") == "pyyaml"
    assert plain("hydra_core>=1.3.2") == "hydra-core"
