"""Splits: by patient, the same whatever the secret key, in the proportions asked for."""

from collections import Counter

import pytest

from medsynth.data.split import SplitPlan, patients_in, split_patients
from medsynth.errors import MedsynthError
from medsynth.files import sha256_json
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel

GRID = Geometry.centred((2, 2, 2), (1, 1, 1))


def record(number, patient, split=None, image=None, label=None):
    channels = {
        "image": Channel(path="a.nii", kind="image", units="HU", sha256=sha256_json([image or number])),
        "label": Channel(path="l.nii", kind="label", units="label", sha256=sha256_json(["label", label or number])),
    }
    return CaseRecord(
        id=f"c{number}",
        patient=patient,
        patient_source="dicom",
        identity="trusted",
        channels=channels,
        geometry=GRID,
        split=split,
    )


def people(count, scans=1, key="p", label=None):
    return [
        record(number, f"{key}{sha256_json([key, number // scans])[:8]}", label=label)
        for number in range(count * scans)
    ]


def test_every_patient_has_one_split_and_the_fractions_hold():
    records = people(40, scans=3)
    splits = split_patients(records, SplitPlan(seed=1, validation=0.1, test=0.25))
    assert set(splits) == {r.patient for r in records}
    assert patients_in(splits) == {"train": 26, "validation": 4, "test": 10}


def test_the_secret_key_and_the_order_change_nothing():
    plan = SplitPlan(seed=3)
    for label in (None, "empty"):  # the same label map for all: its hash tells nobody apart
        here, there = people(30, scans=2, label=label), people(30, scans=2, key="q", label=label)
        by_case = {r.id: split_patients(here, plan)[r.patient] for r in here}
        assert by_case == {r.id: split_patients(there, plan)[r.patient] for r in there}
        there = sorted(there, key=lambda r: r.patient)
        assert by_case == {r.id: split_patients(there, plan)[r.patient] for r in there}


def test_the_seed_decides():
    records = people(30)
    first, second = (split_patients(records, SplitPlan(seed=seed)) for seed in (0, 1))
    assert first == split_patients(records, SplitPlan(seed=0))
    assert first != second
    rates = Counter()
    for seed in range(200):
        rates.update(p for p, s in split_patients(people(10), SplitPlan(seed=seed)).items() if s == "test")
    assert len(rates) == 10
    assert max(rates.values()) < 45  # of 200 seeds each patient is drawn about 20 times


def test_splits_of_the_source_are_kept():
    records = [*people(20), record(100, "t", "test"), record(101, "v", "validation"), record(102, "t", None)]
    splits = split_patients(records, SplitPlan())
    assert splits["t"] == "test"
    assert splits["v"] == "validation"
    assert patients_in(splits) == {"train": 20, "validation": 1, "test": 1}
    with pytest.raises(MedsynthError, match="one patient into two splits"):
        split_patients([*records, record(103, "t", "train")], SplitPlan())


def test_validation_comes_from_training_where_the_source_names_train_and_test_alone():
    records = [record(n, f"t{n}", "train") for n in range(20)] + [record(n, f"h{n}", "test") for n in range(20, 30)]
    splits = split_patients(records, SplitPlan(validation=0.2, test=0.3))
    assert patients_in(splits) == {"train": 16, "validation": 4, "test": 10}
    assert {splits[f"h{n}"] for n in range(20, 30)} == {"test"}
    more = [*records, *(record(n, f"q{n}") for n in range(40, 50))]
    assert patients_in(split_patients(more, SplitPlan(validation=0.2)))["validation"] == 6
    with pytest.raises(MedsynthError, match=r"no patient for test; .*data\.split\.test=0"):
        split_patients(records[:20], SplitPlan())
    with pytest.raises(MedsynthError, match="no patient for train; change them"):
        split_patients(records[20:], SplitPlan())
    with pytest.raises(MedsynthError, match="no patient for train; change them"):
        split_patients([records[0], records[20]], SplitPlan())
    assert patients_in(split_patients(records, SplitPlan(validation=0))) == {"train": 20, "validation": 0, "test": 10}


def test_one_person_under_two_names_stays_together():
    twins = [record(50, "x"), record(51, "y", image=50), record(52, "y"), record(53, "z", image=52)]
    for seed in range(30):
        splits = split_patients([*people(6), *twins], SplitPlan(seed=seed, validation=0.2, test=0.2))
        assert splits["x"] == splits["y"] == splits["z"]
    shared_label = [record(60, "x", label=9), record(61, "y", label=9)]
    apart = [split_patients([*people(6), *shared_label], SplitPlan(seed=seed)) for seed in range(60)]
    assert any(splits["x"] != splits["y"] for splits in apart)
    with pytest.raises(MedsynthError, match="one patient into two splits"):
        split_patients([*people(6), record(50, "x", "train"), record(51, "y", "test", image=50)], SplitPlan())


@pytest.mark.parametrize(
    ("count", "asked", "said"),
    [
        (
            0,
            {},
            "0 patients cannot fill 3 splits (train, validation, test): add scans of at least 3 more patients, or "
            "set data.split.test=0 and add 2",
        ),
        (
            1,
            {},
            "1 patient cannot fill 3 splits (train, validation, test): add scans of at least 2 more patients, or "
            "set data.split.test=0 and add 1",
        ),
        (
            2,
            {},
            "2 patients cannot fill 3 splits (train, validation, test): add scans of at least 1 more patient, or "
            "set data.split.test=0",
        ),
        (1, {"test": 0}, "1 patient cannot fill 2 splits (train, validation): add scans of at least 1 more patient"),
        (1, {"validation": 0}, "1 patient cannot fill 2 splits (train, test): add scans of at least 1 more patient"),
        (
            0,
            {"test": 0, "validation": 0},
            "0 patients cannot fill 1 split (train): add scans of at least 1 more patient",
        ),
    ],
)
def test_too_few_patients_and_what_helps(count, asked, said):
    with pytest.raises(MedsynthError) as refused:
        split_patients(people(count, scans=4), SplitPlan(**asked))
    assert str(refused.value) == said
    if "set data.split.test=0" in said:  # the second way does help
        more = int(said[-1]) if said[-1] in "12" else 0
        assert patients_in(split_patients(people(count + more), SplitPlan(**{**asked, "test": 0})))["train"]


def test_as_few_as_can_be():
    assert sorted(patients_in(split_patients(people(3), SplitPlan())).values()) == [1, 1, 1]
    assert patients_in(split_patients(people(2), SplitPlan(test=0)))["test"] == 0
    with pytest.raises(MedsynthError, match="no patient is left for training"):
        split_patients(people(3), SplitPlan(validation=0.6, test=0.39))


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (0.1, 1.0)])
def test_fractions_that_leave_none(validation, test):
    with pytest.raises(MedsynthError, match="fractions"):
        SplitPlan(validation=validation, test=test)


def test_a_seed_below_0():
    with pytest.raises(MedsynthError, match=r"data\.split\.seed is 0 or more"):
        SplitPlan(seed=-1)


def test_a_part_of_the_patients_leaves_those_of_the_test_and_takes_validation_from_the_part():
    records = people(60, scans=2)
    whole = split_patients(records, SplitPlan(validation=0.2, test=0.3))
    held_out = {patient for patient, name in whole.items() if name == "test"}
    draws = [split_patients(records, SplitPlan(validation=0.2, test=0.3, patients=10, draw=draw)) for draw in range(3)]
    for part in draws:
        assert {patient for patient, name in part.items() if name == "test"} == held_out
        assert patients_in(part) == {"train": 8, "validation": 2, "test": len(held_out)}
        assert len(part) == 10 + len(held_out)  # the others are in no split
    used = [{patient for patient in part if patient not in held_out} for part in draws]
    assert used[0] != used[1] != used[2]
    assert (
        used[0]
        == {p for p in split_patients(records[::-1], SplitPlan(validation=0.2, test=0.3, patients=10))} - held_out
    )


def test_a_part_keeps_the_validation_that_the_source_names():
    records = [record(n, f"p{n}", split="validation" if n < 8 else "train" if n < 20 else "test") for n in range(30)]
    part = split_patients(records, SplitPlan(patients=15))
    assert all(
        name == {True: "validation", False: "train"}[int(p[1:]) < 8] for p, name in part.items() if name != "test"
    )
    assert sum(name != "test" for name in part.values()) == 15


@pytest.mark.parametrize(("patients", "says"), [(1, "2 or more"), (100, "are not held out for test"), (2, None)])
def test_a_part_that_cannot_be_drawn_is_refused(patients, says):
    if says is None:
        assert patients_in(split_patients(people(40), SplitPlan(patients=2)))["train"] == 1
        return
    with pytest.raises(MedsynthError, match=says):
        split_patients(people(40), SplitPlan(patients=patients))


def test_the_plan_of_all_patients_is_written_as_before():
    assert SplitPlan().to_json() == {"seed": 0, "validation": 0.1, "test": 0.1}
    assert SplitPlan(**SplitPlan(patients=9, draw=2).to_json()) == SplitPlan(patients=9, draw=2)
