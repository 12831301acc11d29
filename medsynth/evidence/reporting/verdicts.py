"""Three answers in plain words: is it real, is it nobody, is it useful."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from medsynth.evidence.audit.verdict import flagged_reason
from medsynth.evidence.reporting.sources import Evidence, Found, texts
from medsynth.evidence.reporting.tables import headlines

Tone = Literal["good", "bad", "open"]
_TONES: Mapping[str, Tone] = {"met": "good", "pass": "good", "missed": "bad", "fail": "bad"}


class Answer(NamedTuple):
    """One question with its answer.

    `state` is the verdict in a word or two, `sentence` says it in plain words; `means` and `not_means` say what
    follows from it and what does not.
    """

    question: str
    subject: str
    state: str
    tone: Tone
    sentence: str
    means: str
    not_means: str


def answers(evidence: Evidence) -> tuple[Answer, Answer, Answer]:
    """Fidelity, privacy, usefulness, in this order."""
    return fidelity(evidence), privacy(evidence), usefulness(evidence.utility)


def lines_of(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every line of an evaluation, with `group` and `channel`."""
    for group in content["groups"]:
        for channel in group["channels"]:
            for line in channel["lines"]:
                yield {**line, "group": group["name"], "channel": channel["name"]}
    for line in (content.get("segmenter") or {}).get("lines", []):  # of all channels together
        yield {**line, "group": "all", "channel": ""}


def name_of(line: Mapping[str, Any]) -> str:
    """A line's name: check, features that it is on, label that it is about."""
    on = f" on {line['features']}" if line.get("features") else ""
    return f"{line['check']}{on}" + (f", {line['subject']}" if line.get("subject") else "")


def fidelity(evidence: Evidence) -> Answer:
    """Whether the samples look like real scans."""
    content = evidence.evaluation.content
    lines = list(lines_of(content))
    missed = [line for line in lines if line["verdict"] == "missed"]
    open_lines = [line for line in lines if line["verdict"] == "not measurable"]
    unseen = [control for control in _controls(content) if control["verdict"] != "rejected"]
    state = content["verdict"]
    not_means = (
        "It does not mean that a radiologist was asked, that every single scan is right, or that rare findings occur "
        "as often as in patients."
    )
    if state == "missed":
        not_means = "It does not mean that the scans are of no use: a difference can be measured and not matter."
        names = list(dict.fromkeys(line["check"] for line in missed))
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        sentence = f"{len(missed)} of {len(lines)} checks tell the synthetic scans from the real ones: {shown}."
        means = "The worst fault is larger than real scans have by chance. All are listed below, each with its size."
    elif state == "met":
        sentence = f"In none of {len(lines)} checks do synthetic scans differ from real ones more than chance explains."
        if missed:
            sentence = (
                f"{len(missed)} of {len(lines)} checks are missed, none by more than a group of real scans misses one "
                "of so many by chance."
            )
        means = "Real scans pass in the same way, and every bad set of the same number was rejected."
    elif not lines:
        sentence = "Nothing could be measured: " + "; ".join(texts([g["reason"] for g in content["groups"]])) + "."
        means = "Nothing is known of how real the scans look."
    else:
        sentence = (
            f"No difference was found that is larger than chance explains, but {len(open_lines)} of {len(lines)} "
            f"checks could not have told at this size, and {len(unseen)} kinds of bad scans would have passed."
        )
        means = "What could be measured is fine; more samples, or more real patients, are needed for the rest."
    return Answer(
        "Is it real?",
        "fidelity",
        state,
        _TONES.get(state, "open"),
        sentence,
        means,
        not_means,
    )


def privacy(evidence: Evidence) -> Answer:
    """Whether samples are copies of training patients, as the audit found."""
    audit = evidence.audit
    derived = int(evidence.evaluation.content["inputs"].get("derived") or 0)
    after = f" {derived} scans were made from real ones and remain those patients'." if derived else ""
    not_means = (
        "It does not mean anonymous in the sense of the law, and copies rarer than the smallest rate given below "
        "would not have been seen."
    )
    if audit is None:
        return Answer(
            "Is it nobody?",
            "privacy",
            "not audited",
            "open",
            f"Whether a synthetic scan is a copy of a patient's was not looked at.{after}",
            "Treat the samples as you would treat the real scans until an audit has been made.",
            "It does not mean that there are copies.",
        )
    content = audit.content
    state = content["verdict"]
    flagged = flagged_of(content)
    reasons = [reason.rstrip(".") for reason in texts(content.get("reasons") or content.get("reason"))]
    why = f": {_told(reasons)}" if reasons else ""
    if state == "pass":
        sentence = "The audit found no synthetic scan that is nearer to a training patient than chance explains."
        means = "By the thresholds below, and with the planted copies below found, none is taken for a copy."
    elif state == "fail" and flagged:
        scans = "1 synthetic scan is" if flagged == 1 else f"{flagged} synthetic scans are"
        others = [reason for reason in reasons if reason != flagged_reason(flagged, len(content["samples"]))]
        more = f" Besides: {_told(others)}." if others else ""
        sentence = f"The audit failed: {scans} too near to a training patient.{more}"
        not_means = "It does not mean that every sample is a copy, nor that the others are none."
        means = "Do not hand these samples out. The pairs are shown below."
    elif state == "fail":
        sentence = f"The audit failed{why}."
        means = "Do not hand these samples out: no one scan is taken for a copy, but the set or model tells too much."
        not_means = "It does not mean that any one scan is a copy, nor that none is."
    else:
        sentence, means = f"The audit could not decide{why}.", "What is unknown is no pass: treat the samples as real."
        not_means = "It does not mean that there are copies, nor that there are none."
    return Answer("Is it nobody?", "privacy", state, _TONES.get(state, "open"), f"{sentence}{after}", means, not_means)


def usefulness(utility: Found | None) -> Answer:
    """Whether training with the samples helps a network on real patients."""
    if utility is None:
        return Answer(
            "Is it useful?",
            "usefulness",
            "not measured",
            "open",
            "Whether training with these samples helps another network was not measured.",
            "Nothing is known of their use.",
            "It does not mean that they are of no use.",
        )
    state = utility.content["verdict"]
    gains = headlines(utility.content)
    reasons = [str(row["reason"]) for row in utility.content.get("rows") or [] if row.get("reason")]
    why = f": {'; '.join(dict.fromkeys(reasons))}" if reasons else ""
    gained = f" Gain: {'; '.join(gains)}." if gains else ""
    sentence, means = {
        "met": (
            "A network trained with synthetic scans added did better on unseen real patients than one with ordinary "
            "augmentation.",
            "The gain is larger than draws of patients, trainings and test patients explain.",
        ),
        "missed": (
            f"Adding synthetic scans did not help a network more than ordinary augmentation does{why}.",
            "For this task and these numbers, ordinary augmentation is enough.",
        ),
    }.get(
        state, (f"Whether adding synthetic scans helps could not be told{why}.", "More draws or patients are needed.")
    )
    return Answer(
        "Is it useful?",
        "usefulness",
        state,
        _TONES.get(state, "open"),
        sentence + gained,
        means,
        "It does not speak of other tasks, other networks or other hospitals.",
    )


def flagged_of(audit: Mapping[str, Any]) -> int:
    """Number of samples that the audit flagged."""
    entries = audit.get("samples")
    if not isinstance(entries, list):
        return 0
    return sum(isinstance(entry, Mapping) and entry.get("verdict") == "fail" for entry in entries)


def _controls(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in content["groups"]:
        for channel in group["channels"]:
            yield from channel["controls"]


def _told(reasons: Sequence[str], most: int = 2) -> str:
    """The first reasons, and how many there are besides: the page lists all of them under Privacy."""
    more = len(reasons) - most
    return "; ".join(reasons[:most]) + (f"; and {more} more {'reason' if more == 1 else 'reasons'}" if more > 0 else "")
