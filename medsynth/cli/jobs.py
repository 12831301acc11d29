"""One verb through Hydra: compose, check, claim the folder, call. The only use of `hydra.main`."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from medsynth.cli.arguments import Arguments, quote, without_paths
from medsynth.cli.call import bind
from medsynth.cli.failures import fail, say
from medsynth.cli.help import known_keys
from medsynth.cli.out_folder import Stamp, claim, flatten
from medsynth.cli.verbs import Verb
from medsynth.errors import MedsynthError, UsageError


def run(verb: Verb, arguments: Arguments) -> int:
    """Run a verb, or every job of its sweep.

    A job that fails does not stop the jobs after it.

    Returns:
        The exit status: of a sweep, the worst of its jobs.
    """
    known = known_keys(verb, arguments.config_dir)
    statuses: list[int] = []

    def job(config: DictConfig) -> None:
        try:
            statuses.append(_job(verb, config))
        except Exception as error:
            statuses.append(fail(error, known))

    try:
        with _hydra_words(arguments):
            hydra.main(config_path="pkg://medsynth.conf", config_name=verb.name, version_base="1.3")(job)()
    except SystemExit:  # Hydra has printed why: a part of the configuration that is not there
        return UsageError.exit_code
    except Exception as error:  # of the words given, for the jobs see to their own
        if type(error) is ValueError:
            said = "a key goes through a list by number: data.images.0.low=-500; or give the whole list"
            return fail(UsageError(said))
        return fail(error, known)
    if arguments.cfg is not None:
        return 0
    if not statuses:
        raise MedsynthError("the launcher ran the jobs elsewhere and did not say how they ended; look into out")
    if len(statuses) > 1:
        failed = [str(number) for number, status in enumerate(statuses) if status]
        say(f"{len(statuses)} jobs, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    return max(statuses)


@contextmanager
def _hydra_words(arguments: Arguments) -> Iterator[None]:
    """Hydra reads sys.argv and writes into its own folders: give it ours for a while."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    with tempfile.TemporaryDirectory(prefix="medsynth-") as scratch:
        # Hydra would make out before anything is checked, and leave the paths of patients' scans
        # in a run: its own records go to a folder that vanishes, ours are written by _job.
        fixed = [f"{key}={quote(scratch)}" for key in ("hydra.run.dir", "hydra.sweep.dir")]
        fixed += ["hydra.output_subdir=null", "hydra.job.chdir=false"]
        fixed += ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        sys.argv = ["medsynth", *arguments.for_hydra(fixed)]
        os.environ["HYDRA_FULL_ERROR"] = "1"  # the exceptions themselves, not Hydra's report of them
        try:
            yield
        finally:
            sys.argv = argv
            del os.environ["HYDRA_FULL_ERROR"]
            if full_error is not None:
                os.environ["HYDRA_FULL_ERROR"] = full_error


def _job(verb: Verb, config: DictConfig) -> int:
    settings = HydraConfig.get()
    words = [without_paths(word, verb.paths) for word in settings.overrides.task]
    sweeping = settings.mode == RunMode.MULTIRUN
    if sweeping:
        say(f"job {settings.job.num}: {' '.join(word for word in words if not word.endswith('=<path>'))}")
    values = _values(verb, config)
    function = verb.load()
    if values.get("out") is None:
        return _status(verb, function(**bind(function, values, verb.paths)))
    sweep_folder = Path(str(values["out"]))
    if sweeping:
        values["out"] = str(sweep_folder / str(settings.job.num))
    arguments = bind(function, values, verb.paths)
    content = {key: _content(verb, key, arguments) for key in verb.inputs}
    shown = _without_paths(values, verb)
    stamp = Stamp(verb=verb.name, config=_lasting(shown, verb), inputs=content)
    records = {"config.yaml": OmegaConf.to_yaml(shown), "overrides.yaml": OmegaConf.to_yaml(words)}
    with ExitStack() as folders:
        if sweeping:
            folders.enter_context(claim(sweep_folder, Stamp(verb=verb.name, sweep=True)))
        if folders.enter_context(claim(arguments["out"], stamp, records)) and not verb.says_resumed:
            say("the folder was begun by the same command: going on")
        return _status(verb, function(**arguments))


def _values(verb: Verb, config: DictConfig) -> dict[str, Any]:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UsageError(f"{missing[0]} has to be given: {missing[0]}=... (medsynth {verb.name} --help)")
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _content(verb: Verb, key: str, arguments: Mapping[str, Any]) -> str | None:
    path = arguments.get(key)
    if path is None:
        return None
    content = verb.inputs[key](key, path)
    if arguments["out"].resolve().is_relative_to(path.resolve()):
        raise MedsynthError(f"out lies inside {key}, and what is finished is not changed; choose an out beside it")
    return content


def _without_paths(values: Mapping[str, Any], verb: Verb) -> dict[str, Any]:
    return {key: "<path>" if key in verb.paths and value is not None else value for key, value in values.items()}


def _lasting(shown: Mapping[str, Any], verb: Verb) -> dict[str, Any]:
    """The configuration without paths and without what changes nothing in the result."""
    flat = flatten(shown)
    return {key: value for key, value in flat.items() if key not in verb.paths | verb.runtime}


def _status(verb: Verb, result: Any) -> int:
    summary = getattr(result, "summary", None)
    if summary:
        print(summary, flush=True)
    status = int(getattr(result, "exit_code", 0))
    if status:
        say(verb.unfinished)
    return status
