"""What became of an object, in words: statuses of C-STORE (PS3.4 B.2.3, PS3.7 C) and of STOW-RS (PS3.18 10.5.3)."""

from typing import Literal, NamedTuple

State = Literal["sent", "again", "refused", "closed"]


class Outcome(NamedTuple):
    """What became of an object, and why.

    "sent": the archive has it, perhaps with a note. "again": it may work later. "refused": it will not, as it stands.
    "closed": neither it nor any other will.
    """

    state: State
    said: str = ""


_STATUSES: dict[int, Outcome] = {
    0x0000: Outcome("sent"),
    0x0111: Outcome("sent", "it was there already (0111)"),
    0xB000: Outcome("sent", "the archive changed elements of it (B000)"),
    0xB006: Outcome("sent", "the archive left elements out (B006)"),
    0xB007: Outcome("sent", "the archive finds that it does not match its SOP class (B007)"),
    0x0110: Outcome("again", "the archive failed at it (0110, processing failure)"),
    0x0117: Outcome("refused", "the archive finds its SOP Instance UID invalid (0117)"),
    0x0122: Outcome("refused", "the archive does not take this kind of object (0122, SOP class not supported)"),
    0x0124: Outcome("closed", "the archive does not let this AE title or login store (0124, not authorised)"),
    0x0210: Outcome("again", "the archive took the message for one it had (0210, duplicate invocation)"),
    0x0211: Outcome("closed", "the archive does not know C-STORE (0211, unrecognised operation)"),
    0x0212: Outcome("refused", "the archive cannot read the message (0212, mistyped argument)"),
    # PS3.18 Table 10.5.3-1 and CP 1565, in STOW alone.
    0xC122: Outcome("refused", "the archive does not take its transfer syntax (C122)"),
}
_HTTP: dict[int, Outcome] = {
    400: Outcome("refused", "the archive cannot read the request (HTTP 400)"),
    401: Outcome("closed", "wrong user, password or token (HTTP 401)"),
    403: Outcome("closed", "this login may not store here (HTTP 403)"),
    404: Outcome("closed", "there is no DICOMweb service at this address (HTTP 404); look at its path"),
    405: Outcome("closed", "the archive takes no STOW-RS at this address (HTTP 405)"),
    413: Outcome("refused", "it is larger than the archive or a proxy takes (HTTP 413)"),
    415: Outcome("refused", "the archive does not take this kind of object or its compression (HTTP 415)"),
    429: Outcome("again", "too many requests (HTTP 429); set fewer connections"),
    507: Outcome("again", "the archive is full (HTTP 507)"),
}


def of_status(status: int) -> Outcome:
    """Of a status of C-STORE, or a failure or warning reason of STOW-RS."""
    if status in _STATUSES:
        return _STATUSES[status]
    shown = f"{status:04X}"
    if 0xA700 <= status <= 0xA7FF:
        return Outcome("again", f"the archive is full or out of other resources ({shown})")
    if 0xA800 <= status <= 0xA8FF:
        return Outcome("refused", f"the archive does not take this kind of object ({shown}, SOP class not supported)")
    if 0xA900 <= status <= 0xA9FF:
        return Outcome("refused", f"the archive refuses it: it does not match its SOP class ({shown})")
    if 0xB000 <= status <= 0xBFFF:
        return Outcome("sent", f"the archive has a warning ({shown})")
    if 0xC000 <= status <= 0xCFFF:
        return Outcome("refused", f"the archive cannot understand it ({shown})")
    return Outcome("refused", f"the archive answers with status {shown}")


def of_http(status: int) -> Outcome:
    """Of an HTTP status that says nothing of single objects."""
    if status in _HTTP:
        return _HTTP[status]
    if status in (408, 425) or 500 <= status <= 599:
        return Outcome("again", f"the archive or a proxy before it failed (HTTP {status})")
    if 300 <= status <= 399:
        return Outcome("closed", f"the archive sends to another address (HTTP {status}); put that into the list")
    return Outcome("refused", f"the archive answers with HTTP {status}")
