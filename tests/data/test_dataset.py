"""Prepared cases and their order: a function of the seed and the sample's number alone; a cache of whole files."""

from dataclasses import replace

import pytest
import torch

import medsynth.data.prepared
from medsynth.data.augmentation import Augmentation
from medsynth.data.dataset import StepBatches, TrainingSamples, ValidationSamples
from medsynth.data.prepared import CasePlan, PreparedCases
from medsynth.data.resampling import Intensity, Resampling, SlicePlan
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Conditioner
from medsynth.records import CaseRecord, read_records
from tests.conftest import small_disk

WINDOW = Intensity(kind="window", low=-50, high=150)
PLAN = CasePlan(
    intensity={"image": WINDOW},
    label="label",
    label_values=(0, 1),
    label_reach=2.0,
    resampling=Resampling(orientation="RAS", spacing=None, size=(8, 8, 8)),
)
KNOWN = Conditioner({"class": ["a", "b"]})


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return make_cases(tmp_path_factory.mktemp("dataset") / "cases", patients=5)


@pytest.fixture(scope="module")
def records(cases):
    return read_records(cases / "cases.jsonl", CaseRecord)


@pytest.fixture(scope="module")
def prepared(cases, records):
    return PreparedCases(cases, records, PLAN.with_margin(1), cases.parent / "cache")


def samples(prepared, seed=0, slices=(1,) * 5, augmentation=None):
    return TrainingSamples(prepared, slices, KNOWN, augmentation or Augmentation(shift=1), seed)


def test_a_sample_depends_on_its_number_and_the_seed_alone(prepared):
    forward, backward = samples(prepared), samples(prepared)
    first = [forward[n] for n in range(12)]
    again = {n: backward[n] for n in reversed(range(12))}
    for n, sample in enumerate(first):
        assert all(torch.equal(a, b) for a, b in zip(sample, again[n], strict=True))
        assert sample.number == n
        assert sample.x.shape == (3, 8, 8, 8)
    assert len({tuple(sample.vector[2:].tolist()) for sample in first}) > 5  # each number its own augmentation
    other = samples(prepared, seed=1)
    assert any(not torch.equal(first[n].x, other[n].x) for n in range(5))


def test_each_pass_visits_every_place_once_in_its_own_order(prepared):
    still = Augmentation()
    training = samples(prepared, augmentation=still)
    content = [training.cases[i]["x"][0] for i in range(5)]
    orders = []
    for turn in range(3):
        seen = [training[turn * 5 + n].x for n in range(5)]
        orders.append([next(i for i, x in enumerate(content) if torch.equal(x, s)) for s in seen])
        assert sorted(orders[-1]) == list(range(5))
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_what_is_known_is_told(prepared, records):
    training = samples(prepared)
    for n in range(5):
        sample = training[n]
        assert sample.vector.shape == (2 + 3,)
        assert sample.vector[:2].sum() == 1
    validation = ValidationSamples(prepared, (1,) * 5, KNOWN, Augmentation(shift=1), most=5)
    classes = [record.attributes["class"] for record in records]
    assert [validation[i].vector[:2].tolist() for i in range(5)] == [[1.0, 0.0] if c == "a" else [0.0, 1.0] for c in classes]  # fmt: skip  # noqa: E501
    assert not any(validation[i].vector[2:].any() for i in range(5))


def test_a_class_the_training_has_not_is_the_null_in_validation(prepared):
    validation = ValidationSamples(prepared, (1,) * 5, Conditioner({"class": ["a"]}), Augmentation(), most=5)
    assert {tuple(validation[i].vector.tolist()) for i in range(5)} == {(1.0,), (0.0,)}


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (3, 3), (20, 20), (100, 20)])
def test_validation_takes_the_same_evenly_spread_samples(prepared, most, expected):
    first, again = (ValidationSamples(prepared, (4,) * 5, KNOWN, Augmentation(), most) for _ in range(2))
    assert first.places == again.places
    assert len(first) == len(set(first.places)) == expected


def test_slices_are_places_of_their_own(cases, records):
    slices = SlicePlan(plane="coronal", low=0.25, high=1.0, step=2)
    plan = replace(PLAN, resampling=replace(PLAN.resampling, size=(8, 6), slices=slices))
    cut = PreparedCases(cases, records, plan, cases.parent / "cache")
    assert cut[0]["x"].shape == (3, 3, 8, 6)
    training = samples(cut, slices=(3,) * 5, augmentation=Augmentation())
    seen = [training[n].x for n in range(15)]
    parts = [part for i in range(5) for part in cut[i]["x"]]
    assert all(any(torch.equal(part, x) for x in seen) for part in parts)


def test_batches_from_any_step_and_on_any_number_of_devices():
    def first(batches, count):
        return [numbers for numbers, _ in zip(batches, range(count), strict=False)]

    whole = first(StepBatches(0, 4), 5)
    assert whole[0] == [0, 1, 2, 3]
    assert first(StepBatches(3, 4), 2) == whole[3:5]
    shares = [first(StepBatches(0, 4, rank, 2), 5) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole
    with pytest.raises(MedsynthError, match="does not divide"):
        StepBatches(0, 4, 0, 3)


def counting(monkeypatch):
    calls = []
    original = medsynth.data.prepared.prepare_case
    monkeypatch.setattr(
        medsynth.data.prepared,
        "prepare_case",
        lambda folder, record, plan: (calls.append(record.id), original(folder, record, plan))[1],
    )
    return calls


def test_the_cache_is_used_and_a_damaged_entry_made_again(cases, records, tmp_path, monkeypatch):
    calls = counting(monkeypatch)
    first = PreparedCases(cases, records[:1], PLAN, tmp_path / "cache")[0]
    again = PreparedCases(cases, records[:1], PLAN, tmp_path / "cache")[0]
    assert calls == ["case000"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    (entry,) = (tmp_path / "cache").iterdir()
    assert "case000" not in entry.name
    for damage in (lambda raw: raw[:-50], lambda raw: raw[:100] + b"x" + raw[101:], lambda _: b""):
        entry.write_bytes(damage(entry.read_bytes()))
        remade = PreparedCases(cases, records[:1], PLAN, tmp_path / "cache")[0]
        assert torch.equal(remade["x"], first["x"])
    assert len(calls) == 4


def test_prepared_scans_are_their_owners_in_a_folder_that_others_may_read(cases, records, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o755)
    PreparedCases(cases, records[:1], PLAN, tmp_path / "cache")[0]
    (entry,) = (tmp_path / "cache").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600


def test_whatever_changes_the_result_changes_the_entry(cases, records, tmp_path, monkeypatch):
    calls = counting(monkeypatch)
    two = {"image": WINDOW, "other": WINDOW}
    record = replace(records[0], channels={**records[0].channels, "other": records[1].channels["image"]})
    resampling = PLAN.resampling
    plans = [
        PLAN,
        replace(PLAN, intensity={"image": replace(WINDOW, high=151)}),
        replace(PLAN, intensity={"image": Intensity(kind="percentiles", low=0, high=100)}),
        replace(PLAN, intensity=two),
        replace(PLAN, intensity=dict(reversed(two.items()))),
        replace(PLAN, label=None, label_values=()),
        replace(PLAN, label_values=(1, 0)),
        replace(PLAN, label_reach=0.0),
        replace(PLAN, resampling=replace(resampling, orientation="LPS")),
        replace(PLAN, resampling=replace(resampling, spacing=(1.0, 1.0, 1.0))),
        replace(PLAN, resampling=replace(resampling, size=(6, 8, 8))),
        PLAN.with_margin(2),
        replace(PLAN, given={"other": WINDOW}),
        replace(PLAN, given={"other": replace(WINDOW, high=151)}),
        replace(PLAN, label_given=True),
    ]
    slices = [SlicePlan(plane=p, low=low, step=s) for p in ("axial", "coronal") for low in (0, 0.5) for s in (1, 2)]
    plans += [replace(PLAN, resampling=replace(resampling, size=(8, 8), slices=s)) for s in slices]
    for plan in plans:
        PreparedCases(cases, [record], plan, tmp_path / "cache")[0]
    PreparedCases(cases, [replace(record, channels=records[2].channels)], PLAN, tmp_path / "cache")[0]
    assert len(calls) == len(plans) + 1 == len(list((tmp_path / "cache").iterdir()))


def test_channels_come_in_the_order_asked(cases, records, tmp_path):
    record = replace(records[0], channels={**records[0].channels, "other": records[1].channels["image"]})
    two = {"image": WINDOW, "other": WINDOW}
    for names in (two, dict(reversed(two.items()))):
        x = PreparedCases(cases, [record], replace(PLAN, intensity=names), tmp_path / "cache")[0]["x"][0]
        for place, name in enumerate(names):
            alone = replace(PLAN, intensity={name: WINDOW})
            assert torch.equal(x[place], PreparedCases(cases, [record], alone, tmp_path / "cache")[0]["x"][0, 0])


def test_a_full_disk_under_the_cache_is_one_line(cases, records, tmp_path):
    with small_disk(tmp_path / "disk", kilobytes=8) as disk, pytest.raises(MedsynthError, match="no space left"):
        PreparedCases(cases, records, PLAN, disk)[0]
