"""Which DICOM series become cases, and a table of what was found and chosen."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from medsynth.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SeriesRule:
    """Which DICOM series become cases; the rest is passed over and counted.

    Args:
        modality: DICOM codes, CT for instance; none: every one that is read.
        description: regular expression that is found in Series Description or Protocol Name, whatever the case of
            its letters; None for any.
        slices: the fewest slices of a volume; pictures (CR, DX, MG, US) have none and are not counted.
    """

    modality: Sequence[str] = ()
    description: str | None = None
    slices: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.modality, str) or not all(re.fullmatch(r"[A-Z]{2,16}", str(m)) for m in self.modality):
            raise UsageError("series.modality is a list of DICOM codes in capitals, such as [CT, MR]")
        if self.slices < 1:
            raise UsageError("series.slices is 1 or more")
        try:
            re.compile(self.description or "")
        except re.error:
            raise UsageError("series.description is no regular expression") from None

    def against(self, modality: str | None, descriptions: Iterable[str], slices: int | None) -> str:
        """Why a series or volume is passed over; "" where it is taken.

        Args:
            modality: its code, None where it is not known, which reading it will say.
            descriptions: what it is called.
            slices: of the volume, None for a picture.
        """
        if self.modality and modality not in self.modality:
            return "another modality"
        if self.description and not any(re.search(self.description, text, re.IGNORECASE) for text in descriptions):
            return "description does not fit"
        if slices is not None and slices < self.slices:
            return f"fewer than {self.slices} slices"
        return ""


class Seen(NamedTuple):
    """A volume or picture that was found: what it is, its slices (None for a picture), why it is passed over ("")."""

    kind: str
    slices: int | None
    passed: str


def table_of(seen: Sequence[Seen]) -> Table:
    """A line for each kind and fate: how many, of how many slices, taken or why not."""
    table = Table("kind", "found", "slices", "chosen")
    groups: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        groups.setdefault((one.kind, one.passed), []).append(one)
    for (kind, passed), ones in sorted(groups.items()):
        counts = [one.slices for one in ones if one.slices is not None]
        span = " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else ""
        table.add_row(escape(kind), str(len(ones)), span, escape(f"no: {passed}") if passed else "yes")
    return table


def passed_over(seen: Iterable[Seen]) -> Mapping[str, int]:
    """How many were passed over, by reason."""
    return dict(Counter(one.passed for one in seen if one.passed).most_common())
