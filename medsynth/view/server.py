"""A page for this machine alone: loopback, a secret in the address, a list of addresses and nothing else.

No part of an address is ever a path on the disk: it is looked up, letter by letter, in a table made before the first
request. A page elsewhere that makes its name point here (DNS rebinding) sends its own name as Host, and is refused.
"""

import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from medsynth.errors import MedsynthError
from medsynth.view.catalogue import Entry, volume_address
from medsynth.view.niivue import STATIC, script
from medsynth.view.thumbnails import thumbnails

LOOPBACK = "127.0.0.1"
_OWN_NAMES = re.compile(r"(localhost|127\.0\.0\.1)(:\d{1,5})?\Z", re.IGNORECASE)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_PAGE_FILES = ("view.css", "app.js", "gallery.js", "viewer.js", "panel.js")
_NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:*"


class Resource(NamedTuple):
    """What an address gives: its media type, and what reads its content."""

    kind: str
    read: Callable[[], bytes]


def resources(entries: Sequence[Entry]) -> dict[str, Resource]:
    """Everything that can be asked for, by its address relative to the page.

    Raises:
        MedsynthError: the viewer's script is not installed.
    """
    listed = json.dumps([entry.to_json(number) for number, entry in enumerate(entries)]).encode()
    pages = {"": STATIC / "index.html", "niivue.js": script()} | {name: STATIC / name for name in _PAGE_FILES}
    found = {name: Resource(_TYPES[path.suffix], partial(_content, path)) for name, path in pages.items()}
    found["catalogue.json"] = Resource("application/json", lambda: listed)
    picture = thumbnails(entries)
    for number, entry in enumerate(entries):
        found[f"thumbnail/{number}.png"] = Resource("image/png", partial(picture, number))
        for index, volume in enumerate(entry.volumes):
            found[volume_address(number, index, volume)] = Resource("application/octet-stream", volume.read)
    return found


def _content(path: Path) -> bytes:
    return path.read_bytes()


class Viewer:
    """A running page. As a context it is closed at its end.

    Args:
        entries: what can be looked at.
        port: on which it listens; 0 takes a free one.
        framed: whether pages of this machine, a notebook's, may show it in a frame.

    Raises:
        MedsynthError: the port is taken or cannot be had; the viewer's script is not installed.
    """

    def __init__(self, entries: Sequence[Entry], port: int = 0, *, framed: bool = False) -> None:
        if not 0 <= port <= 65535:
            raise MedsynthError("port is 0, for a free one, or up to 65535")
        self._secret = secrets.token_urlsafe(24)
        handler = _handler(resources(entries), self._secret, framed)
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            reason = error.strerror or "it cannot be opened"
            raise MedsynthError(f"port {port}: {reason}; choose another, or port=0 for a free one") from None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """On which it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Address of the page. It holds a secret: who has it, on this machine, sees the page."""
        return f"http://{LOOPBACK}:{self.port}/{self._secret}/"

    def serve(self) -> None:
        """Serve until interrupted."""
        self._server.serve_forever()

    def start(self) -> Self:
        """Serve beside the caller, until closed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _headers(framed: bool) -> dict[str, str]:
    framers = _NOTEBOOKS if framed else "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        f"connect-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors {framers}"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _handler(table: Mapping[str, Resource], secret: str, framed: bool) -> type[BaseHTTPRequestHandler]:
    headers = _headers(framed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "medsynth", ""
        timeout = 60
        error_message_format, error_content_type = "%(message)s\n", "text/plain; charset=utf-8"

        def do_GET(self) -> None:
            self._answer(*self._found())

        def do_HEAD(self) -> None:
            self._answer(*self._found(), body=False)

        def _found(self) -> tuple[HTTPStatus, str, bytes]:
            plain = "text/plain; charset=utf-8"
            hosts = self.headers.get_all("Host", [])
            if len(hosts) != 1 or not _OWN_NAMES.match(hosts[0]):
                return HTTPStatus.MISDIRECTED_REQUEST, plain, b"this page is for this machine alone\n"
            first, _, name = self.path.removeprefix("/").partition("/")
            known = hmac.compare_digest(first.encode("utf-8", "replace"), secret.encode())
            resource = table.get(name) if known and self.path == f"/{secret}/{name}" else None
            if resource is None:
                return HTTPStatus.NOT_FOUND, plain, b"there is nothing here\n"
            try:
                return HTTPStatus.OK, resource.kind, resource.read()
            except MedsynthError as error:
                return HTTPStatus.CONFLICT, plain, f"{error}\n".encode()

        def _answer(self, status: HTTPStatus, kind: str, content: bytes, *, body: bool = True) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: addresses hold the secret."""

    return Handler
