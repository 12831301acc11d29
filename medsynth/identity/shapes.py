"""What identifies somebody, told by its shape: names, dates, addresses, numbers, unique identifiers."""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator

from medsynth.identity.disguises import hexadecimal_texts, spelled_days, spelled_words
from medsynth.identity.finding import Found
from medsynth.identity.vocabulary import is_known, unknown_words

_MONTHS = (
    "jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|fe?vrier|mar(?:ch|s)?|m[aä]rz|apr(?:il)?|avril|ma[iy]|juni?e?|juin"
    "|jul[iy]?|juillet|aug(?:ust)?|ao[uû]t|sept?(?:ember)?|o[ck]t(?:ober|obre)?|nov(?:ember)?|de[cz](?:ember)?"
)
_YEAR = r"(?:18|19|20)\d\d"
_DATES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), order)
    for pattern, order in (
        (rf"(?<![\d.])({_YEAR})(\d\d)(\d\d)(?:[T_ -]?[0-2]\d[0-5]\d(?:[0-5]\d)?(?:\.\d+)?)?(?![\d])", "ymd"),
        (rf"(?<![\d.])({_YEAR})\s?[-/._:]\s?(\d\d?)\s?[-/._:]\s?(\d\d?)(?!\d)", "ymd"),
        (rf"(?<![\d.])(\d\d?)\s?[-/._]\s?(\d\d?)\s?[-/._]\s?({_YEAR})(?![\d])", "dmy"),
        (rf"(?<![\d.])(\d\d)(\d\d)({_YEAR})(?!\d|\.\d)", "dmy"),
        (r"(?<![\d./-])(\d\d?)([/-])(\d\d?)\2(\d\d)(?![\d/-]|\.\d)", "short"),
        (r"(?<![\d.])(\d\d)\.(\d\d)\.(\d\d)(?!\d|\.\d)", "shortdots"),
        (rf"(?<![^\W_])(\d\d?)(?:st|nd|rd|th)?[\s./_-]*(?:{_MONTHS})[\s.,/_-]*(?:{_YEAR}|'?\d\d)(?!\d)", "words"),
        (rf"(?<![^\W\d_])(?:{_MONTHS})[\s.,/_-]+(?:\d\d?(?:st|nd|rd|th)?[\s.,/_-]+)?{_YEAR}(?!\d)", "words"),
        (rf"(?<!\d){_YEAR}[\s./_-]*(?:{_MONTHS})[\s./_-]*\d\d?(?!\d)", "words"),
    )
)
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\b(?:https?|ftp|dicom)://\S+|\bwww\.[\w.-]+", re.IGNORECASE)
_UID = re.compile(r"(?<![\w.])[0-2](?:\.(?:0|[1-9]\d*)){3,}(?![\w])")
_UID_LONG = 18
_FREE = re.compile(r"2\.25\.(?:\d{1,5}|\d{24,39})|1\.2\.840\.10008(?:\.\d{1,5})+")
_PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[\s./()-]*\d(?:[\s./()-]?\d){5,12}"
    r"|\(\d{2,5}\)[\s./-]*\d{3,4}[\s./-]?\d{3,5}"
    r"|\d{3}[\s./-]\d{3}[\s./-]\d{4}|\d{3}-\d{4}"
    r"|0\d{1,4}[\s/-]+\d{2,4}(?:[\s/-]?\d{2,4}){1,3})(?!\w|\.\w)"
)
_SOCIAL = re.compile(r"(?<![\w.-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])")
_LABELLED = re.compile(
    r"(?<![^\W_])(?:mrn|pat(?:ient)?[\s_]*(?:id|no|nr)|acc(?:ession)?(?:[\s_]*(?:no|nr|number))?|case[\s_]*no|ssn|nhs"
    r"|fall(?:nr|nummer)?)[\s_.:#=-]*([A-Z]{0,4}-?\d[\d-]{2,})",
    re.IGNORECASE,
)
# A full stop ends a sentence; tables that lack a value elsewhere in the column write 4711 as 4711.0.
_LONG_NUMBER = re.compile(r"(?<![\d.])(?:\d{7,}(?:\.0+(?!\d))?|\d{2,4}(?:[ -]\d{2,4}){2,})(?!\d|\.\d)")
_MIXED = re.compile(
    r"(?<![^\W_])(?=[A-Za-z0-9-]*\d)[A-Za-z][A-Za-z0-9]*-?\d{4,}[A-Za-z0-9]*(?![^\W_])|\b\d{5,}[A-Za-z]+\b"
)
# Hospitals number patients with five and six digits too. Fewer are years, milliseconds and pixels.
_SHORT_NUMBER = re.compile(r"(?<![^\W_])(?<![.,+-])(?<!ISO )(?<!IEC )\d{5,6}(?:\.0+(?!\d))?(?![^\W_]|[.,]\d)")
_NUMBERS_ALONE = re.compile(r"[\d\s.,;:eE+()\[\]'\"-]*")
_HASH = re.compile(
    r"(?<![^\W_])[A-Za-z]?(?:[0-9a-f]{12}|[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![^\W_])"
)
_STREET = (
    r"street|str\.|str|strasse|straße|road|rd|avenue|ave|lane|ln|drive|boulevard|blvd|court|square|place|platz|weg|gasse"
    r"|allee|rue|via|calle|plaza|laan|gatan|vej"
)
_ADDRESS = re.compile(
    rf"\b\d{{1,5}}[a-z]?,?\s+(?:[\w.]+\s+){{0,3}}(?:{_STREET})(?![^\W\d_])|[^\W\d_]*(?:strasse|straße|str\.|gasse|weg|allee"
    rf"|platz|laan|gatan)\s+\d{{1,4}}\b|\b(?:rue|via|calle)\s+(?:\w+\s+){{1,3}}\d{{1,4}}\b|\bP\.?\s?O\.?\s?Box\s+\d+"
    r"|\b[A-Z]{2}\s+\d{5}(?:-\d{4})?\b|\b(?:D-|A-|CH-)?\d{4,5}\s+[A-ZÄÖÜ][a-zäöüß]{3,}",
    re.IGNORECASE,
)
_CARET = re.compile(r"[^\W\d_][\w.'-]*\s*\^+\s*[^\W\d_][\w.' -]*(?:\^[\w.' -]*)*")
_TITLE = re.compile(
    r"(?<![^\W_])(?:dr|prof|mr|mrs|ms|miss|sir|herr|frau|fr|hr|mme|mlle|sr|sra|doctor|professor|pt|patient)\.?[\s_:]+"
    r"(?:(?:med|dr)\.?\s+)*[^\W\d_]{2,}(?:[\s-][A-ZÄÖÜ][^\W\d_]+)*",
    re.IGNORECASE,
)
# Two letters are no word that is judged, but after a title they are a name: Dr Li. DR and MR are modalities.
_SHORT_NAME = re.compile(r"(?<![^\W_])(?:Dr\.?|DR\.|Prof\.?|Mr\.|Mrs\.?|Ms\.?|Herr|Frau)\s+[A-Z][A-Za-z]\b")
_COMMA = re.compile(r"(?<![^\W_])[A-ZÄÖÜ][^\W\d_]+(?:-[A-Z][^\W\d_]+)?,\s?[A-ZÄÖÜ][^\W\d_]*(?:\s[A-Z]\.?)?")


def shapes(text: str) -> list[Found]:
    """What identifies by its shape, each with the piece of `text` that does.

    >>> shapes("Voss^Ada, 3 May 1961")
    [Found(kind='date', piece='3 May 1961'), Found(kind='name', piece='Voss^Ada')]
    """
    found: list[Found] = []
    text = seen(text)
    for start, end in sorted(hexadecimal_texts(text), reverse=True):
        found.append(Found("words", text[start:end]))
        text = text[:start] + "\0" * (end - start) + text[end:]
    rest = _HASH.sub(lambda match: match[0] if match[0].isdigit() else " " * len(match[0]), text)
    for kind, search in _SEARCHES:
        for start, end in sorted(search(rest), reverse=True):
            found.append(Found(kind, rest[start:end]))
            rest = rest[:start] + "\0" * (end - start) + rest[end:]
    return found


def judge_measures(text: str) -> list[Found]:
    """As `judge`, for cells and lines of tables: where they hold numbers alone, those of six digits are measures.

    >>> judge_measures("493027 512 0.5"), [kind for kind, _ in judge_measures("record 493027")]
    ([], ['number'])
    """
    found = judge(text)
    return without_short_numbers(found) if _NUMBERS_ALONE.fullmatch(text) else found


def without_short_numbers(found: Iterable[Found]) -> list[Found]:
    """What was found, less numbers of five and six digits: where they are known to count or measure."""
    return [one for one in found if not _SHORT_NUMBER.fullmatch(one.piece)]


def judge(text: str) -> list[Found]:
    """What identifies by its shape, and what is not understood: words that are not known.

    >>> [kind for kind, _ in judge("axial T1 of Ottilie")]
    ['words']
    """
    if not any(letter.isalnum() for letter in text):
        return []
    text = seen(text)
    found = shapes(text)
    rest = text
    for _, piece in found:
        rest = rest.replace(piece, " ")
    strange = unknown_words(_HASH.sub(" ", rest))
    return [*found, Found("words", " ".join(strange))] if strange else found


def seen(text: str) -> str:
    """Text as a person sees it: one form of each sign, and nothing that has no width.

    >>> seen("O\u00adtti\u200blie \uff11\uff19\uff16\uff11")
    'Ottilie 1961'
    """
    if text.isascii():
        return text
    return "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")


def is_foreign_uid(text: str) -> bool:
    """Whether a UID is of another root than 2.25 (made of random numbers) and the DICOM standard's own.

    A short number below 2.25, or a long one below the standard's root, was not made by either.

    >>> is_foreign_uid("2.25.83749201"), is_foreign_uid("1.2.840.10008.5.1.4.1.1.2")
    (True, False)
    """
    return not _FREE.fullmatch(text)


def valid_date(year: int, month: int, day: int) -> bool:
    """Whether a day is in the calendar, between 1850 and 2099."""
    return 1850 <= year <= 2099 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _pattern(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (match.span() for match in pattern.finditer(text))


def _uids(text: str) -> Iterator[tuple[int, int]]:
    for match in _UID.finditer(text):
        if len(match[0]) >= _UID_LONG and is_foreign_uid(match[0]):
            yield match.span()


def _dates(text: str) -> Iterator[tuple[int, int]]:
    taken: set[int] = set()
    for pattern, order in _DATES:
        for match in pattern.finditer(text):
            if not taken.intersection(range(*match.span())) and _is_date(match, order):
                taken.update(range(*match.span()))
                yield match.span()
    for start, end, digits in spelled_days(text):
        if any(True for _ in _dates(digits)):
            yield start, end


def _is_date(match: re.Match[str], order: str) -> bool:
    if order == "words":
        return True
    if order == "short":
        first, _, second, third = match.groups()
        numbers = (int(first), int(second), int(third))
    else:
        numbers = tuple(int(group) for group in match.groups())  # type: ignore[assignment]
    one, two, three = numbers
    if order == "ymd":
        return valid_date(one, two, three)
    if order == "dmy":
        return valid_date(three, two, one) or valid_date(three, one, two)
    return any(valid_date(2000 + y, m, d) for y, m, d in ((three, two, one), (three, one, two), (one, two, three)))


def _names(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_CARET, _TITLE, _SHORT_NAME):
        for match in pattern.finditer(text):
            if pattern is not _TITLE or unknown_words(match[0]):
                yield match.span()
    for match in _COMMA.finditer(text):
        if not all(is_known(word) for word in re.findall(r"[^\W\d_]+", match[0])):
            yield match.span()


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _ADDRESS.finditer(text):
        if unknown_words(match[0]) or re.search(rf"(?<![^\W_])(?:{_STREET})(?![^\W_])|box", match[0], re.IGNORECASE):
            yield match.span()


_SEARCHES: tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]]], ...] = (
    ("email", _pattern(_EMAIL)),
    ("url", _pattern(_URL)),
    ("uid", _uids),
    ("number", _pattern(_SOCIAL)),
    ("date", _dates),
    ("phone", _pattern(_PHONE)),
    ("number", _pattern(_LABELLED)),
    ("address", _addresses),
    ("name", _names),
    ("number", _pattern(_LONG_NUMBER)),
    ("number", _pattern(_MIXED)),
    ("number", _pattern(_SHORT_NUMBER)),
    ("words", spelled_words),
)
