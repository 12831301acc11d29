"""Whether the text that PNG and JPEG files carry beside their pixels names anyone."""

import zlib

from medsynth.identity.byte_text import as_text, is_wordy, jpeg_segments, runs
from medsynth.identity.finding import Findings
from medsynth.identity.shapes import judge

_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST = {  # of chunks without text (PNG 11.2, 11.3)
    b"IHDR": 13,
    b"PLTE": 768,
    b"IEND": 0,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"sBIT": 4,
    b"bKGD": 6,
    b"tRNS": 256,
    b"pHYs": 9,
    b"hIST": 512,
}
_LARGEST_TEXT, _PIECE = 2**22, 2**22


def check_picture(content: bytes, findings: Findings) -> bytes:
    """Check chunks (PNG) or segments (JPEG) that are no pixels, and what lies behind the picture's end.

    Returns:
        What packed chunks open to.
    """
    if content.startswith(_PNG):
        return _check_png(content, findings)
    if content.startswith(b"\xff\xd8"):
        _check_jpeg(content, findings)
    else:
        findings.add("unread", "file")
    return b""


def _check_jpeg(content: bytes, findings: Findings) -> None:
    at = 0
    while content.startswith(b"\xff\xd8\xff", at):  # several pictures in one file (MPO)
        segments, at = jpeg_segments(content, at)
        for segment in segments:
            _judge(segment, "comment", findings)
        while content.startswith(b"\0", at):
            at += 1
    _behind(content[at:], findings)


def _behind(content: bytes, findings: Findings) -> None:
    if any(content):
        findings.add("hidden", "behind the end", content.decode("latin-1"))
        _judge(content, "behind the end", findings)


def _check_png(content: bytes, findings: Findings) -> bytes:
    at, pixels, opened = len(_PNG), [], []
    while at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"tIME":
            findings.add("date", "chunk tIME", body.hex())
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind in _LONGEST:
            if len(body) > _LONGEST[kind]:
                findings.add("hidden", "chunk", body.decode("latin-1"))
            _search(body, "chunk", findings)
        else:
            text = _unpacked(kind, body, findings)
            _judge(text, "chunk", findings)
            opened.append(text if text != body else b"")
        if kind == b"IEND":
            break
    _behind(_behind_pixels(pixels), findings)
    _behind(content[at:], findings)
    return b"\n".join(opened)


def _behind_pixels(parts: list[bytes]) -> bytes:
    """Bytes of the IDAT chunks that stand behind the end of what they pack together."""
    opener = zlib.decompressobj()
    left: list[bytes] = []
    for part in parts:
        while part and not opener.eof:
            try:
                opener.decompress(part, _PIECE)
            except zlib.error:  # who looks at the pixels says so
                return b""
            part = opener.unconsumed_tail
        left.append(opener.unused_data if opener.eof and not left else part)
    return b"".join(left) if opener.eof else b""


def _unpacked(kind: bytes, body: bytes, findings: Findings) -> bytes:
    """A chunk with its packed text opened (PNG 11.3.3)."""
    if kind not in (b"zTXt", b"iTXt", b"iCCP"):
        return body
    name, _, rest = body.partition(b"\0")
    for start in range(min(len(rest), 80)):
        if rest[start : start + 1] == b"\x78":
            try:
                opener = zlib.decompressobj()
                text = name + b" " + opener.decompress(rest[start:], _LARGEST_TEXT)
                if not opener.eof:
                    findings.add("unread", "chunk")
                return text + b" " + opener.unused_data if opener.unused_data else text
            except zlib.error:
                continue
    return body


def _judge(content: bytes, place: str, findings: Findings) -> None:
    text = as_text(content.replace(b"\0", b" "))
    if text is not None:
        findings.add_all(judge(text.replace("_", " ")), place)
        return
    findings.add("binary", place, content.decode("latin-1"))
    _search(content, place, findings, 4)


def _search(content: bytes, place: str, findings: Findings, least: int = 8) -> None:
    for _, run in runs(content, least):
        if is_wordy(run):
            findings.add_all(judge(run), place)
