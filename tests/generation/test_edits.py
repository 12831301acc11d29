"""Edits from a trained run to files: own values, the same again, what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medsynth.data.nifti import read_nifti
from medsynth.data.preparation import Preparation
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.generation import run as generation
from medsynth.generation.plan import EditPlan, MaskPlan, Row
from medsynth.geometry import Geometry
from medsynth.models.layout import ImageChannel, Layout
from medsynth.models.sampling import SamplingPlan
from medsynth.records import write_records
from tests.generation.edited import cases_of, inpaint, make, maker_of, table

THERE_AND_BACK = SamplingPlan(name="heun", steps=24)


@pytest.mark.parametrize("edit", ["inpaint", "image_to_image", "variations"])
def test_an_edited_scan_has_its_own_range(trained, make_cases, rewritten, tmp_path, edit):
    """Two scans of the same scene, one a hundred times the other and far off."""
    run = trained("coarse")
    affine = np.diag([1.5, 1.5, 2, 1])
    cases = make_cases(tmp_path / "cases", patients=2, shape=(12, 12, 12), affine=affine, units="arbitrary")
    scene = np.random.default_rng(0).normal(0, 1, (12, 12, 12)).astype(np.float32)
    arrays = [scene, 5000 + 100 * scene]
    rewritten(cases, array=lambda number, name: arrays[number] if name == "image" else (scene > 0).astype(np.uint8))
    plan = inpaint(slab=(0, 4, 7)) if edit == "inpaint" else EditPlan(edit=edit)
    records = make(run, tmp_path / "out", parents=cases, count=2, plan=plan)
    for record, array in zip(records, arrays, strict=True):
        made = read_nifti(tmp_path / "out" / record.channels["image"].path).array
        low, high = np.percentile(array, [1, 99])
        part = made[4:8] if edit == "inpaint" else made
        slack = 1e-3 * (high - low)
        assert low - slack <= part.min()
        assert part.max() <= high + slack
        assert np.ptp(part) > 0.1 * (high - low)


@pytest.mark.parametrize("plan", [inpaint(slab=(2, 4, 5)), EditPlan(edit="thin_slices", returns=1)])
def test_churn_is_not_added_at_every_return(trained, tmp_path, plan):
    """It is a share of all steps together, and a jump of two would take a whole one: ten times as much of 20 steps."""
    run = trained("joint")
    churned = SamplingPlan(name="heun", steps=4, options={"churn": 10.0})
    with pytest.raises(MedsynthError, match=r"set sampler\.options\.churn=0, or plan\.returns=0"):
        make(run, tmp_path / "out", parents=run.parent / "cases", count=1, plan=plan, sampler=churned)
    assert not (tmp_path / "out").exists()
    once, calm = replace(plan, returns=0), replace(churned, options={"churn": 0.0})
    maker_of(run, run.parent / "cases", once, churned).check()
    maker_of(run, run.parent / "cases", plan, calm).check()


@pytest.mark.parametrize("share", [0, 0.25, 0.75, 1])
def test_between_two_scans_the_range_lies_between_theirs(trained, share):
    run = trained("coarse")
    maker = maker_of(run, run.parent / "cases", EditPlan(edit="interpolate"))
    names = ("case000", "case001")
    (low, high), (other_low, other_high) = (maker.parents.prepared(name).ranges[0].tolist() for name in names)
    row = Row(0, 0, 0, {}, dict(zip(("parent", "second"), names, strict=True)), 0.5, 0.5, share)
    for x, ends in ((-1, (low, other_low)), (1, (high, other_high))):
        made = maker._plain(row, maker.asked(row), torch.full((3, 12, 12, 12), float(x)))
        assert made.images["image"] == pytest.approx(ends[0] + share * (ends[1] - ends[0]), rel=1e-4)
        nearer = maker.parents.prepared(names[share > 0.5])
        assert np.array_equal(made.geometry.affine, nearer.affine.numpy())


def test_grey_values_beyond_the_populations_are_not_wrapped_round():
    channel = ImageChannel(name="image", units="grey", low=0, high=200, integer=True)
    layout = Layout(images=(channel,), label=None, grid=Geometry.centred((2, 2), (1, 1)))
    made = layout.decode(torch.tensor([[[-1.0, 0], [1, 1]]]), [(100, 4100)]).images["image"]
    assert made.tolist() == [[100, 2100], [4100, 4100]]
    assert layout.decode(torch.ones(1, 2, 2)).images["image"].dtype == np.uint8


def close(one, other, folder, there):
    for name in one.channels:
        a, b = read_nifti(folder / one.channels[name].path).array, read_nifti(there / other.channels[name].path).array
        assert np.abs(a.astype(float) - b).max() <= (1 if name != "label" else 0)


EDITS = {
    "inpaint": (inpaint(slab=(2, 2, 4)), [{}, {}, {}]),
    "image_to_image": (EditPlan(edit="image_to_image"), [{"strength": s} for s in (0.9, 0.3, 0.9, 0.6, 1)]),
    "variations": (EditPlan(edit="variations"), [{"amount": a} for a in (0.9, 0.1, 0.5)]),
    "interpolate": (EditPlan(edit="interpolate"), [{"share": s} for s in (0.9, 0.1, 0.5)]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_row_alone_in_a_batch_and_after_a_stop(trained, train_ids, tmp_path, monkeypatch, edit):
    run = trained("joint")
    plan, told = EDITS[edit]
    second = [{"second": train_ids[(n + 1) % 4]} if edit == "interpolate" else {} for n in range(5)]
    lines = [{"parent": train_ids[n % 4], "seed": n, **row, **second[n]} for n, row in enumerate(told)]
    settings = {"parents": run.parent / "cases", "plan": plan}
    together = make(run, tmp_path / "all", table=table(tmp_path / "all.csv", *lines), **settings)
    assert [record.index for record in together] == list(range(len(lines)))
    hashes = {case.id: case.sha256 for case in cases_of(run.parent / "cases")}
    for number, line in enumerate(lines):
        assert together[number].parents[0] == hashes[line["parent"]]
        for name, value in told[number].items():
            assert together[number].sampler[f"edit.{name}"] == value
        only = table(tmp_path / f"{number}.csv", line)
        alone = make(run, tmp_path / str(number), table=only, **settings)[0]
        close(alone, together[number], tmp_path / str(number), tmp_path / "all")

    original, calls = generation._Job._write, []

    def dying(job, row, *rest):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(row.index)
        return original(job, row, *rest)

    settings |= {"table": tmp_path / "all.csv", "batch_size": 2}
    monkeypatch.setattr(generation._Job, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        make(run, tmp_path / "stopped", **settings)
    monkeypatch.setattr(
        generation._Job, "_write", lambda job, row, *rest: (calls.append(row.index), original(job, row, *rest))[1]
    )
    resumed = make(run, tmp_path / "stopped", **settings)
    assert sorted(calls) == list(range(len(lines)))
    for one, other in zip(resumed, together, strict=True):
        assert one.parents == other.parents
        assert one.sampler == other.sampler
        close(one, other, tmp_path / "stopped", tmp_path / "all")


def test_rows_of_one_seed_start_from_one_noise(trained, tmp_path):
    run = trained("joint")
    rows = [{"seed": 7, "class": "a"}, {"seed": 8, "class": "a"}, {"seed": 7, "class": "a"}, {"seed": 7, "class": "b"}]
    records = make(run, tmp_path / "out", table=table(tmp_path / "t.csv", *rows))
    first, other, same, told = (
        read_nifti(tmp_path / "out" / r.channels["image"].path).array.astype(float) for r in records
    )
    assert np.abs(first - same).max() <= 1
    assert np.abs(first - told).mean() < 0.5 * np.abs(first - other).mean()
    plain = make(run, tmp_path / "plain", count=1, seed=7, condition={"class": "a"})[0]
    assert np.abs(read_nifti(tmp_path / "plain" / plain.channels["image"].path).array - first).max() <= 1


def apart(run, out, record, case):
    """Root mean square in HU between a sample and its parent, whose slices it has in the middle."""
    made = read_nifti(out / record.channels["image"].path).array.astype(float)
    scan = np.clip(read_nifti(run.parent / "cases" / case.channels["image"].path).array, -50, 250)
    if made.ndim == 3:
        made = made[:, :, 2:10]
    return np.sqrt(((made - scan) ** 2).mean())


@pytest.mark.parametrize("kind", ["joint", "pictures"])
def test_little_strength_changes_little(trained, tmp_path, kind):
    run = trained(kind)
    case = cases_of(run.parent / "cases")[1]
    rows = [{"parent": case.id, "seed": 1, "strength": s} for s in (1, 0.05, 0.6)]
    plan, sampling = EditPlan(edit="image_to_image"), SamplingPlan(steps=20)
    out = tmp_path / "out"
    rows = table(tmp_path / "t.csv", *rows)
    records = make(run, out, parents=run.parent / "cases", table=rows, plan=plan, sampler=sampling)
    whole, little, some = (apart(run, out, record, case) for record in records)
    assert little < 5 < some / 2
    assert some < whole
    assert whole > 40


@pytest.mark.parametrize("kind", ["joint", "pictures"])
def test_the_ends_of_variations_and_interpolation_are_the_scans(trained, tmp_path, kind):
    """The two are of other classes, and each is told its own."""
    run = trained(kind)
    cases = cases_of(run.parent / "cases")
    splits = split_patients(cases, Preparation.read(run).split)
    mine = [case for case in cases if splits[case.patient] == "train"]
    one = mine[0]
    two = next(case for case in mine if case.attributes != one.attributes)
    settings = {"parents": run.parent / "cases", "sampler": THERE_AND_BACK}
    rows = table(tmp_path / "v.csv", *({"parent": one.id, "amount": amount} for amount in (0, 1)))
    out = tmp_path / "v"
    same, other = make(run, out, table=rows, plan=EditPlan(edit="variations"), **settings)
    assert apart(run, out, same, one) < 4
    assert apart(run, out, other, one) > 30
    rows = table(tmp_path / "i.csv", *({"parent": one.id, "second": two.id, "share": s} for s in (0, 0.5, 1)))
    out = tmp_path / "i"
    first, between, second = make(run, out, table=rows, plan=EditPlan(edit="interpolate"), **settings)
    assert apart(run, out, first, one) < 4
    assert apart(run, out, second, two) < 4
    assert min(apart(run, out, between, one), apart(run, out, between, two)) > 8
    assert (first.condition, second.condition) == (one.attributes, two.attributes)
    assert first.parents == second.parents == (one.sha256, two.sha256)


def test_attributes_of_the_parent_hold_where_the_row_says_nothing(trained, train_ids, tmp_path):
    run = trained("joint")
    known = {case.id: case.attributes["class"] for case in cases_of(run.parent / "cases")}
    name = train_ids[0]
    other = {"a": "b", "b": "a"}[known[name]]
    rows = table(tmp_path / "t.csv", {"parent": name}, {"parent": name, "class": other})
    settings = {"parents": run.parent / "cases", "plan": EditPlan(edit="variations")}
    records = make(run, tmp_path / "out", table=rows, **settings)
    assert [record.condition["class"] for record in records] == [known[name], other]
    record = make(run, tmp_path / "all", count=1, condition={"class": other}, **settings)[0]
    assert record.condition["class"] == other


@pytest.mark.parametrize("edit", ["variations", "interpolate"])
def test_on_the_way_up_a_scan_is_what_it_is(trained, train_ids, edit):
    """Asked to become another class it still comes from the noise of its own."""
    run = trained("joint")
    maker = maker_of(run, run.parent / "cases", EditPlan(edit=edit))
    one, two = train_ids[:2]
    known = {name: dict(record.attributes) for name, record in maker.parents.records.items()}
    row = Row(0, 0, 0, {"class": "a"}, {"parent": one, "second": two}, 0.5, 0.5, 0.5)
    edited = maker._edit([row])
    assert [dict(each.attributes) for each in edited.asked] == [known[one]]
    if edit == "interpolate":
        assert [dict(each.attributes) for each in edited.second_asked] == [known[two]]
    row = replace(row, condition={"class": "b"})
    assert [dict(each.attributes) for each in maker._edit([row]).asked] == [known[one]]


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("joint", {"plan": inpaint(labels=("liver",))}, "case case000: .*no label liver; there are background, ball"),
        ("joint", {"plan": inpaint()}, "plan.mask names nothing"),
        ("joint", {"plan": inpaint("remove", slab=(0, 1, 2))}, "plan.label=remove"),
        ("joint", {"plan": inpaint(slab=(2, 3, 9))}, "case case000: indices 3 to 9 along axis 2.*within 0 to 7"),
        ("joint", {"plan": EditPlan(edit="variations", mask=MaskPlan(labels=("ball",)))}, "plan.mask is of"),
        ("joint", {"plan": EditPlan(take=("label",))}, "plan.take: the run is not told label"),
        ("joint", {"plan": EditPlan(take=("style",))}, "plan.take: the run is not told style"),
        ("joint", {"plan": EditPlan()}, "nothing is made from them"),
        ("joint", {"plan": EditPlan(edit="variations"), "parents": None}, "set parents=CASES"),
        ("slices", {"plan": EditPlan(edit="variations")}, "the run makes slices"),
        (
            "coarse",
            {"plan": EditPlan(edit="variations"), "sampler": SamplingPlan(steps=2, guidance=2)},
            "no conditions",
        ),
        (
            "joint",
            {"plan": EditPlan(edit="variations"), "sampler": SamplingPlan(name="dpmpp_2m_sde", steps=2)},
            "sampler=dpmpp_2m_sde adds other",
        ),
        (
            "joint",
            {
                "plan": EditPlan(edit="interpolate"),
                "sampler": SamplingPlan(name="heun", steps=2, options={"churn": 5.0}),
            },
            "sampler=heun adds other",
        ),
    ],
)
def test_what_no_edit_can_do_is_one_clear_line(trained, tmp_path, kind, settings, says):
    run = trained(kind)
    with pytest.raises(MedsynthError, match=says) as error:
        make(run, tmp_path / "out", **{"parents": run.parent / "cases", "count": 1, **settings})
    assert "\n" not in str(error.value)


def test_scans_of_different_grids_give_one_contact_sheet(trained, make_cases, tmp_path):
    small = make_cases(tmp_path / "cases", patients=1, shape=(8, 10, 9), units="arbitrary")
    big = make_cases(tmp_path / "more", patients=2, shape=(20, 14, 12), units="arbitrary")
    one, two = cases_of(small)[0], cases_of(big)[1]
    for channel in two.channels.values():
        shutil.copy(big / channel.path, small / channel.path)
    write_records(small / "cases.jsonl", [one, two])
    out = tmp_path / "out"
    records = make(trained("coarse"), out, parents=small, count=2, plan=inpaint(box=((4, 5, 4), (6, 7, 5))))
    assert [record.geometry.shape for record in records] == [(8, 10, 9), (20, 14, 12)]
    assert (out / "contact_sheet.png").stat().st_size > 1000


def test_an_edited_picture_lies_where_its_parent_does(trained, tmp_path):
    run = trained("pictures")
    record = make(run, tmp_path / "out", parents=run.parent / "cases", count=1, plan=EditPlan(edit="variations"))[0]
    assert isinstance(record.geometry, Geometry)
    assert record.geometry.is_close(cases_of(run.parent / "cases")[0].geometry, 1e-4)
    assert not [path for path in Path(tmp_path / "out").rglob("*case0*")]
