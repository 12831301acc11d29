"""Archives that refuse: a full one, one that takes no SEG, one without JPEG-LS, bad certificates; dcmtk's storescp."""

import contextlib
import socket
import ssl

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from medsynth.errors import MedsynthError
from tests.export.sending.archives import Proxy, certificates, free_port, program, require, server_tls
from tests.export.sending.conftest import objects, sent

# pynetdicom does not close the socket of a connection that failed, and leaves that to the collector.
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"), pytest.mark.usefixtures("collected")]
CONTEXTS = [(CTImageStorage, ExplicitVRLittleEndian)]


@contextlib.contextmanager
def archive(contexts=None, status=0x0000, tls=None, most=10, handlers=(), title="ORTHANC"):
    """pynetdicom as an archive that answers as it is told; `status` is one for all, or a function of the event."""
    entity = AE(ae_title=title)
    entity.maximum_associations = most
    entity.require_called_aet = True
    entity.add_supported_context(Verification)
    for sop_class, syntax in contexts or []:
        entity.add_supported_context(sop_class, syntax)
    received = []

    def store(event):
        answer = status(event) if callable(status) else status
        if answer in (0x0000, 0xB000):
            received.append(event.dataset)
        return answer

    port = free_port()
    events = [(evt.EVT_C_STORE, store), *handlers]
    running = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=events, ssl_context=tls)
    try:
        yield port, received
    finally:
        running.shutdown()


def test_one_that_is_full_is_not_asked_for_ever(exported, listed):
    asked = []
    with archive([*CONTEXTS], lambda event: asked.append(event) or 0xA700) as (port, _):
        report = sent(exported(), listed(port=port), attempts=2, connections=1)
    assert report.exit_code == 1
    assert len(report.failed) == 9
    assert len(asked) == 8  # four slices of CT, twice
    reasons = {why for path, why in report.failed if "_CT" in path}
    assert reasons == {"the archive is full or out of other resources (A700)"}


def test_what_it_does_not_take_is_told_and_the_rest_sent(exported, listed):
    with archive(CONTEXTS) as (port, received):
        report = sent(exported(), listed(port=port))
    assert (len(received), report.sent, len(report.failed)) == (4, 4, 5)
    reasons = dict(report.failed)
    seg = next(path for path in reasons if "SEG" in path)
    assert "does not take this kind of object" in reasons[seg]
    assert "Segmentation Storage" in reasons[seg]


def test_one_without_the_compression_is_told(exported, listed):
    contexts = [(CTImageStorage, ExplicitVRLittleEndian)]
    with archive(contexts) as (port, received):
        report = sent(exported("compressed"), listed(port=port))
    assert received == []
    said = report.failed[0][1]
    assert "not in this transfer syntax (CT Image Storage, JPEG-LS Lossless" in said
    assert "dicom.compression=none" in said


def test_one_that_knows_implicit_vr_alone_gets_that(exported, listed):
    with archive([(CTImageStorage, ImplicitVRLittleEndian)]) as (port, received):
        out = exported()
        assert sent(out, listed(port=port)).sent == 4
    ours = {one["uid"]: pydicom.dcmread(out / one["path"]) for one in objects(out)}
    for theirs in received:
        mine = ours[theirs.SOPInstanceUID]
        assert {element.tag: element.value for element in mine} == {element.tag: element.value for element in theirs}


def test_a_warning_is_noted(exported, listed):
    with archive(CONTEXTS, 0xB000) as (port, _):
        report = sent(exported("compressed"), listed(port=port))
        assert report.sent == 0
        report = sent(out := exported(), listed(port=port))
    assert (report.sent, report.noted) == (4, 4)
    assert "changed elements" in (out / "sent.json").read_text()


def test_it_fails_now_and_then(exported, listed):
    """Every second time for whatever reason: each gets through in the end."""
    count = iter(range(1000))
    with archive(CONTEXTS, lambda event: 0x0110 if next(count) % 2 == 0 else 0x0000) as (port, received):
        report = sent(exported(), listed(port=port))
    assert report.sent == 4
    assert len({one.SOPInstanceUID for one in received}) == len(received) == 4


def test_one_that_takes_one_connection_gets_all_over_it(exported, listed):
    with archive(CONTEXTS, most=1) as (port, received):
        assert sent(exported(), listed(port=port), connections=4).sent == 4
    assert len(received) == 4


def test_user_and_passcode_are_handed_over(exported, listed, monkeypatch):
    monkeypatch.setenv("PACS_USER", "alice")
    monkeypatch.setenv("PACS_PASSWORD", "geheim")
    seen = []

    def identified(event):
        seen.append((event.primary_field, event.secondary_field))
        return event.secondary_field == b"geheim", None

    login = {"user": "PACS_USER", "password": "PACS_PASSWORD"}
    with archive(CONTEXTS, handlers=[(evt.EVT_USER_ID, identified)]) as (port, _):
        assert sent(exported(), listed(port=port, login=login)).sent == 4
        monkeypatch.setenv("PACS_PASSWORD", "falsch")
        with pytest.raises(MedsynthError, match="look at the login") as refused:
            sent(exported("picture"), listed(port=port, login=login))
    assert seen[0] == (b"alice", b"geheim")
    assert "falsch" not in str(refused.value)


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pem")
    (folder / "other").mkdir()
    return {
        "right": certificates(folder),
        "other": certificates(folder / "other"),
        "name": certificates(folder, "archive.example"),
    }


@pytest.mark.parametrize("kind", ["dimse", "dicomweb"])
def test_certificates(kind, pems, exported, listed, request):
    """Right, unknown, of another host, in a port without TLS."""
    server = request.getfixturevalue("server")
    port = server.dicom if kind == "dimse" else server.http

    def to(there, ca):
        place = {"port": there} if kind == "dimse" else {"url": f"https://127.0.0.1:{there}/dicom-web"}
        return listed(**place, tls={"ca": str(pems[ca][0])} if ca else {})

    out = exported("picture")
    with Proxy(port, tls=server_tls(*pems["right"])) as there:
        for ca in ("other", None):
            with pytest.raises(MedsynthError, match="its certificate is not accepted: self-signed certificate"):
                sent(out, to(there.port, ca))
        assert server.count() == 0
        assert sent(out, to(there.port, "right")).exit_code == 0
        assert server.count() == 1
    other_name = pytest.raises(MedsynthError, match=r"certificate is not accepted: .*mismatch")
    with Proxy(port, tls=server_tls(*pems["name"])) as there, other_name:
        sent(exported("compressed"), to(there.port, "name"))
    with pytest.raises(MedsynthError, match="does this port speak TLS"):
        sent(exported("volumes"), to(port, "right"))


@pytest.mark.parametrize("kind", ["dimse", "dicomweb"])
def test_a_certificate_of_ours(kind, pems, exported, listed, request):
    server = request.getfixturevalue("server")
    port = server.dicom if kind == "dimse" else server.http
    own = {"certificate": str(pems["other"][0]), "key": str(pems["other"][1])}
    out = exported("picture")
    with Proxy(port, tls=server_tls(*pems["right"], client_ca=pems["other"][0])) as there:
        place = {"port": there.port} if kind == "dimse" else {"url": f"https://127.0.0.1:{there.port}/dicom-web"}
        ca = {"ca": str(pems["right"][0])}
        with pytest.raises(MedsynthError, match="archive: "):
            sent(out, listed(**place, tls=ca))
        assert sent(out, listed(**place, tls={**ca, **own})).exit_code == 0
    assert server.count() == 1


def test_nobody_there(exported, listed):
    out = exported("picture")
    with pytest.raises(MedsynthError, match="nothing listens there: connection refused"):
        sent(out, listed(port=free_port()))
    with pytest.raises(MedsynthError, match="there is no host of this name"):
        sent(out, listed(host="archive.invalid", port=104))
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(MedsynthError, match=r"no association|no answer"),
    ):
        sent(out, listed(port=mute.getsockname()[1], timeout=1), timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(MedsynthError, match="no TLS: no answer"):
        sent(out, listed(port=mute.getsockname()[1], tls={}), timeout=1)
    assert not (out / "sent.json").exists()


def test_storescp_of_dcmtk(exported, listed, tmp_path):
    require("storescp")
    port = free_port()
    (tmp_path / "got").mkdir()
    with program(["storescp", "-od", tmp_path / "got", "-aet", "ORTHANC", "+xa", port], tmp_path, port):
        out = exported("compressed")
        report = sent(out, listed(port=port))
    assert report.sent == 4 == len(list((tmp_path / "got").iterdir()))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_no_tls_below_1_2(listed, exported, pems):
    context = server_tls(*pems["right"])
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Proxy(1, tls=context) as there, pytest.raises(MedsynthError, match="no TLS: "):
        sent(exported("picture"), listed(port=there.port, tls={"ca": str(pems["right"][0])}))


def test_stow_at_the_port_of_c_store(exported, listed):
    with archive(CONTEXTS) as (port, received):
        web = listed(url=f"http://127.0.0.1:{port}/dicom-web")
        with pytest.raises(MedsynthError, match="not that of C-STORE"):
            sent(exported(), web)
    assert received == []
