"""Files as a broken disk or somebody ill-meaning would leave them: one change to a whole one, from a seed.

Each function takes the bytes of a file and a random generator and gives other bytes. Here are those for any file;
those of a format are in mutations_dicom.py and mutations_nifti.py.
"""

from collections.abc import Callable
from random import Random

Mutation = Callable[[bytes, Random], bytes]
LONGS = (0, 1, 2, 2**16, 2**20 + 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


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


def put(raw: bytes, at: int, new: bytes) -> bytes:
    """Other bytes at a place, as many as before."""
    return raw[:at] + new + raw[at + len(new) :]


ANY: tuple[Mutation, ...] = (flip_one, flip_many, flip_head, cut_end, cut_anywhere, cut_hole, zero_hole, insert)
