"""Names and dates that a search for words passes over: spelled out, or in hexadecimal digits."""

import re
from collections.abc import Iterator

from medsynth.identity.byte_text import is_wordy
from medsynth.identity.vocabulary import is_known, unknown_words

# One letter after the other with one and the same sign between them: M U L L E R, M-u-l-l-e-r.
_SPELLED = re.compile(r"(?<![^\W_])[^\W\d_]([ ._·-])[^\W\d_](?:\1[^\W\d_])+(?![^\W_])")
_SPELLED_DAY = re.compile(r"(?<![\w.-])\d([ ._·])\d(?:\1\d){6}(?![\w.]|\1\d)")
_LEAST_LETTERS = 4  # R A S and H F S are directions
_LEAST_DIGITS = 6
_HEXADECIMAL = re.compile(r"(?<![^\W_])(?:[0-9a-f]{2}){6,}(?![^\W_])", re.IGNORECASE)


def spelled_words(text: str) -> Iterator[tuple[int, int]]:
    """Where letters stand apart that together are a word that is not known.

    >>> [("M U L L E R, T R A N S")[start:end] for start, end in spelled_words("M U L L E R, T R A N S")]
    ['M U L L E R']
    """
    for match in _SPELLED.finditer(text):
        word = match[0][::2]
        if len(word) >= _LEAST_LETTERS and not is_known(word):
            yield match.span()


def spelled_days(text: str) -> Iterator[tuple[int, int, str]]:
    """Where eight digits stand apart, no more and no fewer, and the digits.

    >>> list(spelled_days("1 9 6 1 0 5 0 3"))
    [(0, 15, '19610503')]
    """
    for match in _SPELLED_DAY.finditer(text):
        yield *match.span(), match[0][::2]


def hexadecimal_texts(text: str) -> Iterator[tuple[int, int]]:
    """Where hexadecimal digits are text with a word that is not known, or six digits and more, when read as bytes.

    A hash is text by chance about once in 10,000 where it has 12 digits, less where it has more.

    >>> list(hexadecimal_texts("4f7474696c6965"))
    [(0, 14)]
    """
    for match in _HEXADECIMAL.finditer(text):
        read = bytes.fromhex(match[0]).decode("ascii", "replace")
        digits = sum(one.isdigit() for one in read)
        if (
            read.isascii()
            and read.isprintable()
            and is_wordy(read)
            and (unknown_words(read) or digits >= _LEAST_DIGITS)
        ):
            yield match.span()
