"""Tables of what the audit and the measurement of usefulness found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from medsynth.evidence.reporting.plain import number, span


class Table(NamedTuple):
    """A title, a note below it (or ""), the columns, and rows of as many texts; the first names the row."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def audit_tables(audit: Mapping[str, Any]) -> list[Table]:
    """Copies, planted copies, searches, membership: those of them that the audit holds."""
    copies, member = _part(audit, "copies"), _part(audit, "membership")
    made = [_copies(audit, copies), _planted(copies), _searches(copies), _membership(member)]
    return [table for table in made if table.rows]


def utility_tables(utility: Mapping[str, Any]) -> list[Table]:
    """Of every row its arms, its differences and its controls."""
    score = str(_part(utility, "task").get("score") or "score")
    found = []
    for row in _mappings(utility.get("rows")):
        name = str(row.get("name", "")) or f"{row.get('patients')} patients"
        sizes = [
            f"{number(row[key])} {said}"
            for key, said in (("draws", "draws"), ("seeds", "trainings each"), ("test_patients", "test patients"))
            if key in row
        ]
        reason = f" {row['reason']}." if row.get("reason") else ""
        note = f"{row.get('verdict', '')}.{reason} {', '.join(sizes)}.".strip()
        arms = [
            (
                f"{arm['name']}{' (control)' if arm.get('control') else ''}",
                str(arm.get("what", "")),
                *_valued(arm["score"]),
            )
            for arm in _mappings(row.get("arms"))
        ]
        found.append(Table(f"{name}: {score} by what the network learnt from", note, _ARM_COLUMNS, arms))
        for part, title in (("differences", "what it gains"), ("controls", "controls")):
            lines = [
                (
                    f"{line['first']} less {line['second']}",
                    *_valued(line["interval"]),
                    str(line.get("must") or "–"),
                    number(line.get("holds")) if line.get("must") else "–",
                )
                for line in _mappings(row.get(part))
            ]
            found.append(Table(f"{name}: {title} ({score})", "", _DIFFERENCE_COLUMNS, lines))
    return [table for table in found if table.rows]


def headlines(utility: Mapping[str, Any]) -> list[str]:
    """Of every row the gain over ordinary augmentation with its interval, as text."""
    score = str(_part(utility, "task").get("score") or "score")
    found = []
    for row in _mappings(utility.get("rows")):
        first = next(iter(_mappings(row.get("differences"))), None)
        if first is not None:
            value, interval = _valued(first["interval"])
            found.append(f"{row.get('name', row.get('patients'))}: {value} in {score} ({interval})")
    return found


_ARM_COLUMNS = ("Learnt from", "What that is", "Score", "95% interval")
_DIFFERENCE_COLUMNS = ("Difference", "Value", "95% interval", "It must", "It does")


def _copies(audit: Mapping[str, Any], copies: Mapping[str, Any]) -> Table:
    inputs, tail = _part(audit, "inputs"), _part(copies, "tail_count")
    stand_ins = _part(_part(copies, "controls"), "held_out_stand_ins")
    real = _part(inputs, "real")
    rows = [
        ("Samples flagged as copies", _of(copies.get("flagged"), inputs.get("samples"))),
        (
            "Others nearer to training patients than nearly all real patients are",
            _of(tail.get("above"), tail.get("of")),
        ),
        ("p-value of that count", number(tail.get("p"))),
        ("Smallest share of copies that would have been seen", _share(copies.get("smallest_rate"))),
        (
            "Draws of real held-out patients, in the samples' place, that raised an alarm",
            f"{_share(stand_ins.get('alarms'))} of {number(stand_ins.get('draws'))}" if stand_ins else "–",
        ),
        ("Training patients searched", number(real.get("training_patients"))),
        ("Held-out patients that show what chance does", number(real.get("held_out_patients"))),
    ]
    return Table("Copies", "", ("What", "Found"), [row for row in rows if row[1] != "–"])


def _planted(copies: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(one.get("what") or one.get("kind")),
            _of(one.get("found"), one.get("of")),
            _shares(one.get("interval")),
            "yes" if one.get("required") else "no",
        )
        for one in _mappings(_part(copies, "controls").get("planted"))
    ]
    note = "Training scans changed a little and put among the samples: the search has to find them."
    columns = ("Copies planted on purpose", "Found", "95% interval", "Must be found")
    return Table("Does the search find copies?", note, columns, rows)


def _searches(copies: Mapping[str, Any]) -> Table:
    rows = [
        (str(name), number(one.get("threshold")), _middle(one.get("real_gap")), _middle(one.get("sample_gap")))
        for name, one in _part(copies, "families").items()
        if isinstance(one, Mapping)
    ]
    note = "How much nearer to a training patient than to a held-out one: the middle, and the middle nine tenths."
    columns = ("Search", "Threshold", "Real held-out patients", "Samples")
    return Table("How near samples come to training patients", note, columns, rows)


def _membership(member: Mapping[str, Any]) -> Table:
    area, controls = _part(member, "area"), _part(member, "controls")
    control, strangers = _part(controls, "remembering"), _part(controls, "strangers")
    rows = [("Not assessed", str(member["reason"]))] if member.get("reason") else []
    if area:
        value, interval = _valued(area)
        rows.append(("AUC of training against held-out patients; 0.5 is guessing", f"{value} ({interval})"))
    for rate in _mappings(member.get("rates")):
        said = f"Training patients found at {_share(rate.get('at'))} false alarms"
        rows.append((said, f"{_share(rate.get('value'))} ({_shares([rate.get('low'), rate.get('high')])})"))
    if control:
        rows.append(("AUC of a model that remembers, which must be near 1", _valued(control)[0]))
    if strangers:
        said = "AUC of a model that knows none of them, which must be 0.5 give or take chance"
        rows.append((said, f"{_valued(strangers)[0]} ({_valued(strangers)[1]})"))
    if member.get("smallest_area") is not None:
        rows.append(("Smallest AUC that would have been seen", number(member["smallest_area"])))
    rows += [("Verdict", str(member["verdict"]))] if member.get("verdict") and rows else []
    note = "Is the model's error smaller on patients whom it learnt from?"
    return Table("Does the model tell who was trained on?", note, ("What", "Found"), rows)


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def _mappings(entries: Any) -> Iterator[Mapping[str, Any]]:
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else ():
        if isinstance(entry, Mapping):
            yield entry


def _valued(interval: Mapping[str, Any]) -> tuple[str, str]:
    return number(interval.get("value")), span([interval.get("low"), interval.get("high")])


def _middle(quantiles: Any) -> str:
    low, middle, high = quantiles if isinstance(quantiles, list) and len(quantiles) == 3 else (None, None, None)
    return f"{number(middle)} ({span([low, high])})"


def _of(found: Any, total: Any) -> str:
    return number(found) if total is None else f"{number(found)} of {number(total)}"


def _share(value: Any) -> str:
    return "–" if value is None else f"{100 * float(value):.3g}%"


def _shares(pair: Any) -> str:
    return f"{_share(pair[0])} to {_share(pair[1])}" if isinstance(pair, list | tuple) and len(pair) == 2 else "–"
