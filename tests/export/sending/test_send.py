"""The verb with pacs=: a dry run first, the gate before all, a journal for the next call, no secret anywhere."""

import json
import logging

import pytest
import yaml

from medsynth.cli.main import main
from medsynth.errors import MedsynthError
from medsynth.export.run import export
from medsynth.export.sending.items import listed_items
from medsynth.export.sending.journal import Journal
from medsynth.export.sending.run import send
from medsynth.identity.export_names import EXPORT_FILE
from tests.export.conftest import place
from tests.export.sending.archives import orthanc
from tests.export.sending.conftest import QUICK, journal, objects, sent

# pynetdicom does not close the socket of a connection that failed, and leaves that to the collector.
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"), pytest.mark.usefixtures("collected")]
SECRET = "hunter2-and-more"


@pytest.fixture
def samples(make_samples, tmp_path):
    channels = {"ct": ("HU", "CT"), "label": ("label", None)}
    return make_samples(tmp_path / "samples", place("oblique", (5, 4, 2)), channels)


@pytest.fixture
def words(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("PACS_USER", "alice")
    monkeypatch.setenv("PACS_PASSWORD", SECRET)

    def given(*more, **entry):
        usual = {"kind": "dimse", "host": "127.0.0.1", "port": 1, "called": "ORTHANC", **QUICK}
        (tmp_path / "pacs list.yaml").write_text(yaml.safe_dump({"clinic": entry or usual, "other": usual}))
        words = ["export", f"samples={samples}", f"out={tmp_path / 'out'}", "progress=false", "unaudited=i_accept"]
        return [*words, f"pacs_list={tmp_path / 'pacs list.yaml'}", *more]

    return given


def test_without_confirm_nothing_leaves(words, tmp_path, capsys):
    """Nobody listens at the destination: that is not even found out."""
    assert main(words("pacs=clinic")) == 0
    said = capsys.readouterr().out
    assert "nothing was sent. To clinic would go 3 objects of 3 (2 CT, 1 SEG)" in said
    assert "C-STORE to ORTHANC at 127.0.0.1 port 1, as MEDSYNTH, NOT encrypted" in said
    assert "add confirm=send" in said
    assert not (tmp_path / "out" / "sent.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["pacs=klinik"], "pacs names none of the list of destinations; there are: clinic, other"),
        (["pacs=clinic", "confirm=yes"], "confirm is send or null"),
        (["confirm=send"], "confirm=send needs pacs=NAME"),
    ],
)
def test_wrong_words_before_anything_is_written(words, tmp_path, capsys, more, said):
    assert main(words(*more)) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("medsynth.export.sending.run.find_spec", lambda name: None)
    assert main(words("pacs=clinic")) == 1
    assert "pip install '.[pacs]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nobody_there(words, tmp_path, capsys):
    assert main(words("pacs=clinic", "confirm=send")) == 1
    assert "clinic (host 127.0.0.1, port 1): nothing listens there: connection refused" in capsys.readouterr().err
    assert len(objects(tmp_path / "out")) == 3


def test_the_verb_sends_once_and_shows_no_secret(words, tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    login = {"user": "PACS_USER", "password": "PACS_PASSWORD"}
    with orthanc(tmp_path / "o", login=("alice", SECRET)) as server:
        entry = {"kind": "dicomweb", "url": f"{server.rest}/dicom-web", "login": login, **QUICK}
        assert main(words("pacs=clinic", **entry)) == 0
        assert main(words("pacs=clinic", "confirm=send", **entry)) == 0
        assert "clinic: 3 objects sent; all 3 are there" in capsys.readouterr().out
        assert main(words("pacs=clinic", "confirm=send", **entry)) == 0
        assert "clinic: 0 objects sent, 3 were there already; all 3 are there" in capsys.readouterr().out
        assert server.count() == 3
    left = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert SECRET.encode() not in left
    assert str(server.http).encode() not in left
    assert SECRET not in caplog.text
    (part,) = journal(tmp_path / "out")["destinations"]
    assert part["name"] == "clinic"
    assert {entry["uid"]: entry["sha256"] for entry in part["sent"]} == {
        one["uid"]: one["sha256"] for one in objects(tmp_path / "out")
    }


def test_nothing_is_sent_where_the_gate_is_shut(words, tmp_path, capsys):
    given = [word for word in words("pacs=clinic", "confirm=send") if not word.startswith("unaudited")]
    assert main(given) == 1
    assert "no audit covers these samples" in capsys.readouterr().err


def test_what_was_changed_since_stays(exported, server, either):
    out = exported("compressed")
    first, second, *_ = objects(out)
    path = out / first["path"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (out / second["path"]).unlink()
    (out / "dicom" / "stranger.dcm").write_bytes((out / objects(out)[2]["path"]).read_bytes())
    report = sent(out, either("dicomweb"))
    assert report.exit_code == 1
    reasons = dict(report.failed)
    assert "it was changed since it was exported" in reasons[first["path"]]
    assert "cannot be read" in reasons[second["path"]]
    assert server.count() == len(objects(out)) - 2


@pytest.mark.parametrize("path", ["../outside.dcm", "/etc/passwd", "dicom/../../x.dcm"])
def test_a_list_that_leads_out_of_the_folder_is_refused(exported, listed, path):
    out = exported("compressed")
    content = json.loads((out / EXPORT_FILE).read_text())
    content["studies"][0]["series"][0]["objects"][0]["path"] = path
    (out / EXPORT_FILE).write_text(json.dumps(content))
    with pytest.raises(MedsynthError, match=r"not inside its folder"):
        sent(out, listed(port=1))


def test_a_journal_is_of_its_destination_and_content(exported, server, either, listed):
    out = exported("picture")
    assert sent(out, either("dimse")).sent == 1
    assert sent(out, either("dicomweb")).sent == 1  # another address, as far as anyone can tell
    parts = journal(out)["destinations"]
    assert len({part["address_sha256"] for part in parts}) == 2
    content = journal(out)
    content["destinations"][1]["sent"][0]["sha256"] = "ab" * 32
    (out / "sent.json").write_text(json.dumps(content))
    assert sent(out, either("dicomweb")).sent == 1
    assert sent(out, either("dimse")).sent == 0
    (out / "sent.json").write_text('{"schema": "medsynth.sent/9"}')
    with pytest.raises(MedsynthError, match=r"sent\.json in out cannot be read; take it away"):
        sent(out, either("dimse"))


def test_two_calls_at_once_keep_what_the_other_has_sent(exported, listed):
    """To one archive and to another: what a call wrote does not depend on what it read when it began."""
    out = exported("volumes")
    items = listed_items(out, EXPORT_FILE)
    here, there = listed(port=1), listed(port=2)
    one, two, other = Journal(out, here), Journal(out, here), Journal(out, there)
    one.sent(items[0])
    two.sent(items[1])
    other.sent(items[2])
    for call in (one, other, two):
        call.write([(items[3], "lost")])
    again = Journal(out, here)
    assert [again.has(item) for item in items[:3]] == [True, True, False]
    assert Journal(out, there).has(items[2])
    assert len(journal(out)["destinations"]) == 2


def test_what_is_real_in_part_is_said(make_samples, tmp_path, listed):
    parent = {"parents": ("cd" * 32,), "patient": "p0123456789abcdef", "split": "train"}
    made = make_samples(tmp_path / "s", place("axial", (4, 3, 2)), {"ct": ("HU", "CT")}, **parent)
    export(made, tmp_path / "out", unaudited="i_accept", progress=False)
    report = send(tmp_path / "out", EXPORT_FILE, listed(port=1), None, progress=False)
    assert "2 objects are in part a patient's" in report.summary


def test_one_patient_among_parents_who_are_nobody_s_is_said(make_samples, tmp_path, listed):
    """Whatever the order in which the record joins the keys."""
    parent = {"parents": ("cd" * 32, "ef" * 32), "patient": f"synthetic-{'0' * 16}.tcia-7", "split": "train"}
    made = make_samples(tmp_path / "s", place("axial", (4, 3, 2)), {"ct": ("HU", "CT")}, **parent)
    export(made, tmp_path / "out", unaudited="i_accept", progress=False)
    assert send(tmp_path / "out", EXPORT_FILE, listed(port=1), None, progress=False).derived == 2
