"""Statuses in words, and what an answer to STOW-RS says of an object."""

import json

import pytest
import requests

from medsynth.export.sending.outcomes import of_http, of_status
from medsynth.export.sending.stow import of_answer

UID = "2.25.1"


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        (0x0000, "sent", ""),
        (0x0111, "sent", "already"),
        (0xB000, "sent", "changed elements"),
        (0xB007, "sent", "does not match"),
        (0xB123, "sent", "warning"),
        (0xA700, "again", "full"),
        (0xA7FF, "again", "full"),
        (0x0110, "again", "processing failure"),
        (0xA900, "refused", "match its SOP class"),
        (0xC000, "refused", "cannot understand"),
        (0x0122, "refused", "kind of object"),
        (0x0124, "closed", "not authorised"),
        (0xFE00, "refused", "FE00"),
    ],
)
def test_statuses(status, state, word):
    found = of_status(status)
    assert found.state == state
    assert word in found.said
    assert state == "sent" or f"{status:04X}" in found.said


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *[(status, "closed") for status in (302, 401, 403, 404, 405)],
        *[(status, "refused") for status in (400, 413, 415, 418)],
        *[(status, "again") for status in (408, 429, 500, 503, 507)],
    ],
)
def test_http(status, state):
    assert of_http(status).state == state
    assert of_http(status).said


def answer(status, content, kind="application/dicom+json"):
    made = requests.Response()
    made.status_code = status
    made._content = content if isinstance(content, bytes) else json.dumps(content).encode()
    made.headers["Content-Type"] = kind
    return made


def item(uid=UID, **reasons):
    tags = {"FailureReason": "00081197", "WarningReason": "00081196"}
    numbers = {tags[name]: {"vr": "US", "Value": [value]} for name, value in reasons.items()}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **numbers}


def stored(*items):
    return {"00081199": {"vr": "SQ", "Value": list(items)}}


def failed(*items):
    return {"00081198": {"vr": "SQ", "Value": list(items)}}


@pytest.mark.parametrize(
    ("status", "content", "state", "word"),
    [
        (200, stored(item()), "sent", ""),
        (200, [stored(item())], "sent", ""),
        (202, stored(item(WarningReason=0xB000)), "sent", "changed elements"),
        (202, {**stored(item("2.25.2")), **failed(item(FailureReason=0xA700))}, "again", "full"),
        (202, stored(item("2.25.2")), "again", "does not say"),
        (409, failed(item(FailureReason=0x0122)), "refused", "kind of object"),
        (409, failed(item(FailureReason=0xC122)), "refused", "transfer syntax"),
        (409, failed(item(FailureReason=0x0111)), "sent", "already"),
        (409, failed(item()), "refused", "does not say why"),
        (409, {}, "refused", "does not say why"),
        (200, {}, "sent", "does not name it"),
        (200, b"<html>", "sent", "does not name it"),
        (409, b"\xff{", "refused", "does not say why"),
        (401, failed(item()), "closed", "password"),
    ],
)
def test_answers(status, content, state, word):
    found = of_answer(answer(status, content), UID)
    assert found.state == state
    assert word in found.said
    assert word or not found.said
