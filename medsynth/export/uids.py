"""DICOM UIDs that are a function of what they name."""

import uuid

from medsynth.files import sha256_json


def uid(*names: str) -> str:
    """The UID of what `names` fix together: "2.25." and a name-based UUID as a decimal number (PS3.5 B.2).

    122 bits of the names' SHA-256 are in it. The same names give the same UID, whenever and wherever.

    >>> uid("study", "a") == uid("study", "a") != uid("stud", "ya")
    True
    """
    digest = bytes.fromhex(sha256_json(list(names)))
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
