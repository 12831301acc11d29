"""Text inside bytes: printable runs of any file, and the segments of formats that hold comments."""

import re
import zlib
from collections.abc import Iterator

_ONE = re.compile(rb"[\t\n\r\x20-\x7e]{4,}")
_HIGH = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{4,}")
_TWO_LITTLE = re.compile(rb"(?:[\x20-\xff][\x00-\x02]){4,}")
_TWO_BIG = re.compile(rb"(?:[\x00-\x02][\x20-\xff]){4,}")
_TOKEN = re.compile(r"(?=[0-9]*[A-Za-z])[A-Za-z0-9]{8,}")
_VOWELS = set("aeiouyAEIOUYäöüÄÖÜáéíóúàèìòùâêîôû")


def runs(content: bytes, least: int = 4) -> list[tuple[int, str]]:
    """Printable ASCII runs, each with its offset."""
    pattern = _ONE if least == 4 else re.compile(rb"[\t\n\r\x20-\x7e]{%d,}" % least)
    return [(match.start(), match[0].decode("ascii")) for match in pattern.finditer(content)]


def wide_runs(content: bytes) -> list[tuple[int, str]]:
    """Runs of letters of two bytes (UTF-16), each with its offset."""
    found = []
    for pattern, encoding in ((_TWO_LITTLE, "utf-16-le"), (_TWO_BIG, "utf-16-be")):
        for match in pattern.finditer(content):
            text = match[0].decode(encoding, "ignore")
            if text.isprintable() and is_wordy(text):
                found.append((match.start(), text))
    return found


def is_wordy(text: str) -> bool:
    """Whether a run is rather text than bytes that happen to be printable.

    >>> is_wordy("Ottilie 4711"), is_wordy("~{}a%k2|")
    (True, False)
    """
    plain = sum(letter.isalnum() or letter in " ^-_.,:/@" for letter in text)
    letters = [letter for letter in text if letter.isalpha()]
    digits = sum(letter.isdigit() for letter in text)
    if plain < 0.85 * len(text):
        return False
    return digits >= 6 or (len(letters) >= 3 and bool(_VOWELS.intersection(letters)))


def is_token(text: str) -> bool:
    """Whether a run is eight letters and digits or more with no other sign, as made-up names and numbers are.

    >>> is_token("Zq0254Wkjx"), is_token("?3ffff99")
    (True, False)
    """
    return _TOKEN.fullmatch(text) is not None


def as_text(content: bytes) -> str | None:
    """The bytes as text where all of them are: ASCII, UTF-8 or UTF-16, NUL only as padding; else None."""
    content = content.rstrip(b"\0")
    for encoding in ("utf-8", "utf-16"):
        if encoding == "utf-16" and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all(letter.isprintable() or letter in "\t\n\r\f" for letter in text):
            return text
    return None


def jpeg_comments(content: bytes) -> Iterator[bytes]:
    """Comments and application segments of JPEG, JPEG-LS and JPEG 2000 streams inside `content` (ITU-T T.81 B.2.4.6).

    JFIF's, and what Adobe and SPIFF write without text, count as nothing.
    """
    start = 0
    while (start := content.find(b"\xff\xd8\xff", start)) >= 0:
        at = start + 2
        while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] not in (0xDA, 0xD9):
            length = int.from_bytes(content[at + 2 : at + 4], "big")
            if length < 2:
                break
            marker, body = content[at + 1], content[at + 4 : at + 2 + length]
            if marker == 0xFE or (0xE0 <= marker <= 0xEF and not body.startswith((b"JFIF\0", b"Adobe\0", b"SPIFF\0"))):
                yield body
            at += 2 + length
        start = max(at, start + 3)
    for match in re.finditer(rb"\xff\x64(..)(..)", content, re.DOTALL):  # COM of JPEG 2000 (ITU-T T.800 A.9.2)
        length = int.from_bytes(match[1], "big")
        if match[2] in (b"\x00\x00", b"\x00\x01") and 4 < length < 4096:
            body = content[match.end() : match.start() + 2 + length]
            if as_text(body) is not None:
                yield body


def inflate(packed: bytes, most: int) -> tuple[bytes, bytes]:
    """What a raw deflate stream (RFC 1951) opens to, at most `most` bytes, and the bytes behind it.

    Raises:
        zlib.error: it is broken.
    """
    opener = zlib.decompressobj(-zlib.MAX_WBITS)
    return opener.decompress(packed, most), opener.unused_data
