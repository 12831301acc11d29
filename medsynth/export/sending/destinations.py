"""Where objects may be sent: a list of the user's, in a YAML file, that holds no password."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from medsynth.errors import MedsynthError
from medsynth.export.sending.entries import Entry, read_entries
from medsynth.export.sending.logins import Login, login_of
from medsynth.files import sha256_json

LIST_VARIABLE = "MEDSYNTH_PACS"
ACCEPTED = "i_accept"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}\Z|[0-9A-Fa-f:.]{2,45}\Z")
_LOOPBACK = re.compile(r"localhost\Z|127(\.\d{1,3}){3}\Z|::1\Z")
# PS3.5 6.2, AE: printable ASCII without the backslash, not blanks alone.
_TITLE = re.compile(r"(?! *\Z)[ -\[\]-~]{1,16}\Z")
_PACE = {"connections", "attempts", "wait", "timeout"}
_KEYS = {
    "dimse": {"kind", "host", "port", "called", "calling", "tls", "login", "unencrypted", *_PACE},
    "dicomweb": {"kind", "url", "tls", "login", "unencrypted", *_PACE},
}


@dataclass(frozen=True, kw_only=True)
class Tls:
    """How the other side is known, and how it knows us.

    Args:
        ca: PEM file of the authorities that it is signed by, or its own certificate; None: those of the system.
        certificate, key: PEM files of our own, where it asks for them; the key for its owner alone, without a password.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How hard it is tried.

    Args:
        connections: at the same time, 1 to 16.
        attempts: rounds over what failed, in a row, in which nothing gets through, 1 to 20.
        wait: seconds before the second round; twice as long before each further one, a minute at most.
        timeout: seconds for a connection or an answer.

    Raises:
        MedsynthError: outside these ranges.
    """

    connections: int = 2
    attempts: int = 5
    wait: float = 1.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        ranges = {"connections": (1, 16), "attempts": (1, 20), "wait": (0, 60), "timeout": (0.1, 3600)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise MedsynthError(f"{name} is a number from {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """An archive that is sent to.

    Args:
        name: as the user calls it.
        kind: "dimse" (C-STORE) or "dicomweb" (STOW-RS).
        host, port: of either.
        url: of the DICOMweb service; empty for the other kind.
        called, calling: AE titles of the archive and of ours; empty for DICOMweb.
        tls: None where it is not encrypted.
        login: None where none is asked for.
        pace: how hard it is tried.
    """

    name: str
    kind: Literal["dimse", "dicomweb"]
    host: str
    port: int
    url: str = ""
    called: str = ""
    calling: str = ""
    tls: Tls | None = None
    login: Login | None = None
    pace: Pace = Pace()

    @property
    def address(self) -> str:
        """For people: where, as whom, and whether it can be read on the way."""
        place = self.url or f"{self.called} at {self.host} port {self.port}, as {self.calling}"
        protocol = "STOW-RS" if self.kind == "dicomweb" else "C-STORE"
        return f"{protocol} to {place}, {'encrypted' if self.tls else 'NOT encrypted'}"

    @property
    def sha256(self) -> str:
        """Of where it is: the journal's word for it. The same archive under another name is the same."""
        place = [self.url] if self.url else [self.host.lower(), self.port, self.called]
        return sha256_json([self.kind, *place])


def destination(name: str, path: Path | None = None) -> Destination:
    """The destination of that name.

    Args:
        name: in the list.
        path: of the list; None for the file that MEDSYNTH_PACS names.

    Raises:
        MedsynthError: no list, one that cannot be read, a name that is not in it, a wrong entry; no
            value of the file is in the message.
    """
    entries = read_entries(_list_file(path))
    known = sorted(filter(_NAME.match, entries))
    if name not in known:
        raise MedsynthError(f"pacs names none of the list of destinations; there are: {', '.join(known) or 'none'}")
    return _destination(name, entries[name])


def _list_file(path: Path | None) -> Path:
    if path is not None:
        return path
    named = os.environ.get(LIST_VARIABLE)
    if not named:
        raise MedsynthError(
            f"no list of destinations: give pacs_list=FILE or set {LIST_VARIABLE} to it (docs/how-to/send-to-a-pacs.md)"
        )
    return Path(named).expanduser()


def _destination(name: str, entry: Entry) -> Destination:
    web = entry.one_of("kind", ("dimse", "dicomweb")) == "dicomweb"
    kind: Literal["dimse", "dicomweb"] = "dicomweb" if web else "dimse"
    entry.require_known(_KEYS[kind])
    place: dict[str, Any] = _web_place(entry) if kind == "dicomweb" else _dimse_place(entry)
    tls, secure = _tls(entry), place.pop("secure", None)
    if kind == "dicomweb":
        if tls is not None and not secure:
            raise entry.wrong("tls", "is for an address that begins with https://")
        tls = (tls or Tls()) if secure else None
    login = login_of(entry.group("login"), kind)
    exposed = login is not None and tls is None and not _LOOPBACK.match(place["host"])
    if exposed and entry.optional_text("unencrypted") != ACCEPTED:
        raise entry.wrong(
            "login", f"would go over the network for all to read; use TLS, or set unencrypted: {ACCEPTED} in this entry"
        )
    return Destination(name=name, kind=kind, tls=tls, login=login, pace=_pace(entry), **place)


def _dimse_place(entry: Entry) -> dict[str, Any]:
    host, port = entry.text("host"), entry.number("port", 104)
    if not _HOST.match(host):
        raise entry.wrong("host", "is a name or an address, without port and protocol")
    titles = {"called": entry.text("called"), "calling": entry.optional_text("calling") or "MEDSYNTH"}
    for key, title in titles.items():
        if not _TITLE.match(title):
            raise entry.wrong(key, "is an AE title: 1 to 16 ASCII characters, no backslash")
    return {"host": host, "port": _port(entry, "port", port), **{key: title.strip() for key, title in titles.items()}}


def _web_place(entry: Entry) -> dict[str, Any]:
    text = entry.text("url")
    try:
        url = urlsplit(text)
        secure, host, port = url.scheme == "https", url.hostname, url.port
    except ValueError:
        raise entry.wrong("url", "is no address") from None
    if url.scheme not in ("http", "https") or not host or not _HOST.match(host):
        raise entry.wrong("url", "is an address: https://HOST:PORT/PATH")
    if url.username is not None or url.query or url.fragment:
        raise entry.wrong("url", "holds no user, password, ? or #; the key login says where these are")
    number = _port(entry, "url", port if port is not None else 443 if secure else 80)
    return {"host": host, "port": number, "url": text.rstrip("/"), "secure": secure}


def _port(entry: Entry, key: str, port: float) -> int:
    if port != int(port) or not 0 < port < 65536:
        raise entry.wrong(key, "has a port from 1 to 65535")
    return int(port)


def _tls(entry: Entry) -> Tls | None:
    group = entry.group("tls")
    if group is None:
        return None
    group.require_known({"ca", "certificate", "key"})
    tls = Tls(ca=group.file("ca"), certificate=group.file("certificate"), key=group.file("key"))
    if (tls.certificate is None) != (tls.key is None):
        raise group.wrong("certificate", "and key go together")
    return tls


def _pace(entry: Entry) -> Pace:
    usual = Pace()
    values = {name: entry.number(name, getattr(usual, name)) for name in sorted(_PACE)}
    for name in ("connections", "attempts"):
        if values[name] != int(values[name]):
            raise entry.wrong(name, "is a whole number")
    try:
        return Pace(
            connections=int(values["connections"]),
            attempts=int(values["attempts"]),
            wait=values["wait"],
            timeout=values["timeout"],
        )
    except MedsynthError as error:
        raise MedsynthError(f"{entry.place}: {error}") from None
