"""Changes to NIfTI-1, NIfTI-2 and Analyze files in little endian, and to what gzip makes of them."""

import gzip
import struct
import zlib
from random import Random

from mutations import ANY, LONGS, Mutation, put

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
        return put(raw, at, struct.pack(f"<{kind}", random.choice(_FLOATS)))
    size = struct.calcsize(f"<{kind}")
    now = int.from_bytes(raw[at : at + size], "little", signed=True)
    value = random.choice((*_INTEGERS, now + 1, now - 1, now * 2)) % 2 ** (8 * size)
    return put(raw, at, value.to_bytes(size, "little"))


def nifti_extension(raw: bytes, random: Random) -> bytes:
    """An extension whose size is true, or is not (NIfTI-1 "extended header")."""
    second = raw[:4] == b"\x1c\x02\0\0"
    start = 544 if second else 352
    size = random.choice((0, 7, 8, 16, 32, 33, 2**20, 2**31 - 1, -16))
    blob = struct.pack("<ii", size, 6) + b"x" * 24
    out = raw[: start - 4] + b"\1\0\0\0" + blob + raw[start:]
    if random.random() < 0.5:  # and the voxels begin behind it
        at, packed = (168, struct.pack("<q", start + 32)) if second else (108, struct.pack("<f", start + 32))
        out = put(out, at, packed)
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
        return whole[:-4] + struct.pack("<I", random.choice(LONGS))
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
