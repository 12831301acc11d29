"""Preparation: what evaluation sees of a real case is what training saw."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.fitting import fit_preparation
from medsynth.data.preparation import Preparation, cases_digest, load_prepared
from medsynth.data.prepared import PreparedCases
from medsynth.data.resampling import Intensity, Resampling, SlicePlan, read_case
from medsynth.data.split import SplitPlan
from medsynth.errors import MedsynthError
from medsynth.records import CaseRecord, read_records, write_records

WINDOW = Intensity(kind="window", low=-50, high=150)
PERCENTILES = Intensity(kind="percentiles", low=1, high=99)
SPLIT = SplitPlan(validation=0.2, test=0.2)
VOLUME = Resampling(orientation="LAS", spacing=(1.1, 1.1, 1.7), size=(8, 6, 10))
SLICES = {
    plane: Resampling(
        orientation="RAS",
        spacing=(1.1, 1.1, 1.7),
        size=(8, 6),
        slices=SlicePlan(plane=plane, low=0.2, high=0.9, step=2),
    )
    for plane in ("axial", "coronal", "sagittal")
}


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return make_cases(tmp_path_factory.mktemp("preparation") / "cases", patients=6, scans=2, shape=(9, 8, 7))


@pytest.fixture(scope="module")
def arbitrary(make_cases, tmp_path_factory):
    """The same scans in units that mean nothing, as MR has them."""
    folder = tmp_path_factory.mktemp("arbitrary") / "cases"
    return make_cases(folder, patients=6, scans=2, shape=(9, 8, 7), units="arbitrary")


def fit(cases, tmp_path, intensity=WINDOW, resampling=VOLUME, label="label", reach=3.0, **settings):
    return fit_preparation(
        cases,
        images={"image": intensity},
        label=label,
        label_reach=reach,
        resampling=resampling,
        split=SPLIT,
        conditions=["class"],
        cache=tmp_path / "cache",
        each=lambda *_: lambda: None,
        **settings,
    )


@pytest.mark.parametrize("margin", [0, 1, 2])
@pytest.mark.parametrize("resampling", [VOLUME, *SLICES.values()], ids=["volume", *SLICES])
@pytest.mark.parametrize("intensity", [WINDOW, PERCENTILES], ids=["window", "percentiles"])
def test_evaluation_and_training_see_the_same(cases, arbitrary, tmp_path, intensity, resampling, margin):
    cases = arbitrary if intensity is PERCENTILES else cases
    fitted = fit(cases, tmp_path, intensity, resampling, reach=0.0)  # distances would see beyond the margin
    preparation, split = fitted.preparation, fitted.cases["train"]
    training = PreparedCases(cases, split.records, fitted.plan.with_margin(margin), tmp_path / "cache")
    inner = slice(margin, -margin or None)
    real = iter(load_prepared(cases, preparation, ["train"]))
    for index, count in enumerate(fitted.slices["train"]):
        x = training[index]["x"]
        assert len(x) == count
        for part in x:
            case = next(real)
            assert case.record.id == split.records[index].id
            encoded = preparation.layout.encode(list(case.images.values()), case.label)
            assert encoded.shape[1:] == preparation.grid.shape
            within = part[(slice(None), *(inner,) * preparation.layout.rank)]
            assert (encoded - within).abs().max() < 1e-5
            assert torch.equal(encoded[1:], within[1:])
    assert next(real, None) is None


def test_values_are_in_units_and_clipped(cases, tmp_path):
    fitted = fit(cases, tmp_path)
    seen = load_prepared(cases, fitted.preparation)
    assert len(seen) == 12
    image = np.concatenate([case.images["image"].ravel() for case in seen])
    assert image.min() >= -50
    assert image.max() == pytest.approx(150)
    assert {int(v) for case in seen for v in np.unique(case.label)} == {0, 1}
    # What a sample may hold survives the way into the model and back.
    decoded = fitted.preparation.layout.decode(
        fitted.preparation.layout.encode([np.round(seen[0].images["image"])], seen[0].label)
    )
    assert np.abs(decoded.images["image"] - np.round(seen[0].images["image"])).max() == 0
    assert np.array_equal(decoded.label, seen[0].label)


def test_percentiles_have_one_inverse_for_all(arbitrary, tmp_path):
    """A scan in other units (MR: times 7, plus 3) looks the same to the model and in evaluation."""
    cases = arbitrary
    preparation = fit(cases, tmp_path, PERCENTILES).preparation
    record = read_records(cases / "cases.jsonl", CaseRecord)[0]
    arrays = read_case(cases, record, preparation.intensity, "label", VOLUME)
    other = arrays._replace(
        images={"image": arrays.images["image"]._replace(array=arrays.images["image"].array * 7 + 3)},
        ranges={"image": tuple(7 * v + 3 for v in arrays.ranges["image"])},
    )
    (plain, _), (scaled, _) = next(preparation.samples_in(arrays)), next(preparation.samples_in(other))
    assert np.abs(plain["image"] - scaled["image"]).max() < 1e-3
    channel = preparation.layout.images[0]
    assert channel.low <= plain["image"].min() < plain["image"].max() <= channel.high + 1e-3


def test_percentiles_would_lose_hu(cases, tmp_path):
    with pytest.raises(MedsynthError, match=r"in HU.*data=ct_3d"):
        fit(cases, tmp_path, PERCENTILES)


def test_the_range_is_the_training_patients_median(arbitrary, tmp_path):
    cases = arbitrary
    fitted = fit(cases, tmp_path, PERCENTILES)
    train = [r for r in fitted.records if fitted.splits[r.patient] == "train"]
    ranges = {r.id: read_case(cases, r, {"image": PERCENTILES}, None, VOLUME).ranges["image"] for r in train}
    patients = sorted({r.patient for r in train})
    own = [np.mean([ranges[r.id] for r in train if r.patient == patient], axis=0) for patient in patients]
    found = (fitted.preparation.layout.images[0].low, fitted.preparation.layout.images[0].high)
    assert found == pytest.approx(tuple(np.sort(own, axis=0)[(len(patients) - 1) // 2]), rel=1e-6)


def test_splits_are_those_of_training(cases, tmp_path):
    fitted = fit(cases, tmp_path)
    by_split = {s: {c.record.patient for c in load_prepared(cases, fitted.preparation, [s])} for s in ("train", "test")}
    assert by_split["train"] == {r.patient for r in fitted.cases["train"].records}
    assert not by_split["train"] & by_split["test"]
    assert all(fitted.splits[patient] == "test" for patient in by_split["test"])


def test_written_and_read_back(cases, tmp_path):
    for resampling in (VOLUME, *SLICES.values()):
        preparation = fit(cases, tmp_path, resampling=resampling).preparation
        preparation.write(tmp_path)
        again = Preparation.read(tmp_path)
        assert again.sha256 == preparation.sha256
        assert again.resampling == preparation.resampling
        assert again.grid.is_close(preparation.grid, 0)
        text = (tmp_path / "preparation.json").read_text()
        assert "case000" not in text
        assert "patient000" not in text
        assert str(cases) not in text


def test_what_is_no_preparation_is_refused(cases, tmp_path):
    fit(cases, tmp_path).preparation.write(tmp_path)
    path = tmp_path / "preparation.json"
    content = json.loads(path.read_text())
    with pytest.raises(MedsynthError, match="holds no preparation"):
        Preparation.read(tmp_path / "cache")
    layout = content["layout"]
    hostile = {**layout, "images": [{**layout["images"][0], "name": "../../x"}]}
    for wrong in (
        {**content, "more": 1},
        {**content, "schema": "medsynth.preparation/1"},
        {key: value for key, value in content.items() if key != "split"},
        {**content, "resampling": 3},
        {**content, "split": {"seed": 0, "shuffle": True}},
        {**content, "layout": hostile},
        [],
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(MedsynthError):
            Preparation.read(path)
    path.write_text(json.dumps({**content, "schema": "medsynth.preparation/2"}))  # the same where no image is given
    assert Preparation.read(path).to_json() == content
    path.write_text(json.dumps(content)[:-5])
    with pytest.raises(MedsynthError, match="cut short"):
        Preparation.read(path)


def test_other_cases_are_refused(cases, tmp_path):
    preparation = fit(cases, tmp_path).preparation
    records = read_records(cases / "cases.jsonl", CaseRecord)
    write_records(tmp_path / "cases.jsonl", records[:-1])
    with pytest.raises(MedsynthError, match="not the cases that the model was trained on"):
        load_prepared(tmp_path, preparation)
    assert cases_digest(records) != cases_digest([replace(records[0], licence="x"), *records[1:]])
