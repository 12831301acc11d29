"""The report as one HTML file that needs nothing else: no network, no script, no font."""

from typing import Any

import jinja2

from medsynth.evidence.reporting import plain
from medsynth.evidence.reporting.figures import channel_figures
from medsynth.evidence.reporting.limits import limits
from medsynth.evidence.reporting.pictures import Quiz, Shown
from medsynth.evidence.reporting.sources import Evidence, sampler_of
from medsynth.evidence.reporting.tables import audit_tables, utility_tables
from medsynth.evidence.reporting.verdicts import answers, flagged_of, name_of
from medsynth.evidence.reporting.words import asks, glossary, visible

MARKS = {"met": "✓", "pass": "✓", "missed": "✗", "fail": "✗"}
TONES = {"met": "good", "pass": "good", "missed": "bad", "fail": "bad"}


def report_page(evidence: Evidence, quiz: Quiz, pairs: list[Shown], nearest: list[Shown], drawn: list[Shown]) -> str:
    """The page of a report.

    Args:
        evidence: what was found.
        quiz: real and synthetic tiles.
        pairs: flagged pairs; nearest: pairs that come nearest without being flagged.
        drawn: figures of the usefulness.
    """
    content = evidence.evaluation.content
    values: dict[str, Any] = {
        "content": content,
        "answers": answers(evidence),
        "audit": evidence.audit.content if evidence.audit else None,
        "utility": evidence.utility.content if evidence.utility else None,
        "flagged": flagged_of(evidence.audit.content) if evidence.audit else 0,
        "quiz": quiz,
        "pairs": pairs,
        "nearest": nearest,
        "audit_tables": audit_tables(evidence.audit.content) if evidence.audit else [],
        "utility_tables": utility_tables(evidence.utility.content) if evidence.utility else [],
        "drawn": drawn,
        "figures": [[list(channel_figures(channel)) for channel in group["channels"]] for group in content["groups"]],
        "limits": limits(evidence),
        "bonds": evidence.bonds,
        "sampler": sampler_of(evidence),
        "marks": MARKS,
        "tones": TONES,
    }
    template = html_environment().get_template("report.html.jinja")
    terms = glossary(visible(template.render(**values, glossary=[])))
    return template.render(**values, glossary=terms)


def html_environment() -> jinja2.Environment:
    """Templates in which everything that comes from files is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medsynth.evidence.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": plain.number, "bar": plain.bar, "interval": plain.interval_of}
    environment.filters |= {"floor": plain.floor_of, "asks": asks, "line_name": name_of}
    environment.filters["rows"] = lambda found: list(plain.rows(found))
    return environment
