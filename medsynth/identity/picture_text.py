"""Text burned into the pixels of a picture: where it is, and never what it says."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import UnreadableError
from medsynth.identity.pixels import Box
from medsynth.identity.text_model import Candidate, find_candidates, require_model

_INSIDE, _OUTSIDE = (0.5, 99.5), 30.0
_LARGEST = 2**26
_LEAST_SIDE = 8
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class MarkerPolicy:
    """Which marks of side (R or L) pass: one letter alone, of a marker's size, away from the middle and other text.

    Two letters (RT, LT) never pass: they may be initials. One letter may be one too, which no picture tells; so it has
    to stand apart.

    Args:
        letters: that pass.
        smallest: height of the box, as a share of the picture's shorter side.
        largest: the same.
        smallest_mm: height in millimetres, where the spacing is known.
        largest_mm: the same.
        middle: no marker has its centre in this share of rows and columns around the picture's centre.
        apart: no other box of text nearer than so many heights of the marker.
        most: marks in one picture; where there are more, none passes.

    Raises:
        ValueError: limits that are none.
    """

    letters: tuple[str, ...] = ("R", "L")
    smallest: float = 0.01
    largest: float = 0.2
    smallest_mm: float = 2.0
    largest_mm: float = 60.0
    middle: float = 0.3
    apart: float = 1.5
    most: int = 2

    def __post_init__(self) -> None:
        if any(len(letter) != 1 for letter in self.letters):
            raise ValueError("a mark of side is one letter")
        if not (0 <= self.smallest <= self.largest <= 1 and 0 <= self.smallest_mm <= self.largest_mm):
            raise ValueError("the smallest marker is larger than the largest, or a share is no share")
        if not (0 <= self.middle <= 1 and self.apart >= 0 and self.most >= 0):
            raise ValueError("middle is a share from 0 to 1; apart and most are not negative")

    def to_json(self) -> dict[str, Any]:
        """All limits, for a report."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def passes(
        self,
        mark: Candidate,
        others: Sequence[Candidate],
        shape: tuple[int, int],
        spacing_mm: tuple[float, float] | None,
    ) -> bool:
        """Whether a box is a mark of side.

        Args:
            mark: the box.
            others: of the same picture that are text.
            shape: rows and columns.
            spacing_mm: of rows and of columns.
        """
        if _letters(mark.text) not in self.letters:
            return False
        rows, columns = shape
        height = mark.bottom - mark.top
        if not self.smallest <= height / min(rows, columns) <= self.largest:
            return False
        if spacing_mm is not None and not self.smallest_mm <= height * spacing_mm[0] <= self.largest_mm:
            return False
        off = (abs((mark.left + mark.right) / columns - 1), abs((mark.top + mark.bottom) / rows - 1))
        if max(off) < self.middle:
            return False
        return all(_gap(mark, other) >= self.apart * height for other in others)


class TextFinder:
    """Finds boxes of text. The models are loaded once a process, by the first picture; one thread, the same each time.

    A box is text where its shape is that of a line (wider than high), it is no higher than text is, and a recogniser
    reads two characters or more with some confidence; which ones does not matter. Ribs, gyri and electrodes make boxes
    of other shapes, so there the recogniser has to be surer.

    Args:
        policy: marks of side that pass.
        least_score: of the detector, 0 to 1.
        line: width over height from which a box is a line.
        line_confidence: of the recogniser in a line, 0 to 1.
        block_confidence: of the recogniser where the box is no line and it reads several characters.
        letter_confidence: the same where it reads one.
        tallest: shorter side of a box over that of the picture; what is larger is no text.

    Raises:
        MedsynthError: rapidocr-onnxruntime is not installed; the message names the extra.
    """

    def __init__(
        self,
        policy: MarkerPolicy | None = None,
        *,
        least_score: float = 0.5,
        line: float = 1.6,
        line_confidence: float = 0.45,
        block_confidence: float = 0.75,
        letter_confidence: float = 0.9,
        tallest: float = 0.2,
    ) -> None:
        require_model()
        self.policy = MarkerPolicy() if policy is None else policy
        self._least_score, self._line, self._tallest = least_score, line, tallest
        self._read = (line_confidence, block_confidence, letter_confidence)

    def find(self, picture: NDArray[Any], spacing_mm: tuple[float, float] | None = None) -> list[Box]:
        """Boxes of text, marks of side that pass apart, from top to bottom.

        Args:
            picture: (rows, columns), grey values of any type and range, or (rows, columns, 3), uint8.
            spacing_mm: of rows and of columns; only marks of side are judged by it.

        Raises:
            UnreadableError: more than 2^26 pixels.
            ValueError: no picture.
        """
        image = as_picture(picture)
        if min(image.shape[:2]) < _LEAST_SIDE or image.min() == image.max():
            return []
        found = find_candidates(image, self._least_score)
        return self.boxes(found, (image.shape[0], image.shape[1]), spacing_mm)

    def boxes(
        self, found: Sequence[Candidate], shape: tuple[int, int], spacing_mm: tuple[float, float] | None = None
    ) -> list[Box]:
        """What of a detector's boxes is text.

        Args:
            found: the detector's.
            shape: rows and columns.
            spacing_mm: as in `find`.
        """
        texts = [one for one in found if self._is_text(one, min(shape))]
        marks = [one for one in texts if _letters(one.text) in self.policy.letters]
        passing = [
            mark
            for mark in marks
            if self.policy.passes(mark, [one for one in texts if one not in marks], shape, spacing_mm)
        ]
        if len(marks) > self.policy.most:
            passing = []
        kept = sorted((one for one in texts if one not in passing), key=lambda one: (one.top, one.left))
        return [_box(one, shape) for one in kept]

    def _is_text(self, one: Candidate, shorter: int) -> bool:
        if one.score < self._least_score:
            return False
        width, height = one.right - one.left, one.bottom - one.top
        letters = len(_letters(one.text))
        if not letters or min(width, height) > self._tallest * shorter:
            return False
        of_line, of_block, of_letter = self._read
        is_line = width >= self._line * height and not one.turned
        needed = of_letter if letters == 1 else of_line if is_line else of_block
        return one.confidence >= needed


def as_picture(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture as the detector takes it, (rows, columns, 3) of 8 bits; grey values are windowed.

    Raises:
        UnreadableError: more than 2^26 pixels.
        ValueError: neither (rows, columns) nor (rows, columns, 3) of uint8.
    """
    if math.prod(picture.shape[:2]) > _LARGEST:
        raise UnreadableError("a picture of more than 67 million pixels is too large to look at; exclude the file")
    if picture.ndim == 2:
        return windowed(picture)
    if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return np.ascontiguousarray(picture)
    raise ValueError(f"no picture: {picture.dtype} {picture.shape}")


def windowed(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values of any range as 8 bits (rows, columns, 3): monotone, and nothing is clipped.

    The middle 99% take most of the range, the values beyond them its ends, so that neither a few extreme pixels hide
    the others nor text of extreme values is lost in tissue that is nearly as bright.
    """
    values = picture.astype(np.float64)
    fit = np.isfinite(values)
    if not fit.any():
        return np.zeros((*picture.shape, 3), np.uint8)
    least, most = float(values[fit].min()), float(values[fit].max())
    values[~fit] = least
    low, high = (float(value) for value in np.percentile(values, _INSIDE))
    if high <= low:  # nearly all is one value, which is the paper that the rest is written on
        low, high = least, most
    if high <= low:
        return np.zeros((*picture.shape, 3), np.uint8)
    knots = [(low, _OUTSIDE if least < low else 0.0), (high, 255 - _OUTSIDE if most > high else 255.0)]
    knots = [(least, 0.0)] * (least < low) + knots + [(most, 255.0)] * (most > high)
    at, greys = np.array(knots).T
    grey = np.rint(np.interp(values, at, greys)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def blank_picture(picture: NDArray[Any], boxes: Sequence[Box]) -> NDArray[Any]:
    """A copy with boxes filled by the darkest value that occurs; black in colour.

    Args:
        picture: (rows, columns) or (rows, columns, 3).
        boxes: may reach over the edges; their frame does not count.
    """
    blanked = picture.copy()
    finite = picture[np.isfinite(picture)] if picture.dtype.kind == "f" else picture
    dark = finite.min() if picture.ndim == 2 and finite.size else 0
    for box in boxes:
        rows = slice(max(box.top, 0), max(box.top + box.height, 0))
        columns = slice(max(box.left, 0), max(box.left + box.width, 0))
        blanked[rows, columns] = dark
    return blanked


def blank_text(
    picture: NDArray[Any], finder: TextFinder, spacing_mm: tuple[float, float] | None = None
) -> tuple[NDArray[Any], list[Box]]:
    """Blank text and look again, until none is found.

    Args:
        picture: as `TextFinder.find` takes it; is not changed.
        finder: looks.
        spacing_mm: as there.

    Returns:
        The picture without text, and all boxes that were blanked.

    Raises:
        UnreadableError: text is found still after eight rounds.
    """
    boxes: list[Box] = []
    for _ in range(_ROUNDS):
        found = finder.find(picture, spacing_mm)
        if not found:
            return picture, boxes
        boxes += found
        picture = blank_picture(picture, found)
    raise UnreadableError(f"text is found in a picture still after {_ROUNDS} rounds of blanking; exclude the file")


def _letters(text: str) -> str:
    """Letters and digits alone; specks beside a letter are read as dots."""
    return "".join(one for one in text if one.isalnum()).upper()


def _gap(one: Candidate, other: Candidate) -> float:
    """Distance of two boxes in pixels, 0 where they touch."""
    across = max(one.left - other.right, other.left - one.right, 0.0)
    down = max(one.top - other.bottom, other.top - one.bottom, 0.0)
    return math.hypot(across, down)


def _box(one: Candidate, shape: tuple[int, int]) -> Box:
    """A box in whole pixels with a margin of a tenth of its height: what is left of strokes could be read."""
    margin = 1 + (one.bottom - one.top) / 10
    left, top = max(math.floor(one.left - margin), 0), max(math.floor(one.top - margin), 0)
    right, bottom = min(math.ceil(one.right + margin), shape[1]), min(math.ceil(one.bottom + margin), shape[0])
    return Box(left, top, max(right - left, 1), max(bottom - top, 1))
