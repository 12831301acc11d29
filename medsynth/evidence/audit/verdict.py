"""From what was measured to pass, fail or cannot-assess, with every reason in words. What is unknown is not a pass."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medsynth.audit_record import SampleVerdict, Verdict, worst
from medsynth.evidence.audit.plan import CopyBars, MembershipPlan
from medsynth.evidence.audit.search import Found, is_whole
from medsynth.metrics.planted import describe
from medsynth.records import SampleRecord

STRANGERS = 0.01
"""Of the control that knows nobody: by chance it takes the verdict from one audit in a hundred."""


def p_said(p: float) -> str:
    """A p-value in words; what a float cannot hold is no zero."""
    return f"p = {p:.2g}" if p > 1e-15 else "p < 1e-15"


class Judged(NamedTuple):
    """A verdict, and why it is not a pass."""

    verdict: Verdict
    reasons: tuple[str, ...]


def flagged_reason(flagged: int, of: int) -> str:
    """Why a set with flagged samples fails; the others of it may pass all the same."""
    return f"{flagged} of {of} samples are nearer to a training patient than chance"


def judge_copies(found: Found, planted: Mapping[str, tuple[int, int]], alarms: float, bars: CopyBars) -> Judged:
    """Of the set: are there copies, and would the search have seen them?

    Args:
        found: of the search.
        planted: of every kind of planted copies how many were found, and of how many.
        alarms: share of the draws in which real held-out patients raised an alarm.
        bars: of conf/audit.yaml.
    """
    unknown, failed = [], []
    if alarms > bars.false_alarms:
        unknown.append(
            f"real held-out patients in the samples' place raise an alarm in {alarms:.0%} of the draws, more than "
            f"{bars.false_alarms:.0%}: chance is not understood here"
        )
    for kind, (hits, of) in planted.items():
        if is_whole(kind) and hits < bars.least_found * of:
            unknown.append(f"of {of} planted copies ({describe(kind)}) {hits} are found; copies may go unseen")
    if found.flagged.any():
        failed.append(flagged_reason(int(found.flagged.sum()), len(found.p)))
    if found.tail.p < bars.false_alarms / 2:
        failed.append(
            f"{found.tail.above} of {found.tail.of} {'other ' if found.flagged.any() else ''}samples are nearer to "
            f"training than {found.tail.share:.0%} of real patients are ({p_said(found.tail.p)})"
        )
    if failed and alarms <= bars.false_alarms:
        return Judged("fail", (*failed, *unknown))
    return Judged("cannot-assess" if unknown else "pass", (*unknown, *failed))


def judge_membership(result: Mapping[str, Any], plan: MembershipPlan) -> Judged:
    """Of the run: does it tell who was trained on, and would the attack have told it of a model that remembers?"""
    area, controls = result["area"], result["controls"]
    strangers = controls["strangers"]
    unknown = []
    if strangers["p"] < STRANGERS:
        unknown.append(
            f"the attack tells training from held-out patients by a denoiser that knows neither (AUC "
            f"{strangers['value']:.2f}, {p_said(strangers['p'])}): they differ in kind; divide them at random"
        )
    if area["low"] > plan.most_area:
        failed = (
            f"the model takes noise off its training patients' scans better than off others': AUC "
            f"{area['value']:.2f} ({area['low']:.2f} to {area['high']:.2f})"
        )
        return Judged("fail", (failed, *unknown))
    if controls["remembering"]["low"] <= plan.most_area:
        unknown.append("the attack does not see a denoiser that remembers everybody")
    if area["high"] > plan.most_area:
        unknown.append(
            f"membership: AUC {area['value']:.2f}, and its interval reaches {area['high']:.3f}, above "
            f"{plan.most_area:g}; more held-out patients would tell"
        )
    return Judged("cannot-assess" if unknown else "pass", tuple(unknown))


def judge_samples(
    records: Sequence[SampleRecord], found: Found | None, untold: Sequence[bool], set_verdict: Judged
) -> dict[str, SampleVerdict]:
    """Every sample by itself.

    A sample of a set that cannot be assessed cannot be either. A set that fails for its count, or its model, leaves
    samples that are no copies "cannot-assess": which ones the count is about is not known.

    Args:
        records: of all samples.
        found: of the search; None where it could not be made.
        untold: samples whose own patients are not known one by one.
        set_verdict: of the set.
    """
    verdicts = {}
    known = "" if found is None else flagged_reason(int(found.flagged.sum()), len(found.p))
    beyond = [reason for reason in set_verdict.reasons if reason != known]
    for row, record in enumerate(records):
        verdict: Verdict = "pass"
        reason = ""
        if found is not None and found.flagged[row]:
            verdict, reason = "fail", "nearer to a training patient than chance makes it"
        elif untold[row]:
            verdict, reason = "cannot-assess", "made from scans of so many patients that they are not said one by one"
        elif found is None or set_verdict.verdict == "cannot-assess" or beyond:
            verdict, reason = "cannot-assess", beyond[0] if beyond else "no search could be made"
        verdicts[record.id] = SampleVerdict(sha256=record.sha256, verdict=verdict, reason=reason)
    return verdicts


def overall(parts: Sequence[Judged], samples: Mapping[str, SampleVerdict]) -> Judged:
    """Of everything together; what failed is told first."""
    ordered = sorted(parts, key=lambda part: part.verdict != "fail")
    reasons = [reason for part in ordered for reason in part.reasons]
    verdict = worst([*(part.verdict for part in parts), *(sample.verdict for sample in samples.values())])
    untold = sum(sample.verdict == "cannot-assess" for sample in samples.values())
    if untold and not reasons:
        reasons.append(f"{untold} samples are made from scans of so many patients that they are not said one by one")
    return Judged(verdict, tuple(dict.fromkeys(reasons)))
