"""STOW-RS (PS3.18 10.5), by dicomweb-client."""

import logging
import ssl
from collections.abc import Iterable
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Destination
from medsynth.export.sending.items import Item, Loaded
from medsynth.export.sending.knock import knock, tls_context
from medsynth.export.sending.logins import Secret
from medsynth.export.sending.outcomes import Outcome, of_http, of_status

_SLOWEST = 200_000
"""Bytes per second: an answer is waited for longer where the object is large."""
_WHOLE = 2**40
"""Bytes up to which a request has a length and goes in one piece: not every archive takes chunks."""
logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())


class StowSender:
    """A destination that takes STOW-RS.

    Args:
        destination: of kind dicomweb.
        study: Study Instance UID of one that will be sent, which the echo asks for.

    Raises:
        MedsynthError: a login or a certificate that cannot be read.
    """

    def __init__(self, destination: Destination, study: str) -> None:
        self._destination, self._study = destination, study
        self._context = tls_context(destination.tls, destination.name) if destination.tls else None
        self._secret = destination.login.read() if destination.login else None

    def echo(self) -> None:
        """Ask for a study of our own (QIDO-RS): whether the login works shows, and no patient's data comes back.

        Where there is no connection, a knock tells why.

        Raises:
            MedsynthError: the reason in words.
        """
        line = self.line()
        try:
            status = line.ask(self._study)
        except requests.RequestException as error:
            knock(self._destination, self._context)
            reason = _lost(error)
            said = f"{reason.said}; {_ANOTHER_PORT}" if reason is _LOST else reason.said
            raise MedsynthError(f"{self._destination.name}: {said}") from None
        finally:
            line.close()
        # An archive that only stores answers 405 or 501 here, once it has let us in.
        if not (200 <= status <= 299 or status in (405, 501)):
            said = "this login may not ask here (HTTP 403)" if status == 403 else of_http(status).said
            raise MedsynthError(f"{self._destination.name}: {said}")

    def line(self) -> "StowLine":
        """A connection of its own."""
        return StowLine(self._destination, self._context, self._secret)


class StowLine:
    """A connection that is kept, an object a request."""

    def __init__(self, destination: Destination, context: ssl.SSLContext | None, secret: Secret | None) -> None:
        self._destination = destination
        self._answer: requests.Response | None = None
        self._session = _session(destination, context, secret)
        self._session.hooks["response"].append(self._keep)
        self._client = DICOMwebClient(
            destination.url,
            session=self._session,
            headers={"Accept": "application/dicom+json"},
            chunk_size=_WHOLE,
        )
        self._client.set_http_retry_params(retry=False)  # rounds do that, for all

    def open(self) -> None:
        """Nothing: a connection is made with the first request."""

    def ask(self, study: str) -> int:
        """The HTTP status of a search for a study."""
        self._answer = None
        address = f"{self._destination.url}/studies"
        headers = {"Accept": "application/dicom+json"}
        answer = self._session.get(
            address,
            params={"StudyInstanceUID": study, "limit": "1"},
            headers=headers,
            allow_redirects=False,
        )
        return int(answer.status_code)

    def send(self, item: Item, loaded: Loaded) -> Outcome:
        """STOW-RS of an object, as it is."""
        self._answer = None
        try:
            self._client.store_instances([loaded.dataset])
        except requests.HTTPError:
            pass  # its answer is read below
        except requests.TooManyRedirects:
            return of_http(300)
        except requests.RequestException as error:
            return _lost(error)
        except (ValueError, KeyError, AttributeError, TypeError):
            pass  # an answer that is no DICOM; what there is of it is read below
        return _LOST if self._answer is None else of_answer(self._answer, item.uid)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _keep(self, answer: requests.Response, *_args: Any, **_named: Any) -> None:
        self._answer = answer


_LOST = Outcome("again", "the connection was lost")
_ANOTHER_PORT = "is that the port of DICOMweb, and not that of C-STORE?"


def of_answer(answer: requests.Response, uid: str) -> Outcome:
    """What an answer to STOW-RS says of an object (PS3.18 10.5.3).

    200: all stored; 202: some with a warning or not at all; 409: none. Which, its sequences say.
    """
    if answer.status_code not in (200, 201, 202, 204, 409):
        return of_http(answer.status_code)
    said = _answered(answer)
    for failed in _named(said, "FailedSOPSequence", uid):
        if "FailureReason" in failed:
            # An archive that lists a warning among the failures has stored it all the same.
            return of_status(int(failed.FailureReason))
        return Outcome("refused", "the archive did not store it and does not say why")
    for stored in _named(said, "ReferencedSOPSequence", uid):
        if "WarningReason" in stored:
            return of_status(int(stored.WarningReason))
        return Outcome("sent")
    if answer.status_code == 409:
        return Outcome("refused", "the archive did not store it and does not say why (HTTP 409)")
    if answer.status_code == 202:
        return Outcome("again", "the archive does not say whether it stored it (HTTP 202)")
    return Outcome("sent", "the archive does not name it in its answer")


def _answered(answer: requests.Response) -> Dataset:
    try:
        content = answer.json()
        return Dataset.from_json(content[0] if isinstance(content, list) else content)
    except Exception:  # of whatever somebody's server sends
        return Dataset()


def _named(said: Dataset, keyword: str, uid: str) -> Iterable[Dataset]:
    return [one for one in said.get(keyword) or [] if str(one.get("ReferencedSOPInstanceUID", "")) == uid]


def _lost(error: requests.RequestException) -> Outcome:
    if isinstance(error, requests.Timeout):
        return Outcome("again", "no answer came in time")
    if isinstance(error, requests.exceptions.SSLError):
        return Outcome("again", "TLS failed; does it want a certificate of ours (tls.certificate)?")
    return _LOST


class _Adapter(HTTPAdapter):
    """Our TLS under requests, and more time for what is large."""

    def __init__(self, context: ssl.SSLContext | None, seconds: float) -> None:
        self._context, self._seconds = context, seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named, ssl_context=self._context)

    def send(self, request: requests.PreparedRequest, **named: Any) -> requests.Response:
        answer = self._seconds + len(request.body or b"") / _SLOWEST
        return super().send(request, **{**named, "timeout": (self._seconds, answer)})


class _Login(AuthBase):
    """The login, on every request, whatever the client made of the headers."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # dicomweb-client sets Host without the port; without it, the port is written.
        request.headers.pop("Host", None)
        if self._secret is None:
            return request
        if self._secret.token:
            request.headers["Authorization"] = f"Bearer {self._secret.token}"
            return request
        basic = HTTPBasicAuth(self._secret.user.encode(), self._secret.password.encode())
        return basic(request)


def _session(destination: Destination, context: ssl.SSLContext | None, secret: Secret | None) -> requests.Session:
    session = requests.Session()
    # Nothing of the environment: no proxy, no .netrc, no other authorities.
    session.trust_env = False
    session.max_redirects = 0  # what is sent goes where the list says, nowhere else
    session.auth = _Login(secret)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(context, destination.pace.timeout))
    if destination.tls is not None and destination.tls.ca is not None:
        session.verify = str(destination.tls.ca)
    return session
