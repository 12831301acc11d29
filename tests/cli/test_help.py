from pathlib import Path

from medsynth.cli.help import Choice, Entry, entries, groups, heading, option_entries, verb_help
from medsynth.cli.verbs import VERBS

TEXT = """# @package _global_
# What it is.
# example: x
defaults:
  - base: one
  - optional experiment: null
  - override hydra/sweeper: basic
  - _self_
# Folder.
out: ???
# Mean and deviation.
mean: 0
std: 1

bare: 2
# All of the network.
net:
  width: 8

  # How deep
  # it is.
  depth: [1, 2]
# Two of them.
parts:
  - name: a
    low: 0
  # Not a meaning.
  - {name: b}  # two
# Last.
last: 1
"""


def test_keys_their_defaults_and_their_comments() -> None:
    assert heading(TEXT) == "What it is.\nexample: x"
    assert groups(TEXT) == {"base": Choice(("one",), False), "experiment": Choice((), False)}
    assert groups("defaults:\n  - features: [a, b]") == {"features": Choice(("a", "b"), True)}
    assert entries(TEXT, above="g.") == [
        Entry("g.out", "???", "Folder."),
        Entry("g.mean", "0", "Mean and deviation."),
        Entry("g.std", "1", "Mean and deviation."),
        Entry("g.bare", "2", ""),
        Entry("g.net.width", "8", "All of the network."),
        Entry("g.net.depth", "[1, 2]", "How deep it is."),
        Entry("g.parts", "[{name: a, low: 0}, {name: b}]", "Two of them."),
        Entry("g.last", "1", "Last."),
    ]


def test_an_option_is_explained_with_what_it_is_built_on(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "base.yaml").write_text("# Base.\n\n# Images.\nimages: ???\nplan:\n  # Steps.\n  steps: 1\n")
    (folder / "mine.yaml").write_text(
        "# @package plans\n# My own.\ndefaults:\n  - base\n_target_: x.Y\nimages:\n  ct: {low: 0}\nplan:\n  steps: 2\n"
    )
    (folder / "listed.yaml").write_text("# @package plans\ndefaults:\n  - base\nimages:\n  - {name: ct}\n")
    (folder / "base.yaml").write_text("# @package plans\n" + (folder / "base.yaml").read_text())
    assert option_entries("experiment", "mine", str(tmp_path)) == [
        Entry("plans.plan.steps", "2", "Steps."),
        Entry("plans.images.ct", "{low: 0}", "Images."),
    ]
    assert Entry("plans.images", "[{name: ct}]", "Images.") in option_entries("experiment", "listed", str(tmp_path))
    assert "  mine                 My own." in verb_help(VERBS["train"], str(tmp_path))
