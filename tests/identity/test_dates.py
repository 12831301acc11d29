"""Dates move together, stay dates, and what is none goes."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from medsynth.identity.dates import days_back, shifted_date, shifted_datetime, valid_age, valid_time, valid_zone
from medsynth.identity.pseudonym import Pseudonymiser

DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))


def written(day: date) -> str:
    return f"{day:%Y%m%d}"


def read(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


@given(DATES, DATES, st.integers(366, 4015))
def test_intervals_stay(first: date, second: date, days: int) -> None:
    moved = [read(shifted_date(written(day), days)) for day in (first, second)]
    assert moved[1] - moved[0] == second - first
    assert moved[0] == first - timedelta(days)


@given(st.text(max_size=12), st.integers(366, 4015))
def test_any_text_becomes_a_date_or_nothing(text: str, days: int) -> None:
    moved = shifted_date(text, days)
    assert moved == "" or read(moved)
    assert shifted_datetime(text, days) == "" or read(shifted_datetime(text, days)[:8])


def test_impossible_and_partial_dates_go() -> None:
    for text in (
        "20230229",
        "20231301",
        "20230100",
        "00000000",
        "00010101",
        "2023",
        "202301",
        "2023-01-01",
        "x0230101",
    ):
        assert shifted_date(text, 366) == ""
    assert shifted_date("2023.03.01", 1) == "20230228"
    for text in ("20230101250000", "20230101Smith", "2023010112:30", "20230101120000+2500", "20230101120000.1234567"):
        assert shifted_datetime(text, 366) == ""
    assert shifted_datetime("20230101", 365) == "20220101"
    assert shifted_datetime("2023010112", 365) == "2022010112"


def test_times_and_zones_and_ages() -> None:
    assert [valid_time(text) for text in ("12", "1230", "123059.5 ", "12:30:59")] == [
        "12",
        "1230",
        "123059.5",
        "12:30:59",
    ]
    assert [valid_time(text) for text in ("", "24", "1", "12305", "123059.1234567", "noon")] == [""] * 6
    assert [valid_zone(text) for text in ("+0100", "-1130", "+1500", "0100", "+01:0")] == ["+0100", "-1130", "", "", ""]
    assert [valid_age(text) for text in ("089Y", "090Y", "999W", "999M", "120Y")] == [
        "089Y",
        "090Y",
        "999W",
        "999M",
        "090Y",
    ]


def test_the_number_of_days_is_the_keys_and_the_patients() -> None:
    names, other = Pseudonymiser(bytes(32)), Pseudonymiser(b"x" * 32)
    days = [days_back(names, str(patient)) for patient in range(500)]
    assert all(366 <= number <= 4015 for number in days)
    assert len(set(days)) > 400
    assert days != [days_back(other, str(patient)) for patient in range(500)]
    assert days == [days_back(Pseudonymiser(bytes(32)), str(patient)) for patient in range(500)]
