"""Archives to send to, on loopback: Orthanc, dcmtk's storescp, one that is always full; and a network that fails."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def require(*programs: str) -> None:
    packages = {
        "Orthanc": "orthanc",
        "storescp": "dcmtk",
        "storescu": "dcmtk",
        "openssl": "openssl",
        "unshare": "util-linux",
    }
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing (Debian package {packages[program]})")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens at {port}")


@contextlib.contextmanager
def program(words, folder: Path, *ports: int):
    """A server while it is needed; stopped by its own process."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(word) for word in words], cwd=folder, stdout=log, stderr=log)
        try:
            for port in ports:
                wait_for(port)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Orthanc:
    """A running Orthanc: its ports, and what it holds, as it says over its own REST interface."""

    def __init__(self, folder: Path, http: int, dicom: int, login=None) -> None:
        self.folder, self.http, self.dicom, self.login = folder, http, dicom, login
        self.session = requests.Session()
        self.rest = f"http://127.0.0.1:{http}"

    def get(self, path: str) -> requests.Response:
        answer = self.session.get(f"{self.rest}/{path}", auth=self.login, timeout=60)
        answer.raise_for_status()
        return answer

    def files(self) -> dict[str, bytes]:
        """Content by SOP Instance UID."""
        found = {}
        for one in self.get("instances?expand").json():
            uid = one["MainDicomTags"]["SOPInstanceUID"]
            assert uid not in found
            found[uid] = self.get(f"instances/{one['ID']}/file").content
        return found

    def count(self) -> int:
        return self.get("statistics").json()["CountInstances"]

    def clear(self) -> None:
        for one in self.get("patients").json():
            requests.delete(f"{self.rest}/patients/{one}", auth=self.login, timeout=60).raise_for_status()

    def store(self, paths) -> None:
        """C-STORE with dcmtk, as a scanner would."""
        require("storescu")
        words = ["storescu", "-R", "-aec", "ORTHANC", "127.0.0.1", str(self.dicom), *map(str, paths)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def orthanc(folder: Path, login=None, start=("Orthanc",), **settings):
    """Orthanc 1.10 with DICOMweb. It listens on all interfaces: for tests only."""
    require("Orthanc")
    if not PLUGIN.exists():
        pytest.skip("the DICOMweb plugin is missing (Debian package orthanc-dicomweb)")
    folder.mkdir(parents=True, exist_ok=True)
    http, dicom = free_port(), free_port()
    content = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": login is not None,
        "RegisteredUsers": dict([login]) if login else {},
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(content))
    with program([*start, folder / "orthanc.json"], folder, http, dicom):
        server = Orthanc(folder, http, dicom, login)
        yield server
        server.session.close()


class Proxy:
    """A network between us and an archive: cut after so many bytes, silent, or with TLS on our side.

    Args:
        port: of the archive.
        cut_after: bytes towards it after which each connection is cut, a number a connection; then it lets through.
        stall_after: bytes after which nothing moves any more, on the first connection.
        dead_after: bytes, of all connections, after which all are cut and none lives any more.
        tls: a server's context.
    """

    def __init__(
        self, port: int, cut_after=(), stall_after=None, dead_after=None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._target, self._tls = port, tls
        self._cuts, self._stall = list(cut_after), stall_after
        self._alive = dead_after
        self.cut = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, ours: socket.socket) -> None:
        if self._alive is not None and self._alive < 0:
            ours.close()
            return
        try:
            if self._tls is not None:
                ours = self._tls.wrap_socket(ours, server_side=True)
            theirs = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            ours.close()
            return
        self.connections += 1
        threading.Thread(target=self._copy, args=(theirs, ours), daemon=True).start()
        self._copy(ours, theirs, counted=True)

    def _copy(self, source: socket.socket, sink: socket.socket, counted=False) -> None:
        passed = 0
        try:
            while data := source.recv(4096):
                passed += len(data)
                if counted and self._stalls(passed):
                    self._stopped.wait()
                    break
                if counted and (self._dies(len(data)) or self._cuts_now(passed)):
                    break
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _stalls(self, passed: int) -> bool:
        with self._lock:
            stalls = self._stall is not None and passed > self._stall
            self._stall = None if stalls else self._stall
            return stalls

    def _dies(self, more: int) -> bool:
        with self._lock:
            if self._alive is not None:
                self._alive -= more
            return self._alive is not None and self._alive < 0

    def _cuts_now(self, passed: int) -> bool:
        with self._lock:
            if not self._cuts or passed <= self._cuts[0]:
                return False
            self._cuts.pop(0)
            self.cut += 1
            return True


def certificates(folder: Path, name="127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate for an address and its key."""
    require("openssl")
    kind = "IP" if name[0].isdigit() else "DNS"
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", f"/CN={name}"]
    words += ["-addext", f"subjectAltName={kind}:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def server_tls(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
