"""A real Orthanc: what it gives back is what was sent; a network that is cut; many slices; refusals in words."""

import io
import json
import shutil
import time

import pydicom
import pytest
from pydicom.uid import generate_uid

from medsynth.errors import MedsynthError
from medsynth.export.dicom import encoded
from medsynth.files import sha256_file
from medsynth.identity.export_names import EXPORT_FILE
from tests.export.sending.archives import Proxy, orthanc, require
from tests.export.sending.conftest import journal, objects, sent

# pynetdicom does not close the socket of a connection that failed, and leaves that to the collector.
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"), pytest.mark.usefixtures("collected")]
KINDS = ("dimse", "dicomweb")


def same(ours: pydicom.Dataset, theirs: pydicom.Dataset) -> bool:
    """Every element, of the data set alone: the file meta names the program that received it."""
    return ours == theirs and ours.get("PixelData") == theirs.get("PixelData")


def require_identical(out, server):
    received = server.files()
    assert set(received) == {one["uid"] for one in objects(out)}
    for one in objects(out):
        ours, theirs = pydicom.dcmread(out / one["path"]), pydicom.dcmread(io.BytesIO(received[one["uid"]]))
        assert same(ours, theirs)
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert (ours.pixel_array == theirs.pixel_array).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["volumes", "compressed", "picture"])
def test_it_gives_back_what_was_sent(kind, name, exported, server, either):
    out = exported(name)
    report = sent(out, either(kind))
    assert (report.exit_code, report.sent, report.noted) == (0, len(objects(out)), 0)
    require_identical(out, server)


def test_a_changed_voxel_would_be_seen(exported):
    out = exported("picture")
    path = out / objects(out)[0]["path"]
    ours, theirs = pydicom.dcmread(path), pydicom.dcmread(path)
    assert same(ours, theirs)
    theirs.PixelData = theirs.PixelData[:-1] + bytes([theirs.PixelData[-1] ^ 1])
    assert not same(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_twice_sends_nothing_and_a_lost_journal_doubles_nothing(kind, exported, server, either):
    out, to = exported(), either(kind)
    first = sent(out, to)
    again = sent(out, to)
    assert (first.sent, again.sent, again.earlier) == (9, 0, 9)
    (out / "sent.json").unlink()
    assert sent(out, to).sent == 9
    assert server.count() == 9
    require_identical(out, server)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_network_loses_nothing_and_doubles_nothing(kind, exported, server, either):
    out = exported()
    with Proxy(server.dicom if kind == "dimse" else server.http, cut_after=[2500, 2500, 6000, 6000]) as network:
        to = either(kind, network.port, network.port)
        report = sent(out, to, attempts=6)
        assert (report.exit_code, report.sent, network.cut) == (0, 9, 4)
        require_identical(out, server)
        assert sent(out, to).sent == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_dead_network_took_is_sent_by_the_next_call(kind, exported, server, either):
    out = exported()
    port = server.dicom if kind == "dimse" else server.http
    with Proxy(port, dead_after=16_000) as network:
        report = sent(out, either(kind, network.port, network.port), attempts=2)
    assert report.exit_code == 1
    assert 0 < len(report.failed) < 9
    assert len(journal(out)["destinations"][0]["sent"]) == report.sent == 9 - len(report.failed)
    assert {entry["path"] for entry in journal(out)["destinations"][0]["failed"]} == {path for path, _ in report.failed}
    assert "did not get through" in report.summary
    assert "connection was " in report.summary
    assert sent(out, either(kind)).exit_code == 0
    require_identical(out, server)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_stands_still_is_given_up(kind, exported, server, either):
    """No answer and no end of the connection; what is larger than the network's buffers included."""
    out = exported("picture")
    path = out / objects(out)[0]["path"]
    large = pydicom.dcmread(path)
    large.Rows = large.Columns = 3000
    large.PixelData = bytes(2 * 3000 * 3000 if large.BitsAllocated == 16 else 3000 * 3000)
    rewritten(out, large)
    with Proxy(server.dicom if kind == "dimse" else server.http, stall_after=60_000) as network:
        began = time.monotonic()
        report = sent(out, either(kind, network.port, network.port), timeout=1)
        assert report.exit_code == 0
        assert network.connections >= 2
        assert time.monotonic() - began < 200  # 1 s, and 5 s a megabyte
    require_identical(out, server)


def rewritten(out, dataset):
    """The first object of the list with another content."""
    content = json.loads((out / EXPORT_FILE).read_text())
    one = content["studies"][0]["series"][0]["objects"][0]
    (out / one["path"]).write_bytes(encoded(dataset))
    one["sha256"] = sha256_file(out / one["path"])
    (out / EXPORT_FILE).write_text(json.dumps(content))


def test_a_thousand_slices_over_a_network_that_is_cut(exported, server, either):
    out = thousand(exported("compressed"))
    with Proxy(server.dicom, cut_after=[50_000, 90_000, 20_000, 300_000, 70_000]) as network:
        report = sent(out, either("dimse", network.port), connections=4)
    assert (report.exit_code, report.sent, network.cut) == (0, 1000, 5)
    received = server.files()
    assert set(received) == {one["uid"] for one in objects(out)}
    for one in objects(out)[::50]:
        assert same(pydicom.dcmread(out / one["path"]), pydicom.dcmread(io.BytesIO(received[one["uid"]])))


def thousand(out):
    """A series of a thousand slices out of one: exporting so many is another test's work."""
    content = json.loads((out / EXPORT_FILE).read_text())
    series = content["studies"][0]["series"][0]
    content["studies"][0]["series"] = [series]
    dataset = pydicom.dcmread(out / series["objects"][0]["path"])
    series["objects"] = []
    for number in range(1, 1001):
        dataset.InstanceNumber = number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        path = out / "dicom" / f"{number:05d}.dcm"
        path.write_bytes(encoded(dataset))
        uid = str(dataset.SOPInstanceUID)
        series["objects"].append({"uid": uid, "path": f"dicom/{path.name}", "sha256": sha256_file(path)})
    (out / EXPORT_FILE).write_text(json.dumps(content))
    return out


def test_a_wrong_ae_title_is_told(exported, listed, tmp_path):
    with orthanc(tmp_path / "o", DicomCheckCalledAet=True, DicomAlwaysAllowEcho=False) as server:
        with pytest.raises(MedsynthError, match=r"archive: the association was rejected: .* set called in the list"):
            sent(exported(), listed(port=server.dicom, called="OTHER"))
        with pytest.raises(MedsynthError, match="archive: "):  # it knows no MEDSYNTH
            sent(exported("picture"), listed(port=server.dicom))
        assert server.count() == 0


def test_login_on_dicomweb(exported, listed, tmp_path, monkeypatch):
    secret = tmp_path / "login.yaml"
    secret.write_text("user: alice\npassword: 'größer: geheim'\n")
    secret.chmod(0o600)
    with orthanc(tmp_path / "o", login=("alice", "größer: geheim")) as server:
        url = f"{server.rest}/dicom-web"
        out = exported("picture")
        server.login = ("alice", "größer: geheim".encode())
        with pytest.raises(MedsynthError, match="wrong user, password or token"):
            sent(out, listed(url=url))
        monkeypatch.setenv("PACS_USER", "alice")
        monkeypatch.setenv("PACS_PASSWORD", "wrong-and-secret")
        login = {"user": "PACS_USER", "password": "PACS_PASSWORD"}
        with pytest.raises(MedsynthError, match="wrong user, password or token") as refused:
            sent(out, listed(url=url, login=login))
        assert "secret" not in str(refused.value)
        assert sent(out, listed(url=url, login={"file": "login.yaml"})).exit_code == 0
        assert server.count() == 1
        assert "geheim" not in "".join(path.read_text() for path in out.glob("*.json"))


def test_a_wrong_path_is_told(exported, server, listed):
    with pytest.raises(MedsynthError, match="no DICOMweb service at this address"):
        sent(exported("picture"), listed(url=f"{server.rest}/pacs"))


def test_a_full_disk_is_told_and_the_rest_sent_later(exported, listed, tmp_path):
    """Orthanc on a disk of 24 kB, which goes when its process does."""
    require("unshare")
    small = tmp_path / "small"
    small.mkdir()
    script = tmp_path / "Orthanc.sh"
    script.write_text(f'#!/bin/sh\nmount -t tmpfs -o size=24k tmpfs "{small}" && exec {shutil.which("Orthanc")} "$@"\n')
    script.chmod(0o700)
    with orthanc(tmp_path / "o", start=["unshare", "--mount", script], StorageDirectory=str(small)) as server:
        out = exported()
        report = sent(out, listed(port=server.dicom), connections=1)
        assert report.exit_code == 1
        assert 0 < server.count() == report.sent < 9
        assert any("the archive is full or out of other resources (A700)" in why for _, why in report.failed)
