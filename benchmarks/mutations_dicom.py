"""Changes to DICOM files in explicit little endian; where there is nothing to change the bytes stay as they are."""

import struct
from random import Random
from typing import NamedTuple

from mutations import ANY, LONGS, Mutation, put

_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OF OW PN SH SL SQ SS ST TM UI UL UN US UT XX".split()
_LONG = {b"OB", b"OF", b"OW", b"SQ", b"UN", b"UT"}
_WORDS = (0, 1, 2, 7, 8, 255, 256, 32767, 32768, 65535)


class Element(NamedTuple):
    """Where an element of the top level lies: its tag, its VR, its length field and its value."""

    tag: tuple[int, int]
    at: int
    vr: bytes
    length_at: int
    value_at: int
    length: int


def elements(raw: bytes) -> list[Element]:
    """Those up to the pixels, as PS3.5 7.1.2 lays them out."""
    found, at = [], 132
    while at + 8 <= len(raw):
        group, number, vr, length = struct.unpack_from("<HH2sH", raw, at)
        if not vr.isalpha():
            break
        length_at, value_at = at + 6, at + 8
        if vr in _LONG:
            length_at, value_at = at + 8, at + 12
            length = int.from_bytes(raw[length_at:value_at], "little")
        found.append(Element((group, number), at, vr, length_at, value_at, length))
        if length == 2**32 - 1:
            if (group, number) == (0x7FE0, 0x10):
                break
            end = raw.find(_DELIMITER, value_at)
            at = end + 8 if end > 0 else len(raw)
        else:
            at = value_at + length
    return found


def wrong_length(raw: bytes, random: Random) -> bytes:
    there = elements(raw)
    if not there:
        return raw
    one = random.choice(there)
    size = one.value_at - one.length_at
    near = max(0, one.length + random.choice((-4, -2, -1, 1, 2, 4)))
    value = random.choice((near, random.choice(LONGS if size == 4 else _WORDS)))
    return put(raw, one.length_at, (value % 2 ** (8 * size)).to_bytes(size, "little"))


def swapped_lengths(raw: bytes, random: Random) -> bytes:
    there = [one for one in elements(raw) if one.vr not in _LONG]
    if len(there) < 2:
        return raw
    one, other = random.sample(there, 2)
    out = put(raw, one.length_at, struct.pack("<H", other.length))
    return put(out, other.length_at, struct.pack("<H", one.length))


def wrong_vr(raw: bytes, random: Random) -> bytes:
    there = elements(raw)
    return put(raw, random.choice(there).at + 4, random.choice(_VRS)) if there else raw


def wrong_size(raw: bytes, random: Random) -> bytes:
    """Rows, columns, bits, sign or samples that are not those of the pixels."""
    there = [one for one in elements(raw) if one.tag[0] == 0x28 and one.vr == b"US" and one.length == 2]
    if not there:
        return raw
    one = random.choice(there)
    now = struct.unpack_from("<H", raw, one.value_at)[0]
    value = random.choice((*_WORDS, now + 1, max(now - 1, 0), now * 2, now // 2, 12, 16, 32, 64))
    return put(raw, one.value_at, struct.pack("<H", value % 2**16))


def wrong_number(raw: bytes, random: Random) -> bytes:
    """A decimal text that is none, or none of this world."""
    there = [one for one in elements(raw) if one.vr in (b"DS", b"IS") and one.length]
    if not there:
        return raw
    one = random.choice(there)
    text = random.choice(
        (b"nan", b"inf", b"-1", b"0", b"1e400", b"9" * 16, b"1\\2\\3\\4\\5\\6\\7", b"x", b"\\\\", b"\xff")
    )
    return put(raw, one.value_at, text.ljust(one.length)[: one.length])


def frames_without_end(raw: bytes, random: Random) -> bytes:
    text = random.choice((b"0", b"2", b"1000", b"99999999", b"2147483647", b"-1"))
    text = text.ljust(len(text) + len(text) % 2)
    return _inserted(raw, struct.pack("<HH2sH", 0x28, 0x08, b"IS", len(text)) + text, (0x28, 0x08))


def _inserted(raw: bytes, blob: bytes, tag: tuple[int, int]) -> bytes:
    at = next((one.at for one in elements(raw) if one.tag > tag), None)
    return raw if at is None else raw[:at] + blob + raw[at:]


def nested(raw: bytes, random: Random) -> bytes:
    """Sequences in sequences, to the end of any stack."""
    sequence, end = b"\x08\x00\x40\x11SQ\0\0" + b"\xff" * 4, b"\xfe\xff\x0d\xe0\0\0\0\0" + _DELIMITER + bytes(4)
    depth = random.choice((3, 60, 500, 20_000))
    item = _ITEM + b"\xff" * 4
    closed = random.random() < 0.7
    return _inserted(raw, (sequence + item) * depth + (end * depth if closed else b""), (0x08, 0x1140))


def many_items(raw: bytes, random: Random) -> bytes:
    head = b"\x08\x00\x40\x11SQ\0\0" + b"\xff" * 4
    return _inserted(raw, head + (_ITEM + bytes(4)) * random.choice((10, 50_000)) + _DELIMITER + bytes(4), (8, 0x1140))


def wrong_syntax(raw: bytes, random: Random) -> bytes:
    """The pixels are not in the transfer syntax that the file names."""
    one = next((one for one in elements(raw) if one.tag == (2, 0x10)), None)
    if one is None:
        return raw
    ends = (b"", b".1", b".2", b".1.99", b".5", b".4.50", b".4.57", b".4.70", b".4.80", b".4.90", b".4.91", b".77")
    uid = (b"1.2.840.10008.1.2" + random.choice(ends)).ljust(one.length, b"\0")
    return put(raw, one.value_at, uid[: one.length])


def broken_frame(raw: bytes, random: Random) -> bytes:
    """Changes behind the head of the pixels: codestreams that lie, or are worn."""
    one = next((one for one in elements(raw) if one.tag == (0x7FE0, 0x10)), None)
    if one is None or one.value_at + 200 > len(raw):
        return raw
    start = one.value_at + 8
    kind = random.randrange(4)
    if kind == 0:  # in the codestream's own head
        return put(raw, start + random.randrange(110), random.choice((b"\0", b"\xff", b"\x7f", b"\x01\0", b"\xff\xd9")))
    at = random.randrange(start + 110, len(raw) - 8)
    if kind == 1:  # its end replaced, the lengths kept
        return raw[:at] + random.choice((b"\0", b"\xff", b"\x80"))[:1] * (len(raw) - at - 8) + raw[-8:]
    if kind == 2:  # an end marker within
        return put(raw, at, b"\xff\xd9")
    return put(raw, at, random.randbytes(8))


def lying_codestream(raw: bytes, random: Random) -> bytes:
    """A frame's own size: larger or smaller than the file says."""
    side = random.choice((0, 1, 10, 100, 4096, 30_000, 65_535))
    at = raw.find(b"\xff\x4f\xff\x51")
    if at >= 0:
        return put(raw, at + 2 + random.choice((6, 10, 14, 22, 26)), struct.pack(">I", side))
    for marker in (b"\xff\xf7", b"\xff\xc0", b"\xff\xc1", b"\xff\xc3"):
        at = raw.find(marker, 300)
        if at >= 0:
            return put(raw, at + random.choice((2, 4, 5, 7, 9)), struct.pack(">H", side))
    one = next((one for one in elements(raw) if one.tag == (0x7FE0, 0x10)), None)
    if one is None or len(raw) < one.value_at + 40:
        return raw
    return put(raw, one.value_at + 4 * random.randrange(10), struct.pack("<I", random.choice(LONGS)))


DICOM: tuple[Mutation, ...] = (
    *ANY, wrong_length, swapped_lengths, wrong_vr, wrong_size, wrong_number, frames_without_end, nested, many_items,
    wrong_syntax, broken_frame, lying_codestream,
)  # fmt: skip
