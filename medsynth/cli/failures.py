"""Every failure as one clear line and an exit status; a traceback is a bug."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Collection
from pathlib import Path

from medsynth.cli.arguments import did_you_mean
from medsynth.errors import MedsynthError, Terminated
from medsynth.files import NAME_TOO_LONG

INTERRUPTED, TERMINATED = 130, 143
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def fail(error: Exception, known: Collection[str] = ()) -> int:
    """Print the one line for an error on stderr.

    Args:
        error: what stopped the command.
        known: configuration keys, for "did you mean".

    Returns:
        The exit status: 1 refused or failed, 2 wrong usage.
    """
    if os.environ.get("MEDSYNTH_DEBUG") == "1":
        traceback.print_exception(error)
    line, status = explain(error, known)
    say(f"error: {line}")
    return status


def say(line: str) -> None:
    """One line on stderr; a name that is no text in this locale does not stop it."""
    print("medsynth: " + " ".join(line.split()), file=sys.stderr, flush=True)


def interrupted(stop: KeyboardInterrupt) -> int:
    """The user pressed Ctrl-C, or the machine ended the work."""
    say("stopped; the same command goes on where it was")
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def explain(error: Exception, known: Collection[str] = ()) -> tuple[str, int]:
    """The line and the exit status for an error."""
    if isinstance(error, MedsynthError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return "no space left on the disk: free some room and call the same command again, it goes on where it was", 1
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return NAME_TOO_LONG, 1
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory: choose a smaller batch, a smaller grid or fewer workers", 1
    if type(error).__module__.split(".")[0] in ("hydra", "omegaconf", "yaml", "antlr4"):
        return _configuration(error, known), 2
    return (
        f"a bug: {type(error).__name__} in {_place(error)}; MEDSYNTH_DEBUG=1 shows the traceback, please report it",
        1,
    )


def _configuration(error: Exception, known: Collection[str]) -> str:
    from hydra.errors import MissingConfigException, OverrideParseException

    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = ", ".join(error.options or []) or "none"
        return f"there is no {group or 'configuration'} '{option}'; there are: {options}"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}' as key=value; put quotes around the value: key=\"'...'\""
    unknown = re.match(r"Could not override '([^']+)'", text)
    entry = re.match(r"Key '([^']+)' is not in struct", str(error.__cause__))
    if unknown and entry and unknown[1] in known:
        return f"{unknown[1]} has no entry {entry[1]} yet: write +{unknown[1]}.{entry[1]}=... for each new one"
    if unknown:
        return f"unknown key {unknown[1]}: nothing reads it{did_you_mean(unknown[1], known)}"
    taken = re.match(r"Could not append to config. An item is already at '([^']+)'", text)
    if taken:
        return f"{taken[1]} is set already: write {taken[1]}=... without '+'"
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"a configuration file is no YAML: line {mark.line + 1}, column {mark.column + 1}"
    return "the configuration: " + "; ".join(part.strip() for part in text.splitlines()[:2] if part.strip())


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}medsynth{os.sep}" in frame.filename] or frames
    if not ours:
        return "medsynth"
    return f"{'/'.join(Path(ours[-1].filename).parts[-3:])} line {ours[-1].lineno}"
