"""What came of an ingest, for the eye and for the exit status."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """Counts of an ingest.

    Args:
        found: what the source was taken for.
        cases: written to cases.jsonl.
        cleared: of them, how many the identity gate cleared; the others were taken on the user's word.
        notes: cases in which the gate found and removed, blanked or allowed something, by what.
        refused: in refused.jsonl.
        aside: files left aside because the layout does not read them, by their ending.
        passed: DICOM series passed over, by reason.
        resumed: of the cases, how many an earlier call had done.
        patients: different patient keys.
        unlabelled: cases without a label map, where others have one.
        presumed: cases whose patient is a guess.
        repeated: cases whose image is that of another case.
        joined: presumed patients who were joined with another because they share an image.
        reasons: how often each kind of refusal came.
        sources: private list of which file each case id stands for, None where none is kept.
    """

    found: str
    cases: int
    cleared: int
    notes: Mapping[str, int]
    refused: int
    aside: Mapping[str, int]
    passed: Mapping[str, int]
    resumed: int
    patients: int
    unlabelled: int
    presumed: int
    repeated: int
    joined: int
    reasons: Mapping[str, int]
    sources: Path | None

    @property
    def exit_code(self) -> int:
        """0, or 1 when a case was refused."""
        return 1 if self.refused else 0

    def print(self, console: Console | None = None) -> None:
        """Print a table of the counts, the reasons of refusals and where the private list lies."""
        console = console or Console()
        table = Table(show_header=False)
        table.add_row("cases", str(self.cases))
        table.add_row("patients", str(self.patients))
        if self.cleared:
            table.add_row("cleared by the identity gate", str(self.cleared))
        if self.cleared < self.cases:
            table.add_row("not cleared: taken on your word", str(self.cases - self.cleared))
        for what, count in self.notes.items():
            table.add_row(escape(f"  {what}"), str(count))
        if self.unlabelled:
            table.add_row("cases without a label map, which others have", str(self.unlabelled))
        if self.presumed:
            table.add_row("cases whose patient is presumed; patient_pattern= says it", str(self.presumed))
        if self.repeated:
            table.add_row("cases with the image of another case", str(self.repeated))
        if self.joined:
            table.add_row("presumed patients joined, who share an image", str(self.joined))
        if self.aside:
            kinds = ", ".join(f"{count} {ending}" for ending, count in self.aside.items())
            table.add_row(f"files left aside ({kinds})", str(sum(self.aside.values())))
        if self.passed:
            table.add_row("series passed over, see above", str(sum(self.passed.values())))
        if self.resumed:
            table.add_row("done by an earlier call", str(self.resumed))
        table.add_row("refused", str(self.refused))
        for reason, count in self.reasons.items():
            table.add_row(escape(f"  {reason}"), str(count))
        console.print(table)
        if self.sources is not None:
            console.print(
                escape(f"Which file a case id stands for, private, for you alone: {self.sources}"), soft_wrap=True
            )


def count_reasons(reasons: list[str]) -> dict[str, int]:
    """Reasons by how often they came, cut at the colon before their numbers."""
    return dict(Counter(reason.split(": ")[0] for reason in reasons).most_common())
