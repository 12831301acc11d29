"""The list of destinations as it stands in its file: every wrong line is told by its key, never by its value."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from medsynth.errors import MedsynthError


class Entry(NamedTuple):
    """A group of keys of the file. Values may be secrets that somebody put there, so no message repeats one.

    `place` names it for messages, `folder` is where its relative paths begin.
    """

    place: str
    values: Mapping[str, Any]
    folder: Path

    def wrong(self, key: str, said: str) -> MedsynthError:
        """The error for a key."""
        return MedsynthError(f"{self.place}: {key} {said}")

    def require_known(self, keys: Collection[str]) -> None:
        """Refuse a key that nothing reads.

        Raises:
            MedsynthError: there is one.
        """
        for key in self.values:
            if key not in keys:
                close = difflib.get_close_matches(str(key), sorted(keys), n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                raise MedsynthError(
                    f"{self.place}: a key that nothing reads; {hint}there are: {', '.join(sorted(keys))}"
                )

    def text(self, key: str) -> str:
        """A text that has to be there.

        Raises:
            MedsynthError: it is missing or no text.
        """
        found = self.optional_text(key)
        if found is None:
            raise self.wrong(key, "has to be given")
        return found

    def optional_text(self, key: str) -> str | None:
        """A text, or None.

        Raises:
            MedsynthError: it is no text, or an empty one.
        """
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.wrong(key, "is a text; put it in quotes")
        return value

    def one_of(self, key: str, known: Collection[str]) -> str:
        """One of the known words.

        Raises:
            MedsynthError: another.
        """
        if (value := self.optional_text(key)) not in known or value is None:
            raise self.wrong(key, f"is one of {', '.join(known)}")
        return value

    def number(self, key: str, usual: float) -> float:
        """A number.

        Raises:
            MedsynthError: it is none.
        """
        value = self.values.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "is a number")
        return value

    def file(self, key: str) -> Path | None:
        """A file, relative to the list's folder; None where none is named.

        Raises:
            MedsynthError: it is not there.
        """
        name = self.optional_text(key)
        if name is None:
            return None
        path = self.folder / Path(name).expanduser()
        try:
            there = path.is_file()
        except (OSError, ValueError):
            there = False
        if not there:
            raise self.wrong(key, "names a file that is not there; paths begin at the folder of the list")
        return path

    def group(self, key: str) -> "Entry | None":
        """Keys below a key; None where there are none.

        Raises:
            MedsynthError: it is no group.
        """
        value = self.values.get(key)
        if value is None and key not in self.values:
            return None
        if not isinstance(value, Mapping):
            raise self.wrong(key, "is a group of keys, {} for the usual ones")
        return Entry(f"{self.place}, {key}", value, self.folder)


def read_entries(path: Path) -> dict[str, Entry]:
    """Entries of the list by name.

    Raises:
        MedsynthError: no file, no YAML, no groups.
    """
    where = "the list of destinations"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MedsynthError(f"{where} cannot be read: {path}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise MedsynthError(f"{where} is no YAML{line}") from None
    if not isinstance(content, Mapping) or not all(isinstance(entry, Mapping) for entry in content.values()):
        raise MedsynthError(f"{where} holds a group of keys for each name (docs/how-to/send-to-a-pacs.md)")
    return {str(name): Entry(f"destination {name}", entry, path.parent) for name, entry in content.items()}
