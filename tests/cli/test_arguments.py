import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from medsynth.cli.arguments import parse, quote, without_paths
from medsynth.errors import UsageError

PARSER = OverridesParser.create()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@example("it's")
@example("a\\'b\\")
@example("\\\\${x}\\")
@example("${oc.env:HOME}")
@example("a\nb\t ")
@example("007")
@example("true")
def test_a_quoted_path_means_itself_to_hydra_alone_and_in_a_sweep(text: str) -> None:
    override = PARSER.parse_override(f"out={quote(text)}")
    assert not override.is_sweep_override()
    again = PARSER.parse_override(f"out={override.get_value_element_as_str()}")
    for parsed in (override, again):
        config = OmegaConf.create({"out": parsed.value()})
        assert OmegaConf.to_container(config, resolve=True) == {"out": text}


def test_flags_may_stand_anywhere() -> None:
    arguments = parse(["a=1", "-m", "b=2", "--config-dir", "my conf", "c=3"], set())
    assert arguments.overrides == ("a=1", "b=2", "c=3")
    assert arguments.multirun
    assert arguments.for_hydra(["d=4"]) == ["--multirun", "--config-dir=my conf", "a=1", "b=2", "c=3", "d=4"]


def test_only_paths_and_texts_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["steps=1,2", "out=a,b", "+key=null", "note=(x)", "source=~/scans", "run=~other"]
    arguments = parse(words, {"out", "key", "source", "run"}, {"note"})
    assert arguments.overrides == (
        "steps=1,2",
        "out='a,b'",
        "+key=null",
        "note='(x)'",
        "source='/home/me/scans'",
        "run='~other'",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--confg=job"], "unknown flag --confg; did you mean --cfg?"),
        (["--experimental-rerun=x.pickle"], "unknown flag --experimental-rerun"),
        (["--config-name=other"], "unknown flag --config-name"),
        (["--cfg"], "--cfg needs a value"),
        (["--cfg", "everything"], "--cfg prints one of"),
        (["--cfg=job", "-m"], "--cfg shows one job"),
        (["scans"], "'scans' is not key=value"),
        (["=3"], "'=3' is not key=value"),
        (["a=1", "+a=2"], "a is given twice"),
        (["out="], "out is empty"),
        (["hydra.run.dir=x"], "hydra.run.dir: medsynth sets this itself"),
        (["hydra.output_subdir=.hydra"], "hydra.output_subdir: medsynth sets this itself"),
        (["hydra/job_logging=default"], "hydra/job_logging: medsynth sets this itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(words, {"out"})
    assert said in str(refused.value)


def test_a_path_is_not_shown_to_others() -> None:
    assert without_paths("cases='/scans/DOE'", {"cases"}) == "cases=<path>"
    assert without_paths("++cases='/scans/DOE\n2'", {"cases"}) == "++cases=<path>"
    assert without_paths("init_from=null", {"init_from"}) == "init_from=null"
    assert without_paths("steps=1", {"cases"}) == "steps=1"
