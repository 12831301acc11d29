"""Which training case an audit found nearest to each sample, for the page that shows both."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medsynth.audit_record import NEAREST_FILE, PAIRS_FILE
from medsynth.errors import MedsynthError


class Nearest(NamedTuple):
    """The training case that an audit found nearest to a sample: its number, and what the audit says of the pair."""

    number: int
    text: str


def nearest_cases(audit: Path, numbers: Mapping[str, int]) -> dict[str, Nearest]:
    """Of every sample whose nearest case is there, by the sample's id; what was laid over each other is told in full.

    Args:
        audit: AUDIT.
        numbers: of the cases, by id.

    Raises:
        MedsynthError: a list of the audit that cannot be read.
    """
    found: dict[str, Nearest] = {}
    for name, told in ((NEAREST_FILE, _by_search), (PAIRS_FILE, _pair_text)):
        for line in _lines(audit / name) if numbers else ():
            try:
                if line["case"] in numbers:
                    found[line["sample"]] = Nearest(numbers[line["case"]], told(line))
            except (KeyError, TypeError, ValueError):
                raise _unreadable(name) from None
    return found


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        return
    try:
        yield from [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError):
        raise _unreadable(path.name) from None


def _unreadable(name: str) -> MedsynthError:
    return MedsynthError(f"{name} of the audit cannot be read; audit anew")


def _by_search(line: Mapping[str, Any]) -> str:
    return f"Found by {line['search']}, p {_number(line['p'], '.3g')}."


def _pair_text(line: Mapping[str, Any]) -> str:
    def flat(values: Sequence[Any]) -> str:
        return " ".join(str(int(value)) for value in values)

    return (
        f"{_by_search(line)} Laid over it the correlation is "
        f"{_number(line['correlation'], '.2f')}: shift {flat(line['shift'])} voxels, flips {flat(line['flips'])}, "
        f"axes {flat(line['axes'])}, turn {_number(line['degrees'], 'g')}°."
    )


def _number(value: float | None, style: str) -> str:
    return "unknown" if value is None else format(value, style)
