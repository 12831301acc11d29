"""All sets are made at one precision; the controls do what they must on noise."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import equivalence


def test_chain_and_samplers_are_made_at_the_precision_that_was_asked(monkeypatch):
    rng, plans = np.random.default_rng(0), {}
    cases = [
        SimpleNamespace(images={"image": rng.normal(size=(32, 32))}, record=SimpleNamespace(patient=str(number)))
        for number in range(40)
    ]
    model = SimpleNamespace(layout=SimpleNamespace(images=[SimpleNamespace(name="image")]))

    def made(model, name, plan, seed, chosen):
        plans[name] = (plan.precision, seed)
        return rng.normal(size=(40, 32, 32)).astype(np.float32)

    monkeypatch.setattr(equivalence, "made", made)
    monkeypatch.setattr(equivalence.Preparation, "read", lambda run: None)
    monkeypatch.setattr(equivalence, "load_prepared", lambda *given: cases)
    rows = equivalence.measure(model, argparse.Namespace(run=None, cases=None, seed=3, precision="bf16"))
    assert plans == {"the chain": ("bf16", 3), **dict.fromkeys(equivalence.TRIED, ("bf16", 4))}
    controls = ["control: the chain, blurred", "control: half against half"]
    assert [row.name for row in rows] == ["the chain, 1000", *equivalence.TRIED, *controls]
    assert rows[-2].to_chain.low > 0


def test_another_precision_is_refused_before_anything_is_read(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["equivalence", "RUN", "CASES", "--out", "out", "--precision", "fp16"])
    with pytest.raises(SystemExit):
        equivalence.main()
    assert "fp16" in capsys.readouterr().err
