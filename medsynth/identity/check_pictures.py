"""Whether the text that PNG and JPEG files carry beside their pixels names anyone."""

import zlib

from medsynth.identity.byte_text import as_text, is_wordy, jpeg_comments, runs
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge

_PNG = b"\x89PNG\r\n\x1a\n"
_WITHOUT_TEXT = (
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"sBIT",
    b"bKGD",
    b"tRNS",
    b"pHYs",
    b"hIST",
)
_LARGEST_TEXT = 2**22


def check_picture(content: bytes, findings: Findings) -> None:
    """Check chunks (PNG) or segments (JPEG) that are no pixels, and what lies behind the picture's end."""
    if content.startswith(_PNG):
        _check_png(content, findings)
    elif content.startswith(b"\xff\xd8"):
        for comment in jpeg_comments(content):
            _judge(comment, "comment", findings)
        behind = content[content.rfind(b"\xff\xd9") + 2 :]
        if any(behind):
            findings.add("hidden", "behind the end", behind.decode("latin-1"))
            _judge(behind, "behind the end", findings)
    else:
        findings.add("unread", "file")


def _check_png(content: bytes, findings: Findings) -> None:
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"tIME":
            findings.add("date", "chunk tIME", body.hex())
        elif kind not in _WITHOUT_TEXT:
            _judge(_unpacked(kind, body), "chunk", findings)
        if kind == b"IEND":
            break
    if any(content[at:]):
        findings.add("hidden", "behind the end", content[at:].decode("latin-1"))
        _judge(content[at:], "behind the end", findings)


def _unpacked(kind: bytes, body: bytes) -> bytes:
    """A chunk with its packed text opened (PNG 11.3.3)."""
    if kind not in (b"zTXt", b"iTXt", b"iCCP"):
        return body
    name, _, rest = body.partition(b"\0")
    for start in range(min(len(rest), 80)):
        if rest[start : start + 1] == b"\x78":
            try:
                return name + b" " + zlib.decompressobj().decompress(rest[start:], _LARGEST_TEXT)
            except zlib.error:
                continue
    return body


def _judge(content: bytes, place: str, findings: Findings) -> None:
    text = as_text(content.replace(b"\0", b" "))
    if text is not None:
        findings.add_all(judge(text.replace("_", " ")), place)
        return
    findings.add("binary", place, content.decode("latin-1"))
    for _, run in runs(content):
        if is_wordy(run):
            findings.add_all(judge(run), place)
