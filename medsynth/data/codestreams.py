"""What a compressed frame says of its own size, before anything is decoded."""

from typing import NamedTuple

from medsynth.errors import UnreadableError

_SIZ = (
    b"\xff\x4f\xff\x51"  # JPEG 2000: start of codestream and the size marker that has to follow (ISO 15444-1 A.4, A.5)
)
_BOXED = b"\0\0\0\x0cjP  "  # a codestream inside of a JP2 file (ISO 15444-1 I.5.1)
_JPEG_START = b"\xff\xd8"
_JPEG_END, _AFTER_END = b"\xff\xd9", 1024
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # ISO 10918-1 B.2.2; ISO 14495-1 C.2.2
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}


class CodedSize(NamedTuple):
    """Rows, columns and samples a pixel of a compressed frame."""

    rows: int
    columns: int
    samples: int


def coded_size(frame: bytes) -> CodedSize | None:
    """The size that a JPEG, JPEG-LS or JPEG 2000 frame opens to; None where it does not say."""
    return _jpeg(frame) if frame.startswith(_JPEG_START) else _jpeg_2000(frame)


def _jpeg_2000(frame: bytes) -> CodedSize | None:
    at = frame.find(_SIZ) if frame.startswith(_BOXED) else 0
    if not frame.startswith(_SIZ, max(at, 0)) or len(frame) < at + 42:
        return None

    def word(offset: int) -> int:
        return int.from_bytes(frame[at + offset : at + offset + 4])

    samples = int.from_bytes(frame[at + 40 : at + 42])
    return CodedSize(word(12) - word(20), word(8) - word(16), samples)


def _jpeg(frame: bytes) -> CodedSize | None:
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_MARKERS:
            body = frame[at + 4 : at + 10]
            return CodedSize(int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]) if len(body) == 6 else None
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def require_size(frame: bytes, rows: int, columns: int, samples: int = 1) -> None:
    """Refuse a frame that would open to more than its file says: a kilobyte can open to gigabytes.

    Raises:
        UnreadableError: so, a frame that does not say its size, or a JPEG that was cut short.
    """
    size = coded_size(frame)
    # Coded data never holds the end marker, so a JPEG without one was cut: decoders fill up what is missing.
    if frame.startswith(_JPEG_START) and _JPEG_END not in frame[-_AFTER_END:]:
        size = None
    if size is None or size.rows < 1 or size.columns < 1:
        raise UnreadableError("the pixels are missing, cut short or broken; export the series again")
    if size.rows * size.columns > rows * columns or size.samples != samples:
        raise UnreadableError(
            f"a compressed frame opens to {size.rows}x{size.columns} pixels of {size.samples} samples, the file says "
            f"{rows}x{columns} of {samples}; export the series again"
        )


def require_run_length(frame: bytes, raw: int) -> None:
    """Refuse a run-length frame (PS3.5 G) of more bytes than any of its size needs: each may open to sixty.

    Args:
        frame: compressed.
        raw: bytes of the frame once open.

    Raises:
        UnreadableError: so.
    """
    if len(frame) > 2 * raw + 1024:
        raise UnreadableError("a compressed frame is larger than its pixels; export the series again")
