"""Fitting: where samples lie, what their channels are, and cases that do not fit together."""

from dataclasses import replace

import numpy as np
import pytest

from medsynth.data.fitting import fit_preparation
from medsynth.data.resampling import Intensity, Resampling, SlicePlan
from medsynth.data.split import SplitPlan
from medsynth.errors import MedsynthError
from medsynth.records import CaseRecord, read_records, write_records
from tests.conftest import oblique_affine

WINDOW = Intensity(kind="window", low=-50, high=150)
NATIVE = Resampling(orientation=None, spacing=None, size=(8, 8, 8))


def fit(cases, resampling=NATIVE, images=None, label="label", split=None):
    return fit_preparation(
        cases,
        images=images or {"image": WINDOW},
        label=label,
        label_reach=3.0,
        resampling=resampling,
        split=split or SplitPlan(validation=0.2, test=0.2),
        conditions=(),
        cache=cases.parent / "cache",
        each=lambda *_: lambda: None,
    )


def mixed(make_cases, folder, affines):
    """One folder whose cases have these affines in turn."""
    records = []
    for number, affine in enumerate(affines):
        part = make_cases(folder / str(number), patients=number + 1, affine=affine)
        record = read_records(part / "cases.jsonl", CaseRecord)[number]
        channels = {name: replace(c, path=f"{number}/{c.path}") for name, c in record.channels.items()}
        records.append(replace(record, id=f"c{number}", patient=f"p{number}", channels=channels))
    write_records(folder / "cases.jsonl", records)
    return folder


def shifted(affine, millimetres):
    moved = affine.copy()
    moved[:3, 3] += millimetres
    return moved


def test_aligned_scans_give_their_mean_direction_and_median_place(make_cases, tmp_path):
    affines = [shifted(oblique_affine(degrees=d), d) for d in (1.0, 2.0, 3.0, 2.0, 2.0)]
    grid = fit(mixed(make_cases, tmp_path / "cases", affines)).preparation.grid
    assert grid.shape == (8, 8, 8)
    assert grid.spacing == pytest.approx((1.0, 1.5, 2.5), abs=1e-4)
    middle = oblique_affine(degrees=2.0)
    assert np.degrees(np.abs(grid.direction - middle[:3, :3] / (1.0, 1.5, 2.5)).max()) < 1.01
    centres = [(affine @ (3.5, 3.5, 3.5, 1))[:3] for affine in affines]
    assert (np.min(centres, axis=0) - 1e-3 <= grid.centre).all()
    assert (grid.centre <= np.max(centres, axis=0) + 1e-3).all()


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
def test_scans_of_one_handedness_keep_it(make_cases, tmp_path, flips):
    affine = oblique_affine()
    affine[:3, :3] = affine[:3, :3] * np.array(flips)
    grid = fit(make_cases(tmp_path / "cases", affine=affine)).preparation.grid
    assert np.abs(grid.direction - affine[:3, :3] / np.array((1, 1.5, 2.5))).max() < 1e-6
    assert grid.centre == pytest.approx((affine @ (3.5, 3.5, 3.5, 1))[:3], abs=1e-4)


@pytest.mark.parametrize("flips", [(-1, 1, 1), (1, 1, -1)])
def test_scattered_scans_give_the_nearest_axes(make_cases, tmp_path, flips):
    affines = []
    for degrees in (-9.0, 9.0, 0.0, 9.0, -9.0):
        affine = shifted(oblique_affine(degrees=degrees), degrees)
        affine[:3, :3] = affine[:3, :3] * np.array(flips)
        affines.append(affine)
    grid = fit(mixed(make_cases, tmp_path / "cases", affines)).preparation.grid
    assert np.array_equal(grid.direction, np.diag(flips))


def test_mixed_axes_are_refused_and_orientation_mends_them(make_cases, tmp_path):
    mirrored = oblique_affine()
    mirrored[:3, :3] = mirrored[:3, :3] * np.array((-1, 1, 1))
    cases = mixed(make_cases, tmp_path / "cases", [oblique_affine(), mirrored] * 3)
    with pytest.raises(MedsynthError, match=r"different directions \(LAS, RAS\): set data\.resampling\.orientation"):
        fit(cases)
    grid = fit(cases, replace(NATIVE, orientation="RAS")).preparation.grid
    assert grid.axcodes == "RAS"
    assert np.linalg.det(grid.direction) > 0


def test_slices_lie_in_the_middle_of_their_stack(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases")
    centre = (oblique_affine() @ (3.5, 3.5, 3.5, 1))[:3]
    for plane, axis in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        plan = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane=plane))
        grid = fit(cases, plan).preparation.grid
        assert grid.shape == (8, 8)
        assert np.abs(grid.centre - centre).max() < 2.5 / 2 + 0.1
        assert np.abs(grid.direction[axis, 2]) > 0.99


def test_different_voxel_sizes_need_a_spacing(make_cases, tmp_path):
    affines = [oblique_affine(spacing=(1, 1, z)) for z in (2.0, 3.0)] * 3
    cases = mixed(make_cases, tmp_path / "cases", affines)
    with pytest.raises(MedsynthError, match=r"different voxel sizes: set data\.resampling\.spacing"):
        fit(cases)
    fitted = fit(cases, replace(NATIVE, spacing=(1.0, 1.0, 2.0)))
    assert fitted.preparation.grid.spacing == pytest.approx((1, 1, 2))


def test_channels_come_from_the_cases(make_cases, tmp_path):
    fitted = fit(make_cases(tmp_path / "cases"))
    channel = fitted.preparation.layout.images[0]
    assert (channel.units, channel.modality, channel.integer) == ("HU", "CT", True)
    assert (channel.low, channel.high) == (-50, 150)
    assert fitted.preparation.layout.label.values == {0: "background", 1: "ball"}
    mr = fit(make_cases(tmp_path / "mr" / "cases", units="arbitrary"), label=None).preparation.layout
    assert not mr.images[0].integer
    assert mr.label is None


def renamed(cases, change):
    records = read_records(cases / "cases.jsonl", CaseRecord)
    write_records(cases / "cases.jsonl", [change(number, record) for number, record in enumerate(records)])
    return cases


def test_image_stands_for_the_only_image(make_cases, tmp_path):
    def rename(number, record):
        return replace(record, channels={"t1": record.channels["image"], "label": record.channels["label"]})

    cases = renamed(make_cases(tmp_path / "cases"), rename)
    assert [channel.name for channel in fit(cases).preparation.layout.images] == ["t1"]
    with pytest.raises(MedsynthError, match="no case has the channels t2, label; they have label, t1"):
        fit(cases, images={"t2": WINDOW})


PERCENTILES = Intensity(kind="percentiles", low=0.5, high=99.5)


@pytest.mark.parametrize(
    ("units", "images", "label", "said"),
    [
        (
            "arbitrary",
            {"t2": PERCENTILES},
            None,
            "set data.images='[{name: image, kind: percentiles, low: 0.5, high: 99.5}]'",
        ),
        ("HU", {"t2": WINDOW}, "label", "set data.images='[{name: image, kind: window, low: -50, high: 150}]'"),
        ("HU", {"t2": PERCENTILES}, None, "set data.images='[{name: image, kind: window, low: -1000, high: 1000}]'"),
        ("HU", {"image": WINDOW}, "liver", "set data.label=label"),
        (
            "arbitrary",
            {"t2": PERCENTILES, "image": WINDOW},
            "liver",
            "set data.images='[{name: image, kind: window, low: -50, high: 150}]' and data.label=label",
        ),
    ],
)
def test_a_wrong_name_is_answered_with_what_the_cases_have(make_cases, tmp_path, units, images, label, said):
    cases = make_cases(tmp_path / "cases", units=units)
    with pytest.raises(MedsynthError) as refused:
        fit(cases, images=images, label=label)
    assert str(refused.value).endswith(f"; they have image, label: {said}")


def test_no_label_map_and_channels_that_no_case_has_together(make_cases, tmp_path):
    def without(name, cases):
        return {key: channel for key, channel in cases.channels.items() if key != name}

    cases = make_cases(tmp_path / "a" / "cases")
    renamed(cases, lambda _, record: replace(record, channels=without("label", record)))
    with pytest.raises(MedsynthError, match=r"they have image: set data\.label=null"):
        fit(cases)
    cases = make_cases(tmp_path / "b" / "cases")
    renamed(cases, lambda n, record: replace(record, channels={"t1" if n else "image": record.channels["image"]}))
    with pytest.raises(MedsynthError, match=r"no case has the channels image, t1, all of them: take one out"):
        fit(cases, images={"image": WINDOW, "t1": WINDOW}, label=None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n, r: replace(r, labels={0: "background", 1: f"part {n}"}), "label 1 has two names"),
        (lambda _, r: replace(r, labels={}), "no case says what its label values mean"),
        (
            lambda n, r: replace(
                r, channels={**r.channels, "image": replace(r.channels["image"], units="HU" if n % 2 else "arbitrary")}
            ),
            r"several units among the cases \(HU, arbitrary\)",
        ),
    ],
)
def test_cases_that_do_not_fit_together(make_cases, tmp_path, change, said):
    cases = renamed(make_cases(tmp_path / "cases"), change)
    with pytest.raises(MedsynthError, match=said):
        fit(cases)


def test_a_label_is_no_image(make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases")
    with pytest.raises(MedsynthError, match="channel label is no image"):
        fit(cases, images={"label": WINDOW}, label=None)
    with pytest.raises(MedsynthError, match=r"channel image is no (image|label)"):
        fit(cases, label="image")


def test_no_validation_says_the_way_out(make_cases, tmp_path):
    with pytest.raises(MedsynthError, match=r"no validation patient .*set data\.split\.validation above 0"):
        fit(make_cases(tmp_path / "cases"), split=SplitPlan(validation=0, test=0.2))
