"""Every configuration file is read, every key of it by something."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from medsynth.cli.call import bind
from medsynth.cli.help import entries, groups, heading, option_entries, read_config, verb_help
from medsynth.cli.verbs import VERBS
from medsynth.errors import MedsynthError
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sampling import SAMPLERS, SamplingPlan
from medsynth.training.gan_objective import GanObjective
from medsynth.training.objective import Objective

CONF = Path(__file__).parent.parent / "conf"
FILES = sorted(str(path.relative_to(CONF)).removesuffix(".yaml") for path in CONF.rglob("*.yaml"))
OPTIONS = [name for name in FILES if "/" in name]
GIVEN = {"features/file": ("features.file.path=net.pt2",)}
"""What an option cannot be chosen without."""


def composed(verb: str, *overrides: str) -> dict[str, object]:
    given = [f"{key}=x" for key, value in yaml.safe_load(read_config(verb)).items() if value == "???"]
    with initialize_config_module("medsynth.conf", version_base="1.3"):
        config = OmegaConf.to_container(compose(verb, [*given, *overrides]), resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    if config.get("identity") == "x":
        config["identity"] = "trust"
    return {str(key): value for key, value in config.items()}


def read_by(verb: str, *overrides: str) -> dict[str, object]:
    """The verb's arguments; where a value is left to the experiment, with the first that fits."""
    experiments = [name.partition("/")[2] for name in FILES if name.startswith("experiment/")]
    refused: Exception | None = None
    for experiment in [None, *(experiments if verb == "train" else [])]:
        chosen = [] if experiment is None else [f"experiment={experiment}"]
        try:
            return bind(VERBS[verb].load(), composed(verb, *chosen, *overrides), VERBS[verb].paths)
        except (MissingMandatoryValue, MedsynthError) as error:
            refused = error
    assert refused is not None
    raise refused


def users_of(option: str) -> list[str]:
    """Verbs whose configuration can hold the option."""
    group = option.rpartition("/")[0]
    return [verb for verb in VERBS if group in groups(read_config(verb))]


def test_each_verb_has_its_file_and_each_file_its_verb() -> None:
    assert sorted(VERBS) == sorted(name for name in FILES if "/" not in name)
    assert [option for option in OPTIONS if not users_of(option)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_verbs_function_reads_every_key(verb: str) -> None:
    arguments = read_by(verb)
    assert VERBS[verb].paths | VERBS[verb].texts | VERBS[verb].runtime <= set(arguments)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_verbs_function_reads_every_key_of_every_option(option: str) -> None:
    group, _, name = option.rpartition("/")
    for verb in users_of(option):
        if group == "experiment":  # finished as it is
            bind(VERBS[verb].load(), composed(verb, f"{group}={name}"), VERBS[verb].paths)
        else:
            read_by(verb, f"{group}={name}", *GIVEN.get(option, ()))


@pytest.mark.parametrize("name", FILES)
def test_every_file_and_every_key_says_what_it_means(name: str) -> None:
    text = read_config(name)
    assert heading(text), f"{name}.yaml begins with no comment"
    if not name.startswith("experiment/"):
        group, _, option = name.rpartition("/")
        found = option_entries(group, option) if group else entries(text)
        mute = [entry.key for entry in found if not entry.meaning]
        assert not mute, f"{name}.yaml: no comment above {mute}"


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_key_and_option(verb: str) -> None:
    text = verb_help(VERBS[verb])
    assert "reads " in text
    assert "writes " in text
    assert f"medsynth {verb} " in text
    for key in yaml.safe_load(read_config(verb)):
        assert key == "defaults" or f"  {key}" in text
    for option in OPTIONS:
        assert verb not in users_of(option) or option.rpartition("/")[2] in text


def test_functions_have_the_defaults_of_the_configuration() -> None:
    """A notebook that names no setting gets what the command gets."""
    for name in SAMPLERS:
        plan = SamplingPlan.usual(name)
        assert composed("generate", f"sampler={name}")["sampler"] == {
            **asdict(plan),
            "options": {**SamplingPlan.defaults(name), **plan.options},
        }
    assert yaml.safe_load(read_config("objective/edm")) == asdict(Objective())
    gan = yaml.safe_load(read_config("objective/gan"))
    assert {name: value for name, value in gan.items() if name != "_target_"} == asdict(GanObjective())
    assert ParametrisationPlan(**yaml.safe_load(read_config("parametrisation/edm"))) == ParametrisationPlan()
