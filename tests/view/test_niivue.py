"""The viewer's script: only the bytes of the known package are ever installed."""

import base64
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from medsynth.errors import MedsynthError
from medsynth.view import niivue


def package(**members: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def digest(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


GOOD = package(package__dist__index_js="the script", package__dist__index_min_js="another")


def test_the_script_is_taken_out_of_a_package_whose_digest_fits() -> None:
    assert niivue.extract(GOOD, digest(GOOD)) == b"the script"


@pytest.mark.parametrize(
    ("content", "integrity"),
    [
        (GOOD, niivue.INTEGRITY),
        (GOOD + b"x", digest(GOOD)),
        (GOOD, ""),
        (GOOD, "sha512-"),
        (GOOD, "sha1-" + digest(GOOD)),
        (b"", digest(GOOD)),
        (b"no package", digest(b"no package")),
        (package(other_js="x"), digest(package(other_js="x"))),
    ],
)
def test_other_bytes_are_refused(content: bytes, integrity: str) -> None:
    with pytest.raises(MedsynthError, match="package of niivue"):
        niivue.extract(content, integrity)


def test_nothing_is_installed_from_a_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.tgz").write_bytes(GOOD)
    monkeypatch.setenv("MEDSYNTH_NIIVUE", str(tmp_path / "wrong.tgz"))
    with pytest.raises(MedsynthError, match="nothing was installed"):
        niivue.fetch(tmp_path / "static" / "niivue.js")
    assert not (tmp_path / "static").exists()
    monkeypatch.setattr(niivue, "INTEGRITY", digest(GOOD))
    monkeypatch.setattr(niivue.extract, "__defaults__", (digest(GOOD),))
    assert niivue.fetch(tmp_path / "static" / "niivue.js")
    assert (tmp_path / "static" / "niivue.js").read_bytes().endswith(b"*/\nthe script")
    assert not niivue.fetch(tmp_path / "static" / "niivue.js"), "it is there already"
    monkeypatch.setenv("MEDSYNTH_NIIVUE", str(tmp_path / "nothing.tgz"))
    with pytest.raises(MedsynthError, match="names no file"):
        niivue.fetch(tmp_path / "other.js")


def test_without_npm_the_registry_that_is_set_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(GOOD)

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.delenv("MEDSYNTH_NIIVUE", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/npm/")
        with pytest.raises(MedsynthError, match="nothing was installed"):
            niivue.fetch(tmp_path / "niivue.js")
    assert asked == ["/npm/@niivue/niivue/-/niivue-0.69.0.tgz"]
    for registry, said in (("http://127.0.0.1:1/", "did not give"), ("file:///etc", "no http"), ("", "can be fetched")):
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
        with pytest.raises(MedsynthError, match=said):
            niivue.fetch(tmp_path / "niivue.js")
    assert list(tmp_path.iterdir()) == []


def test_where_it_is_missing_or_old_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(niivue, "SCRIPT", tmp_path / "niivue.js")
    for content in (None, "/*! niivue 0.1.0, BSD-2-Clause: see niivue-LICENSE.txt */\n"):
        if content is not None:
            (tmp_path / "niivue.js").write_text(content)
        with pytest.raises(MedsynthError, match=r"is not installed: .* -m medsynth\.view\.niivue` fetches it once"):
            niivue.script()


def test_its_licence_lies_beside_it() -> None:
    text = (niivue.STATIC / "niivue-LICENSE.txt").read_text()
    assert "BSD 2-Clause License" in text
    assert "Copyright (c) 2021, Niivue" in text
