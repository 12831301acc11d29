"""Prepared cases: given parts beside what is made, and a cache in which no plan meets another's entry."""

import pickle
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from medsynth.data.nifti import read_nifti
from medsynth.data.prepared import CasePlan, PreparedCases, prepare_case
from medsynth.data.resampling import Intensity, Resampling, SlicePlan
from medsynth.errors import MedsynthError
from medsynth.models.label_field import label_channels
from medsynth.records import CaseRecord, read_records, write_records
from tests.training.mixed import mixed_cases

WINDOW = Intensity(kind="window", low=-50, high=250)
PERCENT = Intensity(kind="percentiles", low=1, high=99)
PLAIN = CasePlan(
    intensity={"image": WINDOW},
    label=None,
    label_values=(),
    label_reach=1.5,
    resampling=Resampling(orientation=None, spacing=None, size=(8, 8, 8)),
)
MADE = replace(PLAIN, label="label", label_values=(0, 1))
GIVEN = replace(MADE, label_given=True)
BOTH = replace(GIVEN, given={"pet": PERCENT})
PET = replace(PLAIN, given={"pet": PERCENT})
SLICES = SlicePlan(plane="axial", low=0.2, high=0.8)
CUT = replace(BOTH, resampling=Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SLICES))


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    """Of three patients the first has no PET, the second no label map, the third all."""
    return mixed_cases(tmp_path_factory.mktemp("prepared") / "cases", make_cases, patients=3)


@pytest.fixture(scope="module")
def records(cases):
    return read_records(cases / "cases.jsonl", CaseRecord)


def array(cases, record, name):
    return read_nifti(cases / record.channels[name].path).array.astype(np.float32)


@pytest.mark.parametrize(
    ("plan", "made", "given"), [(PLAIN, 1, 0), (MADE, 3, 0), (GIVEN, 1, 2), (PET, 1, 1), (BOTH, 1, 3)]
)
def test_what_is_made_comes_first(cases, records, plan, made, given):
    item = prepare_case(cases, records[2], plan)
    assert plan.made == made
    assert item["x"].shape == (1, made + given, 8, 8, 8)
    assert item["range"].shape == (1, 2)
    x = item["x"][0]
    expected = np.clip((array(cases, records[2], "image") + 50) / 300, 0, 1) * 2 - 1
    np.testing.assert_allclose(x[0], expected, atol=1e-6)
    field = label_channels(array(cases, records[2], "label").astype(int), (0, 1), 1.5)
    if plan.label:
        assert torch.equal(x[-2:], field)
    if plan.given:
        pet = array(cases, records[2], "pet")
        low, high = np.percentile(pet, [1, 99])
        np.testing.assert_allclose(x[made], np.clip((pet - low) / (high - low), 0, 1) * 2 - 1, atol=1e-5)
    assert item["present"].tolist() == [True] * (len(plan.given) + plan.label_given)


@pytest.mark.parametrize("plan", [BOTH, CUT])
def test_what_a_case_lacks_is_zeros_and_not_there(cases, records, plan):
    no_pet, no_label, full = (prepare_case(cases, record, plan) for record in records)
    assert [item["present"].tolist() for item in (no_pet, no_label, full)] == [[False, True], [True, False], [True] * 2]
    assert no_pet["x"].shape == full["x"].shape
    assert not no_pet["x"][:, 1].any()
    assert no_pet["x"][:, 2:].any()
    assert not no_label["x"][:, 2:].any()
    assert no_label["x"][:, 1].any()
    assert no_label["present"].dtype == torch.bool


def test_what_is_made_is_never_missing(cases, records):
    with pytest.raises(MedsynthError, match="no channel label"):
        prepare_case(cases, records[1], MADE)


@pytest.mark.parametrize(
    ("one", "other"),
    list(
        combinations(
            [
                PLAIN,
                MADE,
                GIVEN,
                PET,
                BOTH,
                CUT,
                replace(PET, given={"pet": replace(PERCENT, high=98)}),
                replace(PET, given={"other": PERCENT}),
                replace(PLAIN, intensity={"image": WINDOW, "pet": PERCENT}),
                replace(GIVEN, label_reach=0.0),
                BOTH.with_margin(2),
            ],
            2,
        )
    ),
)
def test_no_plan_meets_the_entries_of_another(cases, records, tmp_path, one, other):
    names = [set(PreparedCases(cases, records, plan, tmp_path)._names) for plan in (one, other)]
    assert not names[0] & names[1]
    assert set(PreparedCases(cases, records, one, tmp_path)._names) == names[0]


def test_a_case_that_gets_a_label_map_is_prepared_anew(cases, records, tmp_path):
    """Its record says other files, so that its old entry is no longer met."""
    held = PreparedCases(cases, records, BOTH, tmp_path)
    assert held[1]["present"].tolist() == [True, False]
    whole = replace(records[1], channels={**records[1].channels, "label": records[2].channels["label"]})
    assert PreparedCases(cases, [records[0], whole], BOTH, tmp_path)[1]["present"].tolist() == [True, True]


def test_entries_are_read_back_and_a_damaged_one_is_made_again(cases, records, tmp_path):
    first = PreparedCases(cases, records, BOTH, tmp_path)[0]
    (entry,) = tmp_path.glob("*.pt")
    assert entry.stat().st_mode & 0o777 == 0o600
    raw = entry.read_bytes()
    for damaged in (raw[:-20], raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:], b""):
        entry.write_bytes(damaged)
        again = PreparedCases(cases, records, BOTH, tmp_path)[0]
        assert all(torch.equal(first[name], again[name]) for name in first)
    entry.chmod(0o600)
    before = entry.stat().st_mtime_ns
    assert torch.equal(PreparedCases(cases, records, BOTH, tmp_path)[0]["x"], first["x"])
    assert entry.stat().st_mtime_ns == before


def test_a_loading_process_is_sent_no_tensors(cases, records, tmp_path):
    """It would keep a file open for each of them: a thousand cases were more than a system allows."""
    prepared = PreparedCases(cases, records, BOTH, tmp_path)
    before = len(pickle.dumps(prepared))
    expected = [prepared[index]["x"] for index in range(3)]
    assert len(pickle.dumps(prepared)) == before
    sent = pickle.loads(pickle.dumps(prepared))
    assert all(torch.equal(sent[index]["x"], x) for index, x in enumerate(expected))
    assert prepared._held
    assert sent._room == prepared._room


def test_given_on_another_grid_is_refused(cases, records, make_cases, tmp_path):
    other = make_cases(tmp_path / "cases", patients=1, affine=np.diag([2.0, 2, 2, 1]))
    (record,) = read_records(other / "cases.jsonl", CaseRecord)
    away = read_records(cases / "cases.jsonl", CaseRecord)[2].channels["pet"]
    (other / away.path).write_bytes((cases / away.path).read_bytes())
    moved = replace(record, channels={**record.channels, "pet": away})
    write_records(other / "cases.jsonl", [moved])
    with pytest.raises(MedsynthError, match="do not lie on one grid; register them"):
        prepare_case(other, moved, BOTH)
