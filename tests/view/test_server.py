"""Loopback, a secret, a table: whatever else is asked for is refused, and says nothing."""

import http.client
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsynth.errors import MedsynthError
from medsynth.view.catalogue import catalogue
from medsynth.view.server import Viewer
from tests.export.conftest import place
from tests.view.conftest import served


@pytest.fixture
def samples(make_samples, tmp_path: Path) -> Path:
    return make_samples(tmp_path / "samples", place("oblique"), count=2)


@pytest.fixture
def viewer(script: Path, samples: Path) -> Iterator[Viewer]:
    (samples / "secret.txt").write_text("nobody may read this")
    with served(samples=samples) as running:
        yield running


def asked(viewer: Viewer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Sent as it is written: no client tidies the path."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=10) as line:
        line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        answer = http.client.HTTPResponse(line, method=method)
        answer.begin()
        return answer.status, answer.read(), answer.headers


def own(viewer: Viewer) -> str:
    return viewer.url.removeprefix(f"http://127.0.0.1:{viewer.port}")


def test_what_is_listed_comes_as_it_lies_on_the_disk(viewer: Viewer, samples: Path) -> None:
    with urllib.request.urlopen(viewer.url + "volume/1-0.nii.gz", timeout=10) as answer:
        assert answer.read() == (samples / "volumes" / "000001_image.nii.gz").read_bytes()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    status, content, headers = asked(viewer, own(viewer) + "thumbnail/0.png", "HEAD", Host="localhost")
    assert (status, content, headers["Content-Type"]) == (200, b"", "image/png")
    assert int(headers["Content-Length"]) > 100


HOSTILE = [
    "/",
    "/{bad}/",
    "/{bad}/catalogue.json",
    "{own}../",
    "{own}..",
    "{own}../catalogue.json",
    "{own}./catalogue.json",
    "{own}/catalogue.json",
    "{own}//catalogue.json",
    "{own}catalogue.json/",
    "{own}catalogue.json?",
    "{own}catalogue.json?x=1",
    "{own}catalogue.json#x",
    "{own}catalogue%2ejson",
    "{own}CATALOGUE.JSON",
    "{own}samples.jsonl",
    "{own}secret.txt",
    "{own}medsynth.json",
    "{own}volumes/000000_image.nii.gz",
    "{own}volume/../secret.txt",
    "{own}volume/%2e%2e/secret.txt",
    "{own}volume/..%2fsecret.txt",
    "{own}volume/0-0.nii.gz/../../secret.txt",
    "{own}volume/0-0.nii.gz%00.txt",
    "{own}volume/0-0",
    "{own}volume/00-0.nii.gz",
    "{own}volume/-1-0.nii.gz",
    "{own}volume/2-0.nii.gz",
    "{own}volume/0-9.nii.gz",
    "{own}volume/１-0.nii.gz",
    "{own}thumbnail/2.png",
    "{own}thumbnail/1e0.png",
    "{own}thumbnail/0.png/",
    "{own}niivue-LICENSE.txt",
    "{own}static/app.js",
    "{own}app.js/../view.css",
    "{own}__init__.py",
    "{own}/etc/passwd",
    "{own}../../../../../../etc/passwd",
    "{own}..\\..\\etc\\passwd",
    "{own}file:///etc/passwd",
    "/etc/passwd",
    "/../../etc/passwd",
    "//etc/passwd",
    "http://127.0.0.1{own}",
    "http://evil.example{own}catalogue.json",
    "{own}" + "a" * 5000,
    "*",
]


@pytest.mark.parametrize("path", HOSTILE, ids=[path[:40] for path in HOSTILE])
def test_what_is_not_listed_is_not_there(viewer: Viewer, path: str) -> None:
    said = path.format(own=own(viewer), bad=own(viewer).strip("/")[:-1] + "~")
    status, content, _ = asked(viewer, said, Host=f"127.0.0.1:{viewer.port}")
    assert (status, content) == (404, b"there is nothing here\n")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example",
        "127.0.0.1:{port}.evil.example",
        "localhost.evil.example:{port}",
        "evil.example@127.0.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "2130706433:{port}",
        "[::1]:{port}",
        "localhost:123456",
        "localhost:",
        "",
        "localhost, evil.example",
    ],
)
def test_a_page_that_calls_this_machine_by_another_name_gets_nothing(viewer: Viewer, host: str) -> None:
    status, content, _ = asked(viewer, own(viewer) + "catalogue.json", Host=host.format(port=viewer.port))
    assert (status, content) == (421, b"this page is for this machine alone\n")


def test_no_name_or_two_get_nothing(viewer: Viewer) -> None:
    assert asked(viewer, own(viewer) + "catalogue.json")[0] == 421
    both = {"Host": f"127.0.0.1:{viewer.port}", "host": "evil.example"}
    assert asked(viewer, own(viewer) + "catalogue.json", **both)[0] == 421
    for good in ("127.0.0.1", "localhost:9", "LOCALHOST"):  # by way of a tunnel the port is another
        assert asked(viewer, own(viewer) + "catalogue.json", Host=good)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"])
def test_nothing_can_be_done_but_looking(viewer: Viewer, method: str) -> None:
    status, _, headers = asked(viewer, own(viewer) + "catalogue.json", method, Host="localhost")
    assert status == 501
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_a_volume_that_changed_is_refused_with_a_line(viewer: Viewer, samples: Path) -> None:
    (samples / "volumes" / "000000_image.nii.gz").write_bytes(b"x")
    status, content, _ = asked(viewer, own(viewer) + "volume/0-0.nii.gz", Host="localhost")
    assert (status, content) == (409, b"the file of channel image was changed since it was recorded\n")
    assert asked(viewer, own(viewer) + "thumbnail/0.png", Host="localhost")[0] == 409


def test_it_listens_on_loopback_alone(viewer: Viewer) -> None:
    assert viewer.url.startswith("http://127.0.0.1:")
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not str(address).startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, viewer.port), timeout=2)


def test_two_pages_have_two_secrets_and_a_taken_port_is_said(viewer: Viewer, samples: Path) -> None:
    with served(samples=samples) as other:
        assert own(other) != own(viewer)
        assert len(own(other)) > 30
    with pytest.raises(MedsynthError, match=f"port {viewer.port}: .*choose another"):
        Viewer(catalogue(samples), viewer.port)
    with pytest.raises(MedsynthError, match="port is 0"):
        Viewer(catalogue(samples), 70000)


def test_the_command_prints_the_address_serves_and_ends_with_ctrl_c(script: Path, samples: Path) -> None:
    # A shell that starts the tests in the background lets them, and so their children, ignore Ctrl-C.
    listening = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    listening += "from medsynth.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", listening, "view", f"samples={samples}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "2 things to look at; Ctrl-C ends it\n"
            with urllib.request.urlopen(running.stdout.readline().strip(), timeout=10) as answer:
                assert b"medsynth view" in answer.read()
            running.send_signal(signal.SIGINT)
            said, complained = running.communicate(timeout=20)
        finally:
            running.kill()
    assert (running.returncode, said, complained) == (0, "\nended\n", "")
