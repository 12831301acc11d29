"""Who may be in which split, and what stays behind."""

from dataclasses import replace

import pytest

from medsynth.errors import MedsynthError
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.files import sha256_json
from medsynth.records import CaseRecord, read_records, write_records
from tests.export.datasets.conftest import clear, content, go, table, write_preparation
from tests.export.test_gate import audited


def by_source(folder, split):
    lines = [line for line in table(folder).values() if line["split"] == split]
    return {source: [line for line in lines if line["source"] == source] for source in ("real", "synthetic")}


def test_real_cases_go_where_the_run_had_them(make_pair, tmp_path):
    pair = make_pair()
    folder = go(pair, tmp_path / "out", "monai")
    for split in ("train", "validation", "test"):
        found = by_source(folder, split)
        assert sorted({line["patient"] for line in found["real"]}) == pair.patients(split)
        assert len(found["real"]) == 2 * len(pair.patients(split))
        assert len(found["synthetic"]) == (4 if split == "train" else 0)
    assert {len(pair.patients(split)) for split in ("validation", "test")} == {2}


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("kind", ["nnunet", "decathlon", "monai"])
def test_what_is_held_out_is_kept_or_left_by_a_key(make_pair, tmp_path, split, kind):
    pair = make_pair()
    kept = go(pair, tmp_path / "kept", kind, dataset=DatasetSettings(**{split: "keep"}))
    left = go(pair, tmp_path / "left", kind, dataset=DatasetSettings(**{split: "leave_out"}))
    usual = go(pair, tmp_path / "usual", kind)
    assert len(by_source(kept, split)["real"]) == 4
    assert len(by_source(left, split)["real"]) == 0
    assert len(by_source(usual, split)["real"]) == (0 if (kind, split) == ("nnunet", "validation") else 4)
    assert f"4 left out: real, of {split} patients" in content(left)["description"]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("real", [True, False])
def test_what_is_derived_from_the_held_out_never_trains(make_pair, tmp_path, split, real):
    pair = make_pair()
    pair.derive(0, pair.case("train"))
    pair.derive(1, pair.case(split))
    folder = go(pair, tmp_path / "out", "monai", real=pair.cases if real else None)
    assert "s000001" not in table(folder)
    assert table(folder)["s000000"]["patient"] == pair.case("train").patient
    assert "1 left out: derived from a patient who is not" in content(folder)["description"]
    assert content(folder)["description"].startswith("SYNTHETIC IN PART")


def test_a_split_that_nobody_knows_is_not_training(make_pair, tmp_path):
    pair = make_pair()
    pair.derive(0, pair.case("train"), split=None)
    assert "s000000" not in table(go(pair, tmp_path / "out", "monai", real=None))


def test_a_record_that_says_train_of_a_held_out_patient_is_not_believed(make_pair, tmp_path):
    pair = make_pair()
    pair.derive(0, pair.case("test"), split="train")
    pair.derive(1, pair.case("train"), pair.case("test"), split="train")
    stranger = {"parents": ("ef" * 32,), "patient": "somebody", "split": "train"}
    pair.change(2, **stranger)
    folder = go(pair, tmp_path / "out", "monai")
    assert [line["case"] for line in by_source(folder, "train")["synthetic"]] == ["s000003"]


def test_keys_too_long_to_join_are_found_by_the_parents(make_pair, tmp_path):
    pair = make_pair()
    several = f"several-{sha256_json([])[:32]}"
    pair.derive(0, pair.case("train"), pair.case("train", 3), patient=several)
    pair.derive(1, pair.case("train"), pair.case("test"), patient=several, split="train")
    pair.change(2, parents=("ef" * 32,), patient=several, split="train")
    folder = go(pair, tmp_path / "out", "monai")
    assert [line["case"] for line in by_source(folder, "train")["synthetic"]] == ["s000000", "s000003"]


def test_what_is_made_from_nobodys_sample_is_nobodys(make_pair, tmp_path):
    pair = make_pair()
    pair.change(0, parents=("ef" * 32,), patient="synthetic-efefefefefefefef")
    assert table(go(pair, tmp_path / "out", "monai"))["s000000"]["split"] == "train"


def test_flagged_samples_stay_behind(make_pair, tmp_path):
    pair = make_pair()
    folder = audited(pair.samples, tmp_path / "audit", ["pass", "fail", "pass", "pass"])
    out = go(pair, tmp_path / "out", "monai", audit=folder, unaudited=None)
    assert "s000001" not in table(out)
    assert {line["verdict"] for line in by_source(out, "train")["synthetic"]} == {"pass"}
    assert "1 left out: flagged by the audit" in content(out)["description"]


@pytest.mark.parametrize("kind", ["nnunet", "decathlon", "monai"])
def test_what_no_audit_passed_is_said_in_the_description(make_pair, tmp_path, kind):
    pair = make_pair()
    with pytest.raises(MedsynthError, match="no audit covers these samples"):
        go(pair, tmp_path / "out", kind, unaudited=None)
    folder = go(pair, tmp_path / "out", kind)
    assert "Override: unaudited=i_accept" in content(folder)["description"]
    assert {line["verdict"] for line in table(folder).values() if line["source"] == "synthetic"} == {"not audited"}


def test_cases_that_no_gate_cleared_stay(make_pair, tmp_path):
    pair = make_pair()
    (pair.cases / "identity.json").unlink()
    with pytest.raises(MedsynthError, match="not cleared by the identity gate"):
        go(pair, tmp_path / "out", "monai")
    assert not (tmp_path / "out").exists()
    folder = go(pair, tmp_path / "out", "monai", uncleared="i_accept")
    assert "identity=unknown; uncleared=i_accept" in content(folder)["description"]


def test_other_cases_than_the_generators_are_refused(make_pair, tmp_path):
    pair = make_pair()
    records = read_records(pair.cases / "cases.jsonl", CaseRecord)
    write_records(pair.cases / "cases.jsonl", records[1:])
    with pytest.raises(MedsynthError, match="not the cases that the generator was trained on"):
        go(pair, tmp_path / "out", "monai")


def test_one_value_under_two_names_is_refused(make_pair, tmp_path):
    pair = make_pair()
    pair.change(0, labels={0: "background", 1: "spleen", 4: "left kidney"})
    with pytest.raises(MedsynthError, match="names the value 1 otherwise"):
        go(pair, tmp_path / "out", "nnunet")


def test_two_keys_with_one_image_are_one_person(make_pair, tmp_path):
    """They are held out together, and so is what was derived from the second key's scan."""
    pair = make_pair()
    records = read_records(pair.cases / "cases.jsonl", CaseRecord)
    records[2] = replace(records[2], channels=records[0].channels)
    write_records(pair.cases / "cases.jsonl", records)
    clear(pair.cases)
    pair.splits = write_preparation(pair.samples, pair.cases, records[0].geometry)
    assert pair.splits[records[0].patient] == pair.splits[records[2].patient]
    folder = go(pair, tmp_path / "out", "nnunet")
    for fold in content(folder, "splits_final.json"):
        held = {table(folder)[name]["patient"] for name in fold["val"]}
        assert len(held & {records[0].patient, records[2].patient}) != 1


def test_nothing_left_for_training_is_refused(make_pair, tmp_path):
    pair = make_pair(count=1)
    pair.derive(0, pair.case("test"))
    with pytest.raises(MedsynthError, match="nothing is left for training: 0 flagged"):
        go(pair, tmp_path / "out", "monai", real=None)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "../x"}, {"name": ""}, {"number": 0}, {"number": 1000}, {"validation": "train"}, {"test": "no"},
        {"folds": 1}, {"suffix": {"image": "T1w/.."}},
    ],
)  # fmt: skip
def test_settings_that_there_are_not(settings):
    with pytest.raises(MedsynthError, match=r"dataset\."):
        DatasetSettings(**settings)
