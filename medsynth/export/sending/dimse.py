"""C-STORE (PS3.4 Annex B), by pynetdicom."""

import socket
import ssl
from collections.abc import Sequence
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Destination
from medsynth.export.sending.items import Item, Loaded
from medsynth.export.sending.knock import knock, tls_context
from medsynth.export.sending.lines import LineError
from medsynth.export.sending.logins import Secret
from medsynth.export.sending.outcomes import Outcome, of_status

_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_SLOWEST = 200_000
"""Bytes per second: an answer is waited for longer where the object is large."""
# PS3.8 9.3.4: why an association is rejected, by source and diagnostic.
_REJECTED: dict[tuple[int, int], str] = {
    (1, 1): "it gives no reason; look at called, calling and the login",
    (1, 2): "it does not know the application context",
    (1, 3): "it does not know our AE title; set calling in the list, or have it entered there",
    (1, 7): "it does not go by this AE title; set called in the list",
    (2, 1): "it gives no reason; look at the login",
    (2, 2): "it does not know the version of the protocol",
    (3, 1): "it is too busy for another connection",
    (3, 2): "it takes no more connections; set fewer connections in the list",
}
_CONTEXT_RESULTS = {
    3: "the archive does not take this kind of object (SOP class not supported)",
    4: "the archive takes this kind of object, but not in this transfer syntax",
}


class DimseSender:
    """A destination that takes C-STORE.

    Args:
        destination: of kind dimse.
        items: all that will be sent: what is negotiated depends on it.

    Raises:
        MedsynthError: a login or a certificate that cannot be read.
    """

    def __init__(self, destination: Destination, items: Sequence[Item]) -> None:
        self._destination = destination
        self._context = tls_context(destination.tls, destination.name) if destination.tls else None
        self._secret = destination.login.read() if destination.login else None
        self._pairs = list(dict.fromkeys((item.sop_class, item.syntax) for item in items))

    def echo(self) -> None:
        """C-ECHO; where there is no connection, a knock tells why.

        Raises:
            MedsynthError: the reason in words.
        """
        line = DimseLine(self._destination, self._context, self._secret, [])
        try:
            line.open()
            status = line.echo()
        except LineError as error:
            if not error.answered:  # not before: an archive may take a single connection, and remember this one
                knock(self._destination, self._context)
            raise MedsynthError(f"{self._destination.name}: {error}") from None
        finally:
            line.close()
        if status != 0:
            said = "no answer" if status is None else f"status {status:04X}"
            raise MedsynthError(f"{self._destination.name}: C-ECHO got {said}; is it an archive?")

    def line(self) -> "DimseLine":
        """An association of its own."""
        return DimseLine(self._destination, self._context, self._secret, self._pairs)


class DimseLine:
    """An association."""

    def __init__(
        self,
        destination: Destination,
        context: ssl.SSLContext | None,
        secret: Secret | None,
        pairs: Sequence[tuple[str, str]],
    ) -> None:
        self._destination, self._context, self._secret = destination, context, secret
        self._pairs = list(pairs)
        self._association: Any = None
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Associate, where we are not.

        Raises:
            LineError: no connection, rejected or aborted.
        """
        if self._association is not None and self._association.is_established:
            return
        self._hang_up()
        there = self._destination
        entity = AE(ae_title=there.calling)
        pace = there.pace.timeout
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = pace
        entity.network_timeout = None  # of waiting between objects; an answer has dimse_timeout
        # One syntax a context, so that the archive says of each whether it takes it.
        entity.add_requested_context(Verification, list(_UNCOMPRESSED))
        for sop_class, syntax in self._pairs:
            entity.add_requested_context(sop_class, list(_UNCOMPRESSED) if syntax in _UNCOMPRESSED else [syntax])
        try:
            self._association = entity.associate(
                there.host,
                there.port,
                ae_title=there.called,
                ext_neg=[_identity(self._secret)] if self._secret else None,
                tls_args=(self._context, there.host) if self._context else None,
                evt_handlers=[(evt.EVT_CONN_OPEN, self._limit)],
            )
        except (OSError, ValueError, RuntimeError):  # a name that no address belongs to
            raise LineError("no connection") from None
        if not self._association.is_established:
            refusal = self._refusal()
            self._hang_up()
            raise refusal

    def echo(self) -> int | None:
        """The status of C-ECHO; None without an answer."""
        try:
            status = self._association.send_c_echo()
        except (RuntimeError, ValueError):
            return None
        return int(status.Status) if "Status" in status else None

    def send(self, item: Item, loaded: Loaded) -> Outcome:
        """C-STORE of an object, as it is: what is compressed is not unpacked."""
        refused = self._not_taken(item)
        if refused is not None:
            return Outcome("refused", refused)
        self._association.dimse_timeout = self._destination.pace.timeout + loaded.size / _SLOWEST
        try:
            status = self._association.send_c_store(loaded.dataset)
        except RuntimeError:  # the association ended in the meantime
            return self._lost()
        except ValueError:
            return Outcome("refused", "it cannot be put into what was agreed with the archive")
        return of_status(int(status.Status)) if "Status" in status else self._lost()

    def close(self) -> None:
        """Release."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._hang_up()

    def _limit(self, event: evt.Event) -> None:
        # pynetdicom waits without end for a peer that no longer reads, and even its abort does. It does not close
        # what the peer has closed.
        self._socket = event.assoc.dul.socket.socket
        self._socket.settimeout(self._destination.pace.timeout)

    def _lost(self) -> Outcome:
        # It may still pass for established when the connection is gone: the next object gets a new one.
        if self._association.is_established:
            self._association.abort()
        self._hang_up()
        return _LOST

    def _hang_up(self) -> None:
        self._association = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _refusal(self) -> LineError:
        association = self._association
        if association.is_rejected:
            answer = association.acceptor.primitive
            source, diagnostic = int(answer.result_source), int(answer.diagnostic)
            said = _REJECTED.get((source, diagnostic), "for a reason that the standard does not know")
            # PS3.8 9.3.4: result 2 is rejected-transient.
            closed = int(answer.result) == 1 and source != 3
            return LineError(f"the association was rejected: {said}", answered=True, closed=closed)
        if association.is_aborted:
            hint = "; does it want a certificate of ours (tls.certificate)?" if self._context else ""
            return LineError(f"no association: the connection was cut, or nothing answered as DICOM{hint}")
        return LineError("no association")

    def _not_taken(self, item: Item) -> str | None:
        """Why the archive does not take such an object; None where it does."""
        for context in self._association.accepted_contexts:
            if context.abstract_syntax == item.sop_class:
                agreed = context.transfer_syntax[0]
                if agreed == item.syntax or (agreed in _UNCOMPRESSED and item.syntax in _UNCOMPRESSED):
                    return None
        results = [
            context.result
            for context in self._association.rejected_contexts
            if context.abstract_syntax == item.sop_class and item.syntax in (*context.transfer_syntax, "")
        ]
        said = _CONTEXT_RESULTS.get(results[0] if results else 0, "the archive does not take this kind of object")
        kind = f"{UID(item.sop_class).name}, {UID(item.syntax).name}"
        if results and results[0] == 4 and item.syntax not in _UNCOMPRESSED:
            return f"{said} ({kind}); export with dicom.compression=none into another out"
        return f"{said} ({kind})"


_LOST = Outcome("again", "the connection was lost, or no answer came in time")


def _identity(secret: Secret) -> UserIdentityNegotiation:
    """PS3.7 D.3.3.7: user and passcode."""
    item = UserIdentityNegotiation()
    item.user_identity_type = 2
    item.primary_field = secret.user.encode()
    item.secondary_field = secret.password.encode()
    item.positive_response_requested = False
    return item
