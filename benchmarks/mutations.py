"""Files as a broken disk or somebody ill-meaning would leave them: one change to a whole one, from a seed.

Each function takes the bytes of a file and a random generator and gives other bytes.
"""

import gzip
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

Mutation = Callable[[bytes, Random], bytes]
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OF OW PN SH SL SQ SS ST TM UI UL UN US UT XX".split()
_LONG = {b"OB", b"OF", b"OW", b"SQ", b"UN", b"UT"}
_WORDS = (0, 1, 2, 7, 8, 255, 256, 32767, 32768, 65535)
_LONGS = (0, 1, 2, 2**16, 2**20 + 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


# any file


def flip_one(raw: bytes, random: Random) -> bytes:
    return _flipped(raw, random, 1, len(raw))


def flip_many(raw: bytes, random: Random) -> bytes:
    return _flipped(raw, random, random.choice((8, 64, 512)), len(raw))


def flip_head(raw: bytes, random: Random) -> bytes:
    return _flipped(raw, random, random.choice((1, 4)), min(len(raw), 2048))


def _flipped(raw: bytes, random: Random, count: int, within: int) -> bytes:
    out = bytearray(raw)
    for _ in range(count):
        out[random.randrange(within)] ^= 1 << random.randrange(8)
    return bytes(out)


def cut_end(raw: bytes, random: Random) -> bytes:
    return raw[: len(raw) - random.choice((1, 2, 3, 16, 100, 1000))]


def cut_anywhere(raw: bytes, random: Random) -> bytes:
    return raw[: random.randrange(len(raw))]


def cut_hole(raw: bytes, random: Random) -> bytes:
    at = random.randrange(len(raw))
    return raw[:at] + raw[at + random.choice((1, 2, 8, 500)) :]


def zero_hole(raw: bytes, random: Random) -> bytes:
    at, size = random.randrange(len(raw)), random.choice((4, 64, 4096))
    return (raw[:at] + bytes(size) + raw[at + size :])[: len(raw)]


def insert(raw: bytes, random: Random) -> bytes:
    at = random.randrange(min(len(raw), random.choice((2000, len(raw)))))
    return raw[:at] + random.randbytes(random.choice((1, 2, 8, 300))) + raw[at:]


# DICOM in explicit little endian; where none is found the bytes stay as they are


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


def _put(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def wrong_length(raw: bytes, random: Random) -> bytes:
    there = elements(raw)
    if not there:
        return raw
    one = random.choice(there)
    size = one.value_at - one.length_at
    near = max(0, one.length + random.choice((-4, -2, -1, 1, 2, 4)))
    value = random.choice((near, random.choice(_LONGS if size == 4 else _WORDS)))
    return _put(raw, one.length_at, (value % 2 ** (8 * size)).to_bytes(size, "little"))


def swapped_lengths(raw: bytes, random: Random) -> bytes:
    there = [one for one in elements(raw) if one.vr not in _LONG]
    if len(there) < 2:
        return raw
    one, other = random.sample(there, 2)
    out = _put(raw, one.length_at, struct.pack("<H", other.length))
    return _put(out, other.length_at, struct.pack("<H", one.length))


def wrong_vr(raw: bytes, random: Random) -> bytes:
    there = elements(raw)
    return _put(raw, random.choice(there).at + 4, random.choice(_VRS)) if there else raw


def wrong_size(raw: bytes, random: Random) -> bytes:
    """Rows, columns, bits, sign or samples that are not those of the pixels."""
    there = [one for one in elements(raw) if one.tag[0] == 0x28 and one.vr == b"US" and one.length == 2]
    if not there:
        return raw
    one = random.choice(there)
    now = struct.unpack_from("<H", raw, one.value_at)[0]
    value = random.choice((*_WORDS, now + 1, max(now - 1, 0), now * 2, now // 2, 12, 16, 32, 64))
    return _put(raw, one.value_at, struct.pack("<H", value % 2**16))


def wrong_number(raw: bytes, random: Random) -> bytes:
    """A decimal text that is none, or none of this world."""
    there = [one for one in elements(raw) if one.vr in (b"DS", b"IS") and one.length]
    if not there:
        return raw
    one = random.choice(there)
    text = random.choice(
        (b"nan", b"inf", b"-1", b"0", b"1e400", b"9" * 16, b"1\\2\\3\\4\\5\\6\\7", b"x", b"\\\\", b"\xff")
    )
    return _put(raw, one.value_at, text.ljust(one.length)[: one.length])


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
    return _put(raw, one.value_at, uid[: one.length])


def broken_frame(raw: bytes, random: Random) -> bytes:
    """Changes behind the head of the pixels: codestreams that lie, or are worn."""
    one = next((one for one in elements(raw) if one.tag == (0x7FE0, 0x10)), None)
    if one is None or one.value_at + 200 > len(raw):
        return raw
    start = one.value_at + 8
    kind = random.randrange(4)
    if kind == 0:  # in the codestream's own head
        return _put(
            raw, start + random.randrange(110), random.choice((b"\0", b"\xff", b"\x7f", b"\x01\0", b"\xff\xd9"))
        )
    at = random.randrange(start + 110, len(raw) - 8)
    if kind == 1:  # its end replaced, the lengths kept
        return raw[:at] + random.choice((b"\0", b"\xff", b"\x80"))[:1] * (len(raw) - at - 8) + raw[-8:]
    if kind == 2:  # an end marker within
        return _put(raw, at, b"\xff\xd9")
    return _put(raw, at, random.randbytes(8))


def lying_codestream(raw: bytes, random: Random) -> bytes:
    """A frame's own size: larger or smaller than the file says."""
    side = random.choice((0, 1, 10, 100, 4096, 30_000, 65_535))
    at = raw.find(b"\xff\x4f\xff\x51")
    if at >= 0:
        return _put(raw, at + 2 + random.choice((6, 10, 14, 22, 26)), struct.pack(">I", side))
    for marker in (b"\xff\xf7", b"\xff\xc0", b"\xff\xc1", b"\xff\xc3"):
        at = raw.find(marker, 300)
        if at >= 0:
            return _put(raw, at + random.choice((2, 4, 5, 7, 9)), struct.pack(">H", side))
    one = next((one for one in elements(raw) if one.tag == (0x7FE0, 0x10)), None)
    if one is None or len(raw) < one.value_at + 40:
        return raw
    return _put(raw, one.value_at + 4 * random.randrange(10), struct.pack("<I", random.choice(_LONGS)))


ANY = (flip_one, flip_many, flip_head, cut_end, cut_anywhere, cut_hole, zero_hole, insert)
DICOM: tuple[Mutation, ...] = (
    *ANY, wrong_length, swapped_lengths, wrong_vr, wrong_size, wrong_number, frames_without_end, nested, many_items,
    wrong_syntax, broken_frame, lying_codestream,
)  # fmt: skip


# NIfTI-1 and -2, Analyze: little endian


_FIELDS_1 = (
    ("sizeof_hdr", 0, "i"), *((f"dim{k}", 40 + 2 * k, "h") for k in range(8)), ("intent_code", 68, "h"),
    ("datatype", 70, "h"), ("bitpix", 72, "h"), *((f"pixdim{k}", 76 + 4 * k, "f") for k in range(8)),
    ("vox_offset", 108, "f"), ("scl_slope", 112, "f"), ("scl_inter", 116, "f"), ("xyzt_units", 123, "B"),
    ("qform", 252, "h"), ("sform", 254, "h"), *((f"quatern{k}", 256 + 4 * k, "f") for k in range(6)),
    *((f"srow{k}", 280 + 4 * k, "f") for k in range(12)), ("magic", 344, "I"),
)  # fmt: skip
_FIELDS_2 = (
    ("sizeof_hdr", 0, "i"), ("magic", 4, "Q"), ("datatype", 12, "h"), ("bitpix", 14, "h"),
    *((f"dim{k}", 16 + 8 * k, "q") for k in range(8)), *((f"pixdim{k}", 104 + 8 * k, "d") for k in range(8)),
    ("vox_offset", 168, "q"), ("scl_slope", 176, "d"), ("scl_inter", 184, "d"), ("qform", 344, "i"),
    ("sform", 348, "i"),
    *((f"quatern{k}", 352 + 8 * k, "d") for k in range(6)), *((f"srow{k}", 400 + 8 * k, "d") for k in range(12)),
    ("xyzt_units", 500, "i"),
)  # fmt: skip
_INTEGERS = (-1, 0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 255, 256, 511, 512, 768, 1024, 1280, 1536, 2304, 32767, -32768, 2**40)
_FLOATS = (0.0, -1.0, 1.0, float("nan"), float("inf"), -float("inf"), 1e38, 1e-38, 348.0, 350.0, 353.0, 368.0, 1e9)


def nifti_field(raw: bytes, random: Random) -> bytes:
    _, at, kind = random.choice(_FIELDS_2 if raw[:4] == b"\x1c\x02\0\0" else _FIELDS_1)
    if kind in "fd":
        return _put(raw, at, struct.pack(f"<{kind}", random.choice(_FLOATS)))
    size = struct.calcsize(f"<{kind}")
    now = int.from_bytes(raw[at : at + size], "little", signed=True)
    value = random.choice((*_INTEGERS, now + 1, now - 1, now * 2)) % 2 ** (8 * size)
    return _put(raw, at, value.to_bytes(size, "little"))


def nifti_extension(raw: bytes, random: Random) -> bytes:
    """An extension whose size is true, or is not (NIfTI-1 "extended header")."""
    second = raw[:4] == b"\x1c\x02\0\0"
    start = 544 if second else 352
    size = random.choice((0, 7, 8, 16, 32, 33, 2**20, 2**31 - 1, -16))
    blob = struct.pack("<ii", size, 6) + b"x" * 24
    out = raw[: start - 4] + b"\1\0\0\0" + blob + raw[start:]
    if random.random() < 0.5:  # and the voxels begin behind it
        at, packed = (168, struct.pack("<q", start + 32)) if second else (108, struct.pack("<f", start + 32))
        out = _put(out, at, packed)
    return out


NIFTI: tuple[Mutation, ...] = (*ANY, nifti_field, nifti_field, nifti_field, nifti_extension)


def packed_whole(raw: bytes, random: Random) -> bytes:
    """Packed without a fault, from bytes with one."""
    return gzip.compress(random.choice(NIFTI)(gzip.decompress(raw), random), 1, mtime=0)


def packed_then_broken(raw: bytes, random: Random) -> bytes:
    return random.choice(ANY)(raw, random)


def packed_with_lies(raw: bytes, random: Random) -> bytes:
    """Checksum, length or head of a member that are not true, several members, bytes behind the last, a bomb."""
    kind, whole, raw = random.randrange(7), raw, gzip.decompress(raw)
    if kind == 0:
        return whole[:-8] + random.randbytes(4) + whole[-4:]
    if kind == 1:
        return whole[:-4] + struct.pack("<I", random.choice(_LONGS))
    if kind == 2:
        at = random.randrange(len(raw))
        return gzip.compress(raw[:at], 1, mtime=0) + gzip.compress(raw[at:], 1, mtime=0)
    if kind == 3:
        return gzip.compress(raw[: random.randrange(400, len(raw))], 1, mtime=0) + random.randbytes(50)
    if kind == 4:
        return whole + random.choice((bytes(64), random.randbytes(64), whole))
    if kind == 5:
        return gzip.compress(raw[: len(raw) // 2], 1, mtime=0) + whole[:20]
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(raw) + b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()


PACKED: tuple[Mutation, ...] = (packed_whole, packed_then_broken, packed_with_lies)
