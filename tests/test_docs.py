"""The documentation holds: links lead somewhere, commands parse, Python compiles, no field or key is missing."""

import ast
import dataclasses
import importlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from medsynth.cli.call import bind
from medsynth.cli.help import groups, known_keys, read_config
from medsynth.cli.main import main
from medsynth.cli.verbs import VERBS
from medsynth.models.run import RunInfo
from medsynth.records import CaseRecord, Channel, SampleRecord

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def blocks(language: str) -> list[tuple[str, str]]:
    """Fenced blocks of a language, each with the name of its page."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(name, found) for page, name in zip(PAGES, NAMES, strict=True) for found in fence.findall(page.read_text())]


def commands(program: str) -> list[list[str]]:
    """Words behind `program` of every line of the shell blocks that calls it."""
    lines = [shlex.split(line, comments=True) for _, block in blocks("sh") for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == [program]]


def first_values(words: Sequence[str]) -> list[str]:
    """A sweep's first job."""
    return [re.sub(r"=([^\[{,]+),.*", r"=\1", word) for word in words if word not in ("-m", "--multirun")]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text())
    for target in (one or other for one, other in targets):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        assert there.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


MEDSYNTH = commands("medsynth")


@pytest.mark.parametrize("words", MEDSYNTH, ids=[" ".join(words)[:60] for words in MEDSYNTH])
def test_commands_parse(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _, block in blocks("yaml"):  # the experiment that the guide writes
        own = tmp_path / "my_configs" / "experiment" / "knee_3d.yaml"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(block)
    if not any("=" in word for word in words):
        assert main(words) == 0
        return
    if "--cfg" in words:
        words = [word for word in words if word not in ("--cfg", "job")]
    status = main([*first_values(words), "--cfg", "job"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    verb = VERBS[words[0]]
    bind(verb.load(), yaml.safe_load(printed.out), verb.paths)
    assert "???" not in printed.out, "something that has to be given is missing"


def test_make_targets_and_scripts_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert [words for words in commands("make") if f"\n{words[0]}: " not in makefile] == []
    assert commands("python")
    for script, *words in commands("python"):
        text = (ROOT / script).read_text()
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == []


@pytest.mark.parametrize(("name", "block"), blocks("python"))
def test_python_compiles_and_imports_what_there_is(name: str, block: str) -> None:
    for node in ast.walk(ast.parse(block, name)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_functions_that_the_notebook_guide_names_exist() -> None:
    guide = (ROOT / "docs" / "how-to" / "notebook.md").read_text()
    named = [name for name in re.findall(r"`(medsynth\.[\w.]+)`", guide) if name.count(".") > 1]
    assert len(named) >= 4
    for name in named:
        module, _, function = name.rpartition(".")
        assert hasattr(importlib.import_module(module), function), name


@pytest.mark.parametrize("record", [CaseRecord, SampleRecord, Channel, RunInfo])
def test_every_field_of_a_record_is_explained(record: type) -> None:
    page = (ROOT / "docs" / "reference" / "folders.md").read_text()
    above = "info." if record is RunInfo else ""
    fields = [field.name for field in dataclasses.fields(record)]
    assert [field for field in fields if f"`{above}{field}`" not in page] == []


def test_every_option_of_a_training_is_on_the_page_of_the_experiments() -> None:
    page = (ROOT / "docs" / "how-to" / "experiments.md").read_text()
    options = {
        f"{group}={path.stem}": path.stem
        for group in groups(read_config("train"))
        for path in (ROOT / "conf" / group).glob("*.yaml")
        if path.stem != "base"
    }
    assert {"experiment=ddpm", "model=controlled", "text_encoder=minilm"} <= set(options)
    assert [name for name, option in options.items() if f"`{option}`" not in page] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_is_on_the_page_of_the_configuration(verb: str) -> None:
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    rows = {cells[1].strip(" `"): line for line in page.splitlines() if len(cells := line.split("|")) > 3}
    text = read_config(verb)
    for key in known_keys(VERBS[verb]):
        group, _, leaf = key.rpartition(".")
        row = rows[group] if group else rows[verb]
        assert f"`{leaf}`" in row or f"`{leaf}=" in row or f"`{key}`" in rows[verb], f"{key} is missing"
    assert [group for group in groups(text) if f"`{group}`" not in rows[verb]] == []
