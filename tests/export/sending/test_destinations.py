"""The list of destinations: what it may hold, what it may not, and that no message repeats a value of it."""

import subprocess

import pytest
import yaml

from medsynth.errors import MedsynthError
from medsynth.export.sending.destinations import Pace, Tls, destination
from medsynth.export.sending.knock import tls_context
from tests.export.sending.archives import certificates

SECRET = "hunter2"
DIMSE = {"kind": "dimse", "host": "pacs.example.org", "port": 11112, "called": "RESEARCH"}
WEB = {"kind": "dicomweb", "url": "https://pacs.example.org/dicom-web/"}
NAMES = {"user": "PACS_USER", "password": "PACS_PASSWORD"}


@pytest.fixture
def listed(tmp_path):
    def write(content):
        path = tmp_path / "pacs.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def found(listed, entry):
    return destination("archive", listed({"archive": entry}))


def test_what_an_entry_says(listed):
    one = found(listed, DIMSE)
    assert (one.host, one.port, one.called, one.calling) == ("pacs.example.org", 11112, "RESEARCH", "MEDSYNTH")
    assert one.address == "C-STORE to RESEARCH at pacs.example.org port 11112, as MEDSYNTH, NOT encrypted"
    assert (one.tls, one.login, one.pace) == (None, None, Pace())
    web = found(listed, WEB)
    assert (web.url, web.host, web.port, web.tls) == (
        "https://pacs.example.org/dicom-web",
        "pacs.example.org",
        443,
        Tls(),
    )
    assert web.address == "STOW-RS to https://pacs.example.org/dicom-web, encrypted"
    paced = found(listed, {**DIMSE, "connections": 4, "attempts": 1, "wait": 0.5, "timeout": 9})
    assert paced.pace == Pace(connections=4, attempts=1, wait=0.5, timeout=9)
    assert found(listed, {"kind": "dimse", "host": "::1", "called": "A B"}).port == 104


def test_an_address_is_the_same_whatever_its_name_and_login(listed):
    entries = {
        "one": DIMSE,
        "two": {**DIMSE, "calling": "OTHER", "tls": {}, "login": NAMES, "host": "PACS.example.org"},
        "port": {**DIMSE, "port": 104},
        "title": {**DIMSE, "called": "CLINIC"},
        "web": WEB,
    }
    path = listed(entries)
    digests = [destination(name, path).sha256 for name in entries]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_an_unknown_name_lists_the_known(listed, monkeypatch):
    path = listed({"clinic": WEB, "research": DIMSE})
    with pytest.raises(MedsynthError, match="there are: clinic, research"):
        destination("reserch", path)
    monkeypatch.setenv("MEDSYNTH_PACS", str(path))
    assert destination("clinic").name == "clinic"
    monkeypatch.delenv("MEDSYNTH_PACS")
    with pytest.raises(MedsynthError, match="give pacs_list=FILE or set MEDSYNTH_PACS"):
        destination("clinic")


def test_a_wrong_entry_does_not_bar_the_others(listed):
    path = listed({"wrong": {"kind": "smtp"}, "research": DIMSE})
    assert destination("research", path).name == "research"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**DIMSE, "kind": SECRET}, "kind is one of dimse, dicomweb"),
        ({**DIMSE, "pasword": SECRET}, "a key that nothing reads; there are: "),
        ({**DIMSE, "calling_title": SECRET}, "did you mean calling"),
        ({**DIMSE, SECRET: 1}, "a key that nothing reads"),
        ({**DIMSE, "port": 0}, "port has a port from 1 to 65535"),
        ({**DIMSE, "port": "104"}, "port is a number"),
        ({**DIMSE, "host": f"user:{SECRET}@pacs"}, "host is a name or an address"),
        ({**DIMSE, "called": "SEVENTEEN_LETTERS"}, "called is an AE title"),
        ({**DIMSE, "called": "A\\B"}, "called is an AE title"),
        ({**DIMSE, "called": "   "}, "called is an AE title"),
        ({**DIMSE, "connections": 99}, "connections is a number from 1 to 16"),
        ({**DIMSE, "attempts": 1.5}, "attempts is a whole number"),
        ({**DIMSE, "tls": True}, "tls is a group of keys"),
        ({**DIMSE, "tls": {"ca": SECRET}}, "ca names a file that is not there"),
        ({**DIMSE, "tls": {"certificate": "pacs.yaml"}}, "certificate and key go together"),
        ({**DIMSE, "login": NAMES}, "login would go over the network for all to read"),
        ({**DIMSE, "tls": {}, "login": {"token": "PACS_TOKEN"}}, "token is for DICOMweb"),
        ({**DIMSE, "tls": {}, "login": {**NAMES, "password": SECRET}}, "is the NAME of an environment variable"),
        ({**WEB, "login": {"user": "PACS_USER"}}, "name user and password, or token"),
        ({**WEB, "login": {}}, "give file, or the names"),
        ({**WEB, "login": {**NAMES, "file": "pacs.yaml"}}, "give file, or the names"),
        ({**WEB, "url": f"https://user:{SECRET}@pacs/"}, "url holds no user, password"),
        ({**WEB, "url": f"https://pacs/?token={SECRET}"}, "url holds no user, password"),
        ({**WEB, "url": f"file:///{SECRET}"}, "url is an address"),
        ({**WEB, "url": "https://pacs:99999/"}, "url is no address"),
        ({"kind": "dicomweb", "url": "http://pacs/", "tls": {}}, "tls is for an address that begins with https"),
        ({"kind": "dicomweb", "url": "http://pacs/", "login": NAMES}, "login would go over the network"),
        ({"kind": "dicomweb"}, "url has to be given"),
    ],
)
def test_a_wrong_entry_is_told_without_its_values(listed, entry, said):
    with pytest.raises(MedsynthError, match=said) as refused:
        found(listed, entry)
    assert SECRET not in str(refused.value)


def test_a_login_without_tls_goes_to_loopback_or_where_it_is_accepted(listed):
    assert found(listed, {**DIMSE, "host": "127.0.0.1", "login": NAMES}).login
    assert found(listed, {**DIMSE, "unencrypted": "i_accept", "login": NAMES}).login


@pytest.mark.parametrize("content", ["- a\n", "archive: 3\n", "", f"a: [{SECRET}\n", f"a: {SECRET}: b\n"])
def test_a_file_that_is_no_list(listed, content):
    with pytest.raises(MedsynthError, match="the list of destinations") as refused:
        destination("archive", listed(content))
    assert SECRET not in str(refused.value)
    with pytest.raises(MedsynthError, match="cannot be read"):
        destination("archive", listed("").parent / "missing.yaml")


def test_a_login_comes_out_of_the_environment(listed, monkeypatch):
    login = found(listed, {**WEB, "login": NAMES}).login
    monkeypatch.setenv("PACS_USER", "alice")
    with pytest.raises(MedsynthError, match="the environment variable that `password` names is not set"):
        login.read()
    monkeypatch.setenv("PACS_PASSWORD", SECRET)
    secret = login.read()
    assert (secret.user, secret.password) == ("alice", SECRET)
    assert SECRET not in f"{secret} {secret!r}"
    monkeypatch.setenv("PACS_PASSWORD", "two\nlines")
    with pytest.raises(MedsynthError, match="password is empty or holds a control character"):
        login.read()


def test_a_login_comes_out_of_a_file_that_is_its_owners_alone(listed, tmp_path):
    file = tmp_path / "login.yaml"
    file.write_text(f"user: alice\npassword: {SECRET}\n")
    login = found(listed, {**WEB, "login": {"file": "login.yaml"}}).login
    for mode in (0o640, 0o604, 0o622):
        file.chmod(mode)
        with pytest.raises(MedsynthError, match="others may read its file; make it yours alone: chmod 600"):
            login.read()
    file.chmod(0o600)
    assert login.read().password == SECRET
    for content in (
        f"token: {SECRET}",
        f"{{user: alice, token: {SECRET}}}",
        f"- {SECRET}",
        "user: 3",
        f"pass: {SECRET}",
    ):
        file.write_text(content)
        if content.startswith("token"):
            assert login.read().token == SECRET
            continue
        with pytest.raises(MedsynthError) as refused:
            login.read()
        assert SECRET not in str(refused.value)


def test_files_of_tls(tmp_path):
    certificate, key = certificates(tmp_path)
    assert tls_context(Tls(ca=certificate, certificate=certificate, key=key), "a").check_hostname
    key.chmod(0o644)
    with pytest.raises(MedsynthError, match="others may read the key"):
        tls_context(Tls(certificate=certificate, key=key), "a")
    key.chmod(0o600)
    with pytest.raises(MedsynthError, match="ca is no file of certificates"):
        tls_context(Tls(ca=key), "a")
    with pytest.raises(MedsynthError, match="do not fit together"):
        tls_context(Tls(certificate=key, key=key), "a")


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path):
    certificate, key = certificates(tmp_path)
    locked = tmp_path / "locked.key"
    words = ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", key, "-out", locked]
    subprocess.run(words, check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(MedsynthError, match="the key has a password"):
        tls_context(Tls(certificate=certificate, key=locked), "a")


def test_pace_has_ranges():
    with pytest.raises(MedsynthError, match="wait is a number from 0 to 60"):
        Pace(wait=-1)
