"""GAN against diffusion: spreads and differences that are known, and tables that would mislead."""

import csv
import json

import numpy as np
import pytest

from benchmarks.gan_against_diffusion import compare, difference, read_plan, spread
from medsynth.errors import MedsynthError


def evaluation(value, verdict="met", samples=64, cases="c"):
    line = {"check": "MMD", "features": "haar", "subject": "", "value": value, "low": None, "high": 0.1}
    line["verdict"] = verdict
    channels = [{"name": "image", "lines": [line], "controls": [{"rejected_by": []}, {"rejected_by": ["MMD"]}]}]
    return {"inputs": {"cases_sha256": cases, "samples": samples}, "groups": [{"name": "all", "channels": channels}]}


def row(kind, content):
    return {"kind": kind, "seed": 0, "content": content}


def plan(folder, rows):
    for number, row in enumerate(rows):
        (folder / f"{number}.json").write_text(json.dumps(row.pop("content")))
        row["evaluation"] = f"{number}.json"
    with (folder / "plan.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "plan.csv"


def test_the_interval_of_a_standard_deviation_covers_it_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3, 2, (2000, 3))
    held = [spread(draw).low < 2 < spread(draw).high for draw in draws]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert spread([1.0, 2.0]).std is None


def test_welchs_interval_covers_the_difference_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [difference(rng.normal(1, 1, 4), rng.normal(0, 1, 4)) for _ in range(1000)]
    assert np.mean([low < 1 < high for low, high in intervals]) == pytest.approx(0.95, abs=0.03)
    assert difference([1.0, 2.0], [1.0, 2.0, 3.0]) is None
    assert difference([1.0] * 3, [0.5] * 3) == (0.5, 0.5)


def test_a_table(tmp_path):
    rows = [
        {"kind": kind, "seed": seed, "content": evaluation(base + seed / 100), "training_minutes": 60}
        for kind, base in (("gan", 0.3), ("diffusion", 0.05))
        for seed in range(3)
    ]
    line, unrejected, minutes = compare(read_plan(plan(tmp_path, rows)))
    assert line["name"] == "all image MMD on haar"
    assert line["kinds"]["gan"]["spread"]["mean"] == pytest.approx(0.31)
    assert line["kinds"]["gan"]["spread"]["std"] == pytest.approx(0.01)
    assert line["kinds"]["diffusion"]["met"] == 3
    assert line["difference"][0] > 0.2
    assert unrejected["kinds"]["gan"]["spread"]["mean"] == 1
    assert minutes["kinds"]["gan"]["spread"]["mean"] == 60


def test_lines_of_two_kinds_of_features_and_of_a_segmenter_stay_apart(tmp_path):
    rows = []
    for seed in range(3):
        content = evaluation(0.1)
        (channel,) = content["groups"][0]["channels"]
        channel["lines"].append({**channel["lines"][0], "features": "radiomics", "value": 0.9})
        dice = {"check": "Dice", "features": "", "subject": "label 1", "value": 0.7, "low": 0.9, "high": None}
        content["segmenter"] = {"lines": [{**dice, "verdict": "missed"}]}
        rows.append({"kind": "gan", "seed": seed, "content": content})
    path = plan(tmp_path, rows)
    found = {each["name"]: each["kinds"]["gan"]["spread"]["mean"] for each in compare(read_plan(path))}
    assert found.pop("bad cases that no check rejects") == 1
    assert found == pytest.approx(
        {"all image MMD on haar": 0.1, "all image MMD on radiomics": 0.9, "Dice label 1": 0.7}
    )
    channel["lines"].append(channel["lines"][0])
    (tmp_path / "0.json").write_text(json.dumps(content))
    with pytest.raises(MedsynthError, match="two lines of one name"):
        read_plan(path)


@pytest.mark.parametrize("text", ["n/a", "nan"])
def test_a_cell_that_is_no_number_is_told(tmp_path, text):
    row = {"kind": "gan", "seed": 0, "content": evaluation(0.1), "usefulness": text}
    with pytest.raises(MedsynthError, match="usefulness of the plan is no number"):
        read_plan(plan(tmp_path, [row]))


def test_what_no_control_fails_stays_not_measurable(tmp_path):
    rows = [{"kind": "gan", "seed": seed, "content": evaluation(0.1, "not measurable")} for seed in range(3)]
    line, _ = compare(read_plan(plan(tmp_path, rows)))
    assert line["kinds"]["gan"]["spread"] is None
    assert line["difference"] is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("a", evaluation(1)), row("b", evaluation(1, samples=9))], "like with like"),
        ([row("a", evaluation(1)), row("b", evaluation(1, cases="d"))], "like with like"),
        ([row("a", evaluation(1)), row("a", evaluation(2))], "no further one"),
        ([{**row("a", evaluation(1)), "colour": "red"}], "names its columns"),
    ],
)
def test_plans_that_mislead_are_refused(tmp_path, rows, said):
    with pytest.raises(MedsynthError, match=said):
        read_plan(plan(tmp_path, [dict(row) for row in rows]))
