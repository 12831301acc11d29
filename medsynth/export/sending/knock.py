"""Is anybody there, and is it who it should be: name, port and certificate, before a protocol is spoken."""

import socket
import ssl
from contextlib import suppress

from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Destination, Tls


def tls_context(tls: Tls, name: str) -> ssl.SSLContext:
    """A client's TLS, 1.2 or newer, that checks the certificate and the host's name.

    Args:
        tls: files; with `ca`, no other authority is believed.
        name: of the destination, for messages.

    Raises:
        MedsynthError: a file that is no certificate or no key, or a key behind a password.
    """
    place = f"destination {name}, tls"
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    except (OSError, ValueError):
        raise MedsynthError(f"{place}: ca is no file of certificates (PEM)") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None and tls.key is not None:
        if tls.key.stat().st_mode & 0o077:
            raise MedsynthError(f"{place}: others may read the key; make it yours alone: chmod 600")
        try:
            # A password is never asked for: an empty one fails.
            context.load_cert_chain(str(tls.certificate), str(tls.key), password=lambda: "")
        except (OSError, ValueError):
            raise MedsynthError(
                f"{place}: certificate and key do not fit together, are no PEM, or the key has a password, which it "
                "must not have"
            ) from None
    return context


def knock(destination: Destination, context: ssl.SSLContext | None) -> None:
    """Connect and hang up; nothing is sent but the handshake.

    Raises:
        MedsynthError: the name is not known, nothing listens, no answer, a certificate that is not accepted.
    """
    place = f"{destination.name} (host {destination.host}, port {destination.port})"
    timeout = destination.pace.timeout
    try:
        plain = socket.create_connection((destination.host, destination.port), timeout=timeout)
    except (socket.gaierror, UnicodeError):
        raise MedsynthError(f"{place}: there is no host of this name; look at the list, or at the network") from None
    except ConnectionRefusedError:
        raise MedsynthError(f"{place}: nothing listens there: connection refused; is the archive up?") from None
    except TimeoutError:
        raise MedsynthError(f"{place}: no answer within {timeout:g} s; a wrong address, or a firewall") from None
    except OSError as error:
        raise MedsynthError(f"{place}: no connection: {error.strerror or type(error).__name__}") from None
    with plain:
        if context is not None:
            _shake(plain, context, destination.host, place)


def _shake(plain: socket.socket, context: ssl.SSLContext, host: str, place: str) -> None:
    try:
        with context.wrap_socket(plain, server_hostname=host) as secure, suppress(OSError):
            secure.unwrap()
    except ssl.SSLCertVerificationError as error:
        raise MedsynthError(
            f"{place}: its certificate is not accepted: {error.verify_message}; if it is the right one, give its "
            "authority's as tls.ca"
        ) from None
    except (OSError, ValueError) as error:
        said = _reason(error) if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None) or "no answer"
        raise MedsynthError(f"{place}: no TLS: {said}; does this port speak TLS?") from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or type(error).__name__).lower().replace("_", " ")
