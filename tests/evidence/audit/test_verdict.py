from typing import Any

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.evidence.audit.plan import AuditPlan, CopyBars, MembershipPlan
from medsynth.evidence.audit.search import Found
from medsynth.evidence.audit.verdict import Judged, judge_copies, judge_membership, overall
from medsynth.metrics.copies import TailCount

BARS = CopyBars()
ALL = {"shift": (20, 20), "part": (0, 20)}


def found(flagged: int = 0, p: float = 0.5) -> Found:
    none = np.zeros(0)
    tail = TailCount(above=3, of=20, share=0.05, p=p, least=4)
    return Found({}, np.ones(20), np.arange(20) < flagged, tail, none, none, np.zeros(0, dtype=bool))


def member(value: float, width: float = 0.05, **controls: Any) -> dict[str, Any]:
    known = {"remembering": {"low": 0.99}, "strangers": {"value": 0.55, "p": 0.3}, **controls}
    return {"area": {"value": value, "low": value - width, "high": value + width}, "controls": known}


@pytest.mark.parametrize(
    ("result", "planted", "alarms", "verdict", "said"),
    [
        (found(), ALL, 0.05, "pass", ""),
        (found(flagged=2), ALL, 0.0, "fail", "2 of 20 samples"),
        (found(p=0.001), ALL, 0.0, "fail", "p = 0.001"),
        (found(), {"shift": (17, 20)}, 0.0, "cannot-assess", "17 are found"),
        (found(flagged=1), {"shift": (17, 20)}, 0.0, "fail", "1 of 20"),
        (found(), ALL, 0.075, "cannot-assess", "chance is not understood"),
        (found(flagged=1), ALL, 0.075, "cannot-assess", "chance is not understood"),
    ],
)
def test_copies(result, planted, alarms, verdict, said) -> None:
    judged = judge_copies(result, planted, alarms, BARS)
    assert judged.verdict == verdict
    assert said in " ".join(judged.reasons)
    assert bool(judged.reasons) == (verdict != "pass")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (member(0.55), "pass"),
        (member(0.85), "fail"),
        (member(0.68), "cannot-assess"),
        (member(0.55, remembering={"low": 0.6}), "cannot-assess"),
        (member(0.55, strangers={"value": 0.4, "p": 0.009}), "cannot-assess"),
        (member(0.85, strangers={"value": 0.8, "p": 0.001}), "fail"),
    ],
)
def test_membership(result, verdict) -> None:
    assert judge_membership(result, MembershipPlan()).verdict == verdict


def test_a_failure_outweighs_what_is_unknown_and_nothing_is_no_pass() -> None:
    parts = [Judged("cannot-assess", ("a",)), Judged("fail", ("b",)), Judged("pass", ())]
    assert overall(parts, {}) == Judged("fail", ("b", "a"))
    assert overall([], {}).verdict == "cannot-assess"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CopyBars(least_held_out=5),
        lambda: CopyBars(false_alarms=0),
        lambda: CopyBars(planted=1),
        lambda: MembershipPlan(levels=()),
        lambda: MembershipPlan(most_area=0.4),
    ],
)
def test_plans_are_valid_once_made(wrong) -> None:
    with pytest.raises(MedsynthError):
        wrong()
    assert AuditPlan().to_json()["copies"]["false_alarms"] == 0.05
