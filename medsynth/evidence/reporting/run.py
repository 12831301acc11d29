"""Write the report of a set of samples: report.html, model_card.md, data_sheet.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.evidence.reporting.cards import data_sheet, model_card
from medsynth.evidence.reporting.page import report_page
from medsynth.evidence.reporting.pictures import Reals, make_quiz, pairs, utility_figures, why_hidden
from medsynth.evidence.reporting.sources import Evidence, Found, read_evidence
from medsynth.evidence.reporting.verdicts import Answer, answers
from medsynth.files import write_text
from medsynth.records import SampleRecord

REPORT_FILE = "report.html"
MODEL_CARD_FILE = "model_card.md"
DATA_SHEET_FILE = "data_sheet.md"


@dataclass(frozen=True)
class Report:
    """What was written, and the three answers that it leads with."""

    answers: tuple[Answer, ...]
    page: Path
    model_card: Path
    data_sheet: Path

    @property
    def summary(self) -> str:
        """The answers as text, and where the page is."""
        lines = [f"{answer.subject}: {answer.state}. {answer.sentence}" for answer in self.answers]
        return "\n".join([*lines, f"see {self.page}"])


def report(
    evaluation: Path,
    out: Path,
    *,
    audit: Path | None = None,
    utility: Path | None = None,
    samples: Path | None = None,
    run: Path | None = None,
    seed: int = 0,
    reals: Reals = "auto",
) -> Report:
    """Make the page and the two cards from finished folders. The same folders and seed give the same bytes.

    Args:
        evaluation: EVALUATION, as evaluate left it.
        out: folder for the three files.
        audit: AUDIT of the same samples; utility: UTILITY; samples: SAMPLES; run: RUN. None: the page says what is
            therefore not known.
        seed: of the order of the pictures; 0 or more.
        reals: "auto" shows pictures of real scans where the identity gate cleared all cases and no face was let
            through, "show" on your word, "hide" never.

    Raises:
        MedsynthError: a folder that is not whole or of another version; folders that do not belong together.
    """
    if seed < 0:
        raise MedsynthError("seed is 0 or more")
    evidence = read_evidence(evaluation, audit, utility, samples, run)
    hidden = why_hidden(evidence, reals)
    try:
        quiz = make_quiz(evidence.evaluation, hidden, seed)
        flagged, nearest = (pairs(evidence.audit, hidden, flagged) for flagged in (True, False))
        page = report_page(evidence, quiz, flagged, nearest, utility_figures(evidence.utility))
        texts = {REPORT_FILE: page, MODEL_CARD_FILE: model_card(evidence), DATA_SHEET_FILE: data_sheet(evidence)}
        found = answers(evidence)
    except (LookupError, TypeError, ValueError, AttributeError, jinja2.UndefinedError) as error:
        raise MedsynthError(
            f"a result is not whole or was altered ({type(error).__name__}); make evaluation, audit and utility anew"
        ) from error
    for name, text in texts.items():
        write_text(out / name, text)
    return Report(found, out / REPORT_FILE, out / MODEL_CARD_FILE, out / DATA_SHEET_FILE)


def evaluation_page(
    content: Mapping[str, Any], folder: Path, records: Sequence[SampleRecord], preparation: Preparation, *, seed: int
) -> str:
    """The page of an evaluation by itself: a report without audit and usefulness that shows real scans.

    Args:
        content: of evaluation.json.
        folder: where the pictures lie that it names.
        records: of the samples; preparation: theirs.
        seed: of the order of the pictures; 0 or more.
    """
    evidence = Evidence(Found(folder, content), None, None, records, preparation, None, ())
    return report_page(evidence, make_quiz(evidence.evaluation, why_hidden(evidence, "show"), seed), [], [], [])
