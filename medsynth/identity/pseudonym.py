"""Pseudonyms: keyed hashes in place of patient ids, with a key that stays with its owner.

Without the key nobody can test a guess ("is this patient 4711?") against a pseudonym;
with it the same patient gets the same pseudonym in every folder.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
import unicodedata
from pathlib import Path

from medsynth.errors import MedsynthError
from medsynth.files import disk_errors

KEY_VARIABLE = "MEDSYNTH_KEY"
_KEY = re.compile(r"[0-9a-f]{64}\n?\Z")


class Pseudonymiser:
    """Keyed HMAC-SHA256 (RFC 2104), cut to 64 bits, a domain of its own for each use.

    Args:
        key: 32 bytes or more, secret.

    Raises:
        MedsynthError: the key is shorter.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise MedsynthError("a pseudonym key has at least 32 bytes; delete the key file to have one made")
        self._key = key

    def patient(self, identity: str) -> str:
        """Patient key: "p" and 16 hexadecimal digits. Blanks at the ends do not count.

        >>> Pseudonymiser(bytes(32)).patient("4711") == Pseudonymiser(bytes(32)).patient(" 4711 ")
        True
        """
        return "p" + self.digest("patient", unicodedata.normalize("NFC", identity).strip())[:16]

    def case(self, patient: str, source: str) -> str:
        """Case id: "c" and 16 hexadecimal digits, of the patient and the scan's place in the source."""
        return "c" + self.digest("case", patient, source)[:16]

    def digest(self, domain: str, *parts: str) -> str:
        """64 hexadecimal digits that nobody without the key can compute from a guess of `parts`."""
        message = json.dumps([domain, *parts]).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def key_path(key: Path | None) -> Path:
    """Where the key lies: `key`, else what MEDSYNTH_KEY names, else ~/.config/medsynth/pseudonym.key."""
    named = key or os.environ.get(KEY_VARIABLE) or "~/.config/medsynth/pseudonym.key"
    return Path(named).expanduser()


def load_key(path: Path, out: Path) -> bytes:
    """Read the key at `path`, made on first use and readable by its owner alone.

    Args:
        path: of the key file.
        out: folder that will be handed to others; the key may not lie in it.

    Returns:
        32 bytes.

    Raises:
        MedsynthError: the key lies inside `out`, others may read it, or it is no key.
    """
    if path.resolve().is_relative_to(out.resolve()):
        raise MedsynthError(f"the pseudonym key would lie inside {out}: give key= another place")
    with disk_errors(path):
        if not path.exists():
            _make_key(path)
        if not path.is_file():
            raise MedsynthError(f"{path} is no file: give key= the path of a key file, or of one to be made")
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise MedsynthError(f"others may read the pseudonym key {path}: `chmod 600` it, or give key= another one")
        text = path.read_bytes().decode("ascii", "replace")
    if not _KEY.match(text):
        raise MedsynthError(f"{path} holds no pseudonym key (64 hexadecimal digits); give key= another file")
    return bytes.fromhex(text.strip())


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all, readable by its owner alone."""
    with disk_errors(path):
        partial = _private_partial(path, text)
        try:
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _make_key(path: Path) -> None:
    partial = _private_partial(path, secrets.token_hex(32) + "\n")
    try:
        # A link, not a rename: whoever comes second must not replace the first one's key.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()


def _private_partial(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")  # mkstemp: mode 600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
