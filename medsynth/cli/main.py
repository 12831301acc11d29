"""The `medsynth` command: finds the verb. Help and mistakes cost no heavy import."""

import os
import sys
from collections.abc import Mapping, Sequence

from medsynth import __version__
from medsynth.cli import failures
from medsynth.cli.arguments import did_you_mean, parse
from medsynth.cli.verbs import VERBS, Verb
from medsynth.errors import UsageError


def main(argv: Sequence[str] | None = None, verbs: Mapping[str, Verb] = VERBS) -> int:
    """Run one command.

    Args:
        argv: words behind `medsynth`; those of the process by default.
        verbs: what the command can do.

    Returns:
        Exit status: 0 done, 1 refused or failed with one clear line, 2 wrong usage,
        130 interrupted, 143 terminated.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(words, verbs)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as stop:
        return failures.interrupted(stop)
    except BrokenPipeError:  # `medsynth --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return failures.fail(error)


def _dispatch(words: list[str], verbs: Mapping[str, Verb]) -> int:
    if words[:1] in (["--help"], ["-h"], ["help"]):
        from medsynth.cli.help import overview

        print(overview(verbs))
        return 0
    if words[:1] == ["--version"]:
        print(f"medsynth {__version__}")
        return 0
    if not words or words[0] not in verbs:
        meant = f"there is no verb '{words[0]}'{did_you_mean(words[0], verbs)}" if words else "which verb?"
        raise UsageError(f"{meant} There are: {', '.join(verbs)} (medsynth --help)")
    verb = verbs[words[0]]
    arguments = parse(words[1:], verb.paths, verb.texts)
    if arguments.help:
        from medsynth.cli.help import verb_help

        print(verb_help(verb, arguments.config_dir))
        return 0
    from medsynth.cli.jobs import run

    return run(verb, arguments)
