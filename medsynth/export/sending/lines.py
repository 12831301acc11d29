"""What a protocol has to offer to be sent by."""

from typing import Protocol

from medsynth.export.sending.items import Item, Loaded
from medsynth.export.sending.outcomes import Outcome


class LineError(Exception):
    """A connection that could not be opened, with the reason in words.

    Args:
        said: the reason.
        answered: it is the other side's own reason.
        closed: it will not be opened later either.
    """

    def __init__(self, said: str, *, answered: bool = False, closed: bool = False) -> None:
        super().__init__(said)
        self.answered, self.closed = answered, closed


class Line(Protocol):
    """One connection, used by one thread."""

    def open(self) -> None:
        """Connect, where it is not connected.

        Raises:
            LineError: that did not work.
        """

    def send(self, item: Item, loaded: Loaded) -> Outcome:
        """Send an object over the open line and wait for the answer."""

    def close(self) -> None:
        """Hang up."""


class Sender(Protocol):
    """A destination in its protocol."""

    def echo(self) -> None:
        """Ask whether it is there and lets us in.

        Raises:
            MedsynthError: the reason in words.
        """

    def line(self) -> Line:
        """A line of its own for a thread."""
