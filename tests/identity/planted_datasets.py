"""Identities in the files that describe an exported data set: in each value, each name and each cell of them.

At each place one of `WHOM` after the other takes its turn, so that all of them come to each kind of place.
"""

import copy
import csv
import io
import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.identity.planted_exports import WHO, _paths

FOREIGN_UID = "1.2.276.0.7230010.3.1.4.8323329"
WHOM = (*WHO, FOREIGN_UID, 83749201)


def described(folder: Path) -> list[Path]:
    """The files of a data set that are no volumes."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".gz")


def plants_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """What is planted, and the file's bytes with it."""
    if path.suffix == ".json":
        yield from _in_json(json.loads(path.read_text()))
    elif path.suffix in (".csv", ".tsv"):
        yield from _in_table(path, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _in_text(path.read_text())


def _in_json(content: Any) -> Iterator[tuple[str, bytes]]:
    """A value's whole, text put before and behind it and into its middle, another name for it, and one value more."""
    turn = cycle(WHOM)
    for place in _some(_paths(content)):
        for way in ("value", "value", "before", "behind", "within", "name", "more"):
            who = next(turn)
            changed = copy.deepcopy(content)
            above: Any = changed
            for step in place[:-1]:
                above = above[step]
            old = above[place[-1]]
            if way == "value":
                above[place[-1]] = who
            elif way in ("before", "behind", "within") and isinstance(old, str) and old:
                half = len(old) // 2
                put = {"before": f"{who} {old}", "behind": f"{old} {who}", "within": f"{old[:half]} {who} {old[half:]}"}
                above[place[-1]] = put[way]
            elif way == "name" and isinstance(above, dict):
                above[str(who)] = above.pop(place[-1])
            elif way == "more":
                above.update({"seed": who}) if isinstance(above, dict) else above.append(who)
            else:
                continue
            yield f"{who} as {way} at {place}", json.dumps(changed).encode()


def _some(places: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Of each list the first two entries and the last: the others are of their kind."""
    found = list(places)
    last = {place[:-1]: place[-1] for place in found if isinstance(place[-1], int)}

    def near(place: tuple[Any, ...]) -> bool:
        return all(not isinstance(step, int) or step < 2 or step == last[place[:at]] for at, step in enumerate(place))

    return [place for place in found if near(place)]


def _in_table(path: Path, delimiter: str) -> Iterator[tuple[str, bytes]]:
    rows = list(csv.reader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter))
    chosen, turn = {0, 1, len(rows) // 2, len(rows) - 1} & set(range(len(rows))), cycle(map(str, WHOM))
    for number in sorted(chosen):
        for column, old in enumerate(rows[number]):
            for way in ("{who}", "{who}", "{old} {who}", "{who} {old}"):
                who = next(turn)
                changed = [list(row) for row in rows]
                changed[number][column] = way.format(who=who, old=old)
                yield f"{who} in {path.name}, row {number}, column {rows[0][column]}", _table(changed, delimiter)
    for who in map(str, WHOM):
        yield f"{who} behind a row of {path.name}", _table([*rows[:-1], [*rows[-1], who]], delimiter)
        yield f"{who} below {path.name}", _table([*rows, [who]], delimiter)


def _table(rows: list[list[str]], delimiter: str) -> bytes:
    with io.StringIO() as text:
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()


def _in_text(text: str) -> Iterator[tuple[str, bytes]]:
    lines = text.split("\n")
    for number in range(len(lines)):
        for who in map(str, WHOM):
            changed = [*lines[:number], f"{lines[number]} {who}", *lines[number + 1 :]]
            yield f"{who} in line {number}", "\n".join(changed).encode()
