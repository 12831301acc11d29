"""Numbers and nested results as plain rows, whatever part of a result they come from."""

from collections.abc import Iterator, Mapping
from typing import Any

_ELSEWHERE = frozenset({"schema", "verdict", "reason", "reasons", "inputs", "notes"})
_NAMES_SOMEBODY = ("patient", "case", "path", "file", "folder", "parent")
_SPOKEN = {"auc": "AUC", "tpr": "TPR", "fpr": "FPR", "sha256": "SHA-256", "p": "p-value", "sd": "SD", "ml": "in ml"}
"""Words in the names of fields that are written in another way."""
_MOST = 12
"""Entries of a list that are shown."""


def number(value: Any) -> str:
    """Three significant digits; a dash where there is none; a text as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and 1000 <= abs(value) < 1e6:
        value = round(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009")  # a thin space: 4 800
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def span(pair: Any) -> str:
    """An interval as text, a dash where there is none."""
    if not isinstance(pair, list | tuple) or len(pair) != 2 or any(end is None for end in pair):
        return "–"
    return f"{number(pair[0])} to {number(pair[1])}"


def bar(line: Mapping[str, Any]) -> str:
    """The bar of a line in words."""
    low, high = line.get("low"), line.get("high")
    if low is None and high is None:
        return "–"
    if low is None:
        return f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def interval_of(line: Mapping[str, Any]) -> str:
    """The 95% interval of a line."""
    return span(line.get("interval") or (line.get("detail") or {}).get("interval"))


def floor_of(line: Mapping[str, Any]) -> str:
    """What real scans against real scans get: the middle and the middle nine tenths."""
    found = line.get("real_against_real") or (line.get("detail") or {}).get("real_against_real")
    if not isinstance(found, Mapping):
        return "–"
    return f"{number(found.get('50%'))} ({span([found.get('5%'), found.get('95%')])})"


def rows(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of everything in a nested result that is a number or a short list of them.

    What is shown elsewhere is left out, and so is every text that could name a case, a patient or a path.
    """
    for key, value in content.items():
        name = above + " ".join(_SPOKEN.get(word, word) for word in str(key).split("_"))
        if not above and key in _ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            yield from rows(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            if any(isinstance(entry, Mapping | list | tuple) for entry in value):
                yield from _listed(value, name)
            elif len(value) == 2 and ("interval" in str(key) or "range" in str(key)):
                yield name, span(value)
            elif not _may_name(key, value):
                more = f" and {len(value) - _MOST} more" if len(value) > _MOST else ""
                yield name, ", ".join(number(entry) for entry in value[:_MOST]) + more or "none"
        elif not _may_name(key, [value]):
            yield name, number(value)


def _listed(entries: Any, name: str) -> Iterator[tuple[str, str]]:
    """Entries with a name become rows of that name; others are counted."""
    told = [entry for entry in entries if isinstance(entry, Mapping) and (entry.get("name") or entry.get("check"))]
    if not told:
        yield f"{name} (number)", str(len(entries))
    for entry in told[:_MOST]:
        called = str(entry.get("name") or entry.get("check"))
        yield from rows({key: v for key, v in entry.items() if key not in ("name", "check")}, f"{name}: {called}: ")


def _may_name(key: Any, values: Any) -> bool:
    """Whether texts stand under a key that speaks of a case, a patient or a place; hashes of it too are left out."""
    return any(word in str(key).casefold() for word in _NAMES_SOMEBODY) and any(isinstance(v, str) for v in values)
