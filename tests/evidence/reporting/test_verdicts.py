"""What the page says first, and how it writes numbers."""

import json

import pytest

from medsynth.evidence.reporting.plain import number
from medsynth.evidence.reporting.run import report
from medsynth.files import sha256_json, write_json


@pytest.mark.parametrize(("state", "said"), [("fail", "The audit failed: a; b; "), ("cannot-assess", "decide: a; b; ")])
def test_many_reasons_are_told_in_short_above_and_in_full_under_privacy(finished, writers, tmp_path, state, said):
    audit = writers.audit(tmp_path / "audit", finished["samples"], "cannot-assess")
    content = json.loads((audit / "audit.json").read_text())
    content |= {"verdict": state, "reasons": ["a", "b", "the third", "the fourth"]}
    del content["sha256"]
    write_json(audit / "audit.json", {**content, "sha256": sha256_json(content)})
    found = report(finished["evaluation"], tmp_path / "out", audit=audit)
    privacy, page = found.answers[1], found.page.read_text()
    assert f"{said}and 2 more reasons." in privacy.sentence
    assert page.count("<li>the third</li>") == page.count("<li>the fourth</li>") == 1
    assert ("any one scan is a copy" in privacy.not_means) is (state == "fail")
    assert "pairs are shown" not in privacy.means


def test_thousands_are_written_out():
    assert number(1881.2) == number(1881) == "1\u2009881"
    assert (number(999.4), number(0.01234), number(2.5e7)) == ("999", "0.0123", "2.5e+07")
