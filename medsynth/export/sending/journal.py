"""What was sent where, out/sent.json: a second call sends only what is missing."""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Destination
from medsynth.export.sending.items import Item
from medsynth.files import disk_errors, write_json
from medsynth.identity.export_names import SENT_FILE

SCHEMA = "medsynth.sent/1"
_SECONDS = 2.0


class Journal:
    """The objects that a destination has, by UID and SHA-256.

    Written at most every two seconds and at the end: what a kill takes from it is sent again, which makes no
    duplicates. What another call has written in the meantime stays. It names the destination and the hash of its
    address, no address and no login.

    Args:
        out: the exported folder.
        destination: whose part of the journal it is; parts of others are kept.

    Raises:
        MedsynthError: sent.json is altered or of another version.
    """

    def __init__(self, out: Path, destination: Destination) -> None:
        self._path = out / SENT_FILE
        self._destination = destination
        _, self._sent = _read(self._path, destination.sha256)
        self._written = time.monotonic()

    def has(self, item: Item) -> bool:
        """Whether the destination has exactly this object."""
        return self._sent.get(item.uid, {}).get("sha256") == item.sha256

    def sent(self, item: Item, note: str = "") -> None:
        """The destination said that it has it."""
        entry = {"uid": item.uid, "path": item.path, "sha256": item.sha256}
        self._sent[item.uid] = {**entry, **({"note": note} if note else {})}
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self, failed: Iterable[tuple[Item, str]] = ()) -> None:
        """Write sent.json; `failed` are the objects that did not get through, each with the reason."""
        listed = [{"uid": item.uid, "path": item.path, "sha256": item.sha256, "reason": said} for item, said in failed]
        with _alone(self._path.parent):
            others, sent = _read(self._path, self._destination.sha256)
            self._sent = {**sent, **self._sent}
            own = {
                "name": self._destination.name,
                "address_sha256": self._destination.sha256,
                "sent": list(self._sent.values()),
                "failed": listed,
            }
            write_json(self._path, {"schema": SCHEMA, "medsynth": __version__, "destinations": [*others, own]})
        self._written = time.monotonic()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One call at a time reads and writes: others wait. The lock ends with the process, however that ends."""
    with disk_errors(folder / SENT_FILE):
        handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path, address: str) -> tuple[list[Mapping[str, Any]], dict[str, dict[str, str]]]:
    try:
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise ValueError
        parts = list(content["destinations"])
        own = [part for part in parts if part["address_sha256"] == address]
        sent = {entry["uid"]: dict(entry) for part in own for entry in part["sent"]}
        return [part for part in parts if part not in own], sent
    except FileNotFoundError:
        return [], {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise MedsynthError(
            f"{SENT_FILE} in out cannot be read; take it away, and all is sent again, which makes no duplicates"
        ) from None
