"""User, password and token: read from the environment or from a file that is its owner's alone, never shown."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from medsynth.errors import MedsynthError
from medsynth.export.sending.entries import Entry

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{1,127}\Z")
_PARTS = ("user", "password", "token")


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where a login is found; not the login.

    Args:
        place: for messages.
        variables: name of an environment variable by part: user, password, token.
        file: of mode 600, with these parts; None where the environment has them.
    """

    place: str
    variables: tuple[tuple[str, str], ...] = ()
    file: Path | None = None

    def read(self) -> "Secret":
        """The login itself.

        Raises:
            MedsynthError: it is not there, or its file is open to others.
        """
        parts = _of_file(self.place, self.file) if self.file else _of_environment(self.place, self.variables)
        if not ({"token"} == set(parts) or {"user", "password"} == set(parts)):
            raise MedsynthError(f"{self.place}: a login is a user and a password, or a token")
        for part, value in parts.items():
            if not value or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
                raise MedsynthError(f"{self.place}: the {part} is empty or holds a control character")
        return Secret(**parts)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A login. It does not show itself."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def login_of(group: Entry | None, kind: str) -> Login | None:
    """Where the login of a destination is found; None where it asks for none.

    Raises:
        MedsynthError: names that cannot be those of variables, a token for C-STORE.
    """
    if group is None:
        return None
    group.require_known({*_PARTS, "file"})
    file = group.file("file")
    variables = tuple((part, name) for part in _PARTS if (name := group.optional_text(part)) is not None)
    if (file is None) == (not variables):
        raise MedsynthError(f"{group.place}: give file, or the names of environment variables for user and password")
    for part, name in variables:
        if not _VARIABLE.match(name):
            raise group.wrong(
                part, f"is the NAME of an environment variable (capital letters, digits, _), not the {part}"
            )
    named = {part for part, _ in variables}
    if variables and named not in ({"token"}, {"user", "password"}):
        raise MedsynthError(f"{group.place}: name user and password, or token")
    if kind == "dimse" and "token" in named:
        raise group.wrong("token", "is for DICOMweb; C-STORE takes user and password")
    return Login(place=group.place, variables=variables, file=file)


def _of_environment(place: str, variables: tuple[tuple[str, str], ...]) -> dict[str, str]:
    found = {}
    for part, name in variables:
        if name not in os.environ:
            raise MedsynthError(
                f"{place}: the environment variable that `{part}` names is not set; export it, then the same command"
            )
        found[part] = os.environ[name]
    return found


def _of_file(place: str, path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in (0, os.geteuid()):
                raise MedsynthError(f"{place}: others may read its file; make it yours alone: chmod 600")
            content = yaml.safe_load(file.read(65536).decode())
    except OSError:
        raise MedsynthError(f"{place}: its file cannot be read") from None
    except (ValueError, yaml.YAMLError):
        raise MedsynthError(f"{place}: its file is no YAML of user and password, or token") from None
    if not isinstance(content, dict) or not all(part in _PARTS and isinstance(content[part], str) for part in content):
        raise MedsynthError(f"{place}: its file holds user and password, or token, as texts in quotes")
    return {str(part): str(value) for part, value in content.items()}
