"""Text inside bytes: printable runs of any file, and the segments of formats that hold comments."""

import re
import zlib
from collections.abc import Iterator

_ONE = re.compile(rb"[\t\n\r\x20-\x7e]{4,}")
_HIGH = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{4,}")
_TWO_LITTLE = re.compile(rb"(?:[\x20-\xff][\x00-\x02]){4,}")
_TWO_BIG = re.compile(rb"(?:[\x00-\x02][\x20-\xff]){4,}")
_ITEM = b"\xfe\xff\x00\xe0"
_LEAST_TAIL, _LONGEST_TAIL = 8, 4096
_MARKER = re.compile(rb"\xff+[\x80-\xcf\xd8-\xfe]")
_TAIL = re.compile(rb"([\t\n\r\x20-\x7e]{8,})\0*\Z")
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


def jpeg_segments(content: bytes, start: int) -> tuple[list[bytes], int]:
    """Segments of one JPEG or JPEG-LS stream that may hold text, before, between and behind its scans, and its end.

    Args:
        content: holds the stream.
        start: of its SOI marker.
    """
    at, found = start + 2, []
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # ITU-T T.81 B.1.1.2: any marker may have fill bytes before it
            at += 1
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if length < 2:
            break
        body = content[at + 4 : at + 2 + length]
        if marker == 0xFE or (0xE0 <= marker <= 0xF6 and not _is_plain(body)):
            found.append(body)
        at += 2 + length
        if marker == 0xDA:  # in coded data 0xFF stands before 0 (JPEG), below 0x80 (JPEG-LS), or is a restart
            following = _MARKER.search(content, at)
            at = following.start() if following else len(content)
    return found, min(at + 2, len(content))


def _is_plain(body: bytes) -> bool:
    """Whether an application segment is what JFIF, Adobe and SPIFF write without text or a small picture."""
    lengths = {b"JFIF\0": 14, b"Adobe": 12, b"SPIFF": 30}
    return lengths.get(body[:5]) == len(body)


def jpeg_comments(content: bytes) -> Iterator[bytes]:
    """Comments and application segments of JPEG, JPEG-LS and JPEG 2000 streams inside `content` (ITU-T T.81 B.2.4.6).

    JFIF's, and what Adobe and SPIFF write without text, count as nothing.
    """
    start = 0
    while (start := content.find(b"\xff\xd8\xff", start)) >= 0:
        segments, end = jpeg_segments(content, start)
        yield from segments
        start = max(end, start + 3)
    for match in re.finditer(rb"\xff\x64(..)(..)", content, re.DOTALL):  # COM of JPEG 2000 (ITU-T T.800 A.9.2)
        length = int.from_bytes(match[1], "big")
        if match[2] in (b"\x00\x00", b"\x00\x01") and 4 < length < 4096:
            body = content[match.end() : match.start() + 2 + length]
            if as_text(body) is not None:
                yield body


def beside_frames(encapsulated: bytes) -> Iterator[str]:
    """Text in encapsulated pixel data (PS3.5 A.4) that is no frame: in the offset table, and at the end of fragments.

    What compresses pixels ends in letters by chance, but hardly in words.
    """
    at, first = 0, True
    while at + 8 <= len(encapsulated):
        tag, length = encapsulated[at : at + 4], int.from_bytes(encapsulated[at + 4 : at + 8], "little")
        if tag != _ITEM:
            break
        body = encapsulated[at + 8 : at + 8 + length]
        if first:
            yield from (text for _, text in runs(body, _LEAST_TAIL) if is_wordy(text) or is_token(text))
        elif (tail := _TAIL.search(body[-_LONGEST_TAIL:])) is not None:
            text = tail[1].decode("ascii")
            if is_wordy(text):
                yield text
        at, first = at + 8 + length, False


def inflate(packed: bytes, most: int) -> tuple[bytes, bytes]:
    """What a raw deflate stream (RFC 1951) opens to, at most `most` bytes, and the bytes behind it.

    Raises:
        zlib.error: it is broken.
    """
    opener = zlib.decompressobj(-zlib.MAX_WBITS)
    return opener.decompress(packed, most), opener.unused_data
