"""Dates of a patient moved by one secret number of days: intervals stay, the calendar does not."""

import re
from datetime import date, timedelta

from medsynth.identity.pseudonym import Pseudonymiser

_LEAST, _SPAN = 366, 3650
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})")  # PS3.5 6.2; the dots are ACR-NEMA's
_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?")
_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_AGE = re.compile(r"\d{3}[DWMY]")
_OLDEST = 90


def days_back(names: Pseudonymiser, patient: str) -> int:
    """By how many days the dates of a patient move back: 366 to 4015, from the key and the patient alone."""
    return _LEAST + int(names.digest("days", patient), 16) % _SPAN


def shifted_date(text: str, days: int) -> str:
    """A DA some days earlier; "" where it is no date.

    >>> shifted_date("20240301", 1), shifted_date("20230231", 1), shifted_date("00010101", 1)
    ('20240229', '', '')
    """
    found = _DATE.fullmatch(text.strip(" \0"))
    if found is None:
        return ""
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        moved = date(year, month, day) - timedelta(days)
    except (ValueError, OverflowError):  # 31 February, before the year 1
        return ""
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"


def shifted_datetime(text: str, days: int) -> str:
    """A DT some days earlier, its time and zone kept; "" where it is none, or names no day.

    >>> shifted_datetime("20240301120000.5+0100", 1), shifted_datetime("202403", 1)
    ('20240229120000.5+0100', '')
    """
    text = text.strip(" \0")
    day, rest = text[:8], text[8:]
    zone = rest[-5:] if _ZONE.fullmatch(rest[-5:]) else ""
    time = rest[: len(rest) - len(zone)]
    moved = shifted_date(day, days)
    return moved + time + zone if moved and (not time or (valid_time(time) and ":" not in time)) else ""


def valid_time(text: str) -> str:
    """A TM as it is, "" where it is none: moving by whole days leaves the time of the day.

    >>> valid_time("235959.123456"), valid_time("2460"), valid_time("Smith")
    ('235959.123456', '', '')
    """
    text = text.strip(" \0")
    return text if _TIME.fullmatch(text) else ""


def valid_zone(text: str) -> str:
    """A Timezone Offset From UTC as it is, "" where it is none."""
    text = text.strip(" \0")
    return text if _ZONE.fullmatch(text) else ""


def valid_age(text: str) -> str:
    """An AS; above 89 years it becomes 90, since so few are older that the age alone may name them.

    >>> valid_age("045Y"), valid_age("094Y"), valid_age("1150M"), valid_age("old")
    ('045Y', '090Y', '', '')
    """
    text = text.strip(" \0")
    if not _AGE.fullmatch(text):
        return ""
    years = int(text[:3]) / {"D": 365, "W": 52, "M": 12, "Y": 1}[text[3]]
    return f"{_OLDEST:03d}Y" if years >= _OLDEST else text
