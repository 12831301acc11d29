"""The model card (Mitchell et al. 2019) and the data sheet (Gebru et al. 2021), in Markdown."""

import re
from typing import Any

import jinja2

from medsynth.evidence.reporting import plain
from medsynth.evidence.reporting.composition import UNKNOWN, compose
from medsynth.evidence.reporting.limits import limits
from medsynth.evidence.reporting.sources import Evidence
from medsynth.evidence.reporting.tables import audit_tables, utility_tables
from medsynth.evidence.reporting.verdicts import answers, lines_of, name_of
from medsynth.evidence.reporting.words import asks, glossary

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~$&]|^(?:[-+#](?=\s)|#+|\d+[.)](?=\s))")
_LINKS = ((re.compile(r":(?=//)"), "&#58;"), (re.compile(r"(?i)(?<=www)\."), "&#46;"), (re.compile("@"), "&#64;"))
"""Where some readers of Markdown make links of plain text."""


def model_card(evidence: Evidence) -> str:
    """Markdown after Mitchell et al. 2019, "Model cards for model reporting", section by section."""
    return _rendered("model_card.md.jinja", evidence)


def data_sheet(evidence: Evidence) -> str:
    """Markdown after Gebru et al. 2021, "Datasheets for datasets", section by section."""
    return _rendered("data_sheet.md.jinja", evidence)


def escaped(value: Any) -> str:
    r"""A value as Markdown that means its own letters, on one line.

    >>> print(escaped("a|b *c*"))
    a\|b \*c\*
    """
    text = " ".join(str(value).split())
    text = _SPECIAL.sub(lambda found: found[0][:-1] + "\\" + found[0][-1], text)
    for pattern, entity in _LINKS:
        text = pattern.sub(entity, text)
    return text


def _rendered(name: str, evidence: Evidence) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medsynth.evidence.reporting", "templates"),
        autoescape=False,  # not HTML: `finalize` escapes for Markdown
        finalize=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": plain.number, "bar": plain.bar, "interval": plain.interval_of}
    environment.filters |= {"floor": plain.floor_of, "line_name": name_of, "asks": asks}
    content = evidence.evaluation.content
    audit = evidence.audit.content if evidence.audit else None
    values: dict[str, Any] = {
        "about": compose(evidence),
        "answers": answers(evidence),
        "lines": list(lines_of(content)),
        "groups": content["groups"],
        "audit": audit,
        "audit_tables": audit_tables(audit) if audit else [],
        "utility_tables": utility_tables(evidence.utility.content) if evidence.utility else [],
        "limits": limits(evidence),
        "bonds": evidence.bonds,
        "unknown": UNKNOWN,
        "run": evidence.run is not None,
        "samples": bool(evidence.records),
    }
    template = environment.get_template(name)
    return template.render(**values, glossary=glossary(template.render(**values, glossary=[])))
