"""Edits from a trained run to files: what stays keeps its bits and its place, what is told is told."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from medsynth.data.nifti import Stored, read_nifti, read_stored, write_stored
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import evaluate
from medsynth.files import sha256_file
from medsynth.generation import run as generation
from medsynth.generation.inpainting import Inpainting
from medsynth.generation.making import Maker
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan, MaskPlan, Row
from medsynth.generation.run import generate
from medsynth.generation.thin_slices import ThinSlices
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Conditioner
from medsynth.models.layout import ImageChannel, Layout
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records, write_records
from tests.conftest import oblique_affine

SHORT = SamplingPlan(steps=3)
THERE_AND_BACK = SamplingPlan(name="heun", steps=24)
FLIPPED = oblique_affine() @ np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]])


def make(run, out, **settings):
    generate(run, out, **{"sampler": SHORT, "progress": False, "device": "cpu", **settings})
    return read_records(out / "samples.jsonl", SampleRecord)


def cases_of(folder):
    return read_records(folder / "cases.jsonl", CaseRecord)


def bits(folder, record, name):
    return read_stored(folder / record.channels[name].path)


def table(path, *rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def inpaint(label="new", **mask):
    return EditPlan(edit="inpaint", label=label, returns=1, mask=MaskPlan(**mask))


# inpaint: outside the bits, inside something new


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.uint8])
@pytest.mark.parametrize("affine", [oblique_affine(), FLIPPED, np.diag([0.8, 1.1, 3.0, 1])])
def test_outside_of_the_mask_every_stored_bit_stays(trained, make_cases, rewritten, tmp_path, kind, affine):
    """On another grid than the model's: larger, of other spacing, oblique, flipped."""
    shape = (22, 20, 14)
    cases = make_cases(tmp_path / "cases", patients=2, shape=shape, affine=affine, units="arbitrary")
    rng = np.random.default_rng(1)
    noise = {np.int16: rng.integers(-500, 900, shape), np.uint8: rng.integers(0, 255, shape)}
    image = np.asarray(noise.get(kind, rng.normal(3, 7, shape)), kind)
    label, mask = rng.integers(0, 2, shape).astype(np.uint8), np.zeros(shape, bool)
    mask[9:13, 8:12, 5:8] = True
    rewritten(cases, array=lambda _, name: image if name == "image" else label)
    middle = ((9, 8, 5), (12, 11, 7))
    records = make(trained("coarse"), tmp_path / "out", parents=cases, count=2, plan=inpaint(box=middle))
    for record, case in zip(records, cases_of(cases), strict=True):
        before, after = bits(cases, case, "image"), bits(tmp_path / "out", record, "image")
        assert after.array.dtype == before.array.dtype == kind
        assert after.array.tobytes() != before.array.tobytes()
        assert np.array_equal(after.array[~mask].view(np.uint8), before.array[~mask].view(np.uint8))
        assert (after.array[mask] != before.array[mask]).mean() > 0.5
        assert np.array_equal(after.geometry.affine, before.geometry.affine)
        assert record.geometry.is_close(case.geometry, 1e-4)
        map_before, map_after = (bits(*at, "label").array for at in ((cases, case), (tmp_path / "out", record)))
        assert np.array_equal(map_after[~mask], map_before[~mask])


def test_a_scan_that_its_header_scales_keeps_bits_and_scale(trained, make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", patients=1)
    record = cases_of(cases)[0]
    path = cases / record.channels["image"].path
    old = read_stored(path)
    write_stored(path, Stored(old.array, 0.5, -20.0, old.geometry))
    channel = replace(record.channels["image"], sha256=sha256_file(path))
    write_records(cases / "cases.jsonl", [replace(record, channels={**record.channels, "image": channel})])
    made = make(trained("joint"), tmp_path / "out", parents=cases, count=1, plan=inpaint(slab=(2, 3, 4)))[0]
    after = bits(tmp_path / "out", made, "image")
    assert (after.slope, after.intercept) == (0.5, -20.0)
    assert np.array_equal(np.delete(after.array, (3, 4), 2), np.delete(old.array, (3, 4), 2))
    values = read_nifti(tmp_path / "out" / made.channels["image"].path).array[..., 3:5]
    assert values.min() >= -50
    assert values.max() <= 250


def test_a_picture_is_inpainted_to_the_bit(trained, tmp_path):
    run = trained("pictures")
    cases = run.parent / "cases"
    made = make(run, tmp_path / "out", parents=cases, count=3, plan=inpaint(box=((3, 4), (6, 8))))
    for record, case in zip(made, cases_of(cases), strict=False):
        before, after = bits(cases, case, "image").array, bits(tmp_path / "out", record, "image").array
        assert after.shape == (12, 12)
        changed = after != before
        assert changed[3:7, 4:9].mean() > 0.5
        changed[3:7, 4:9] = False
        assert not changed.any()
        assert record.condition == case.attributes


@pytest.mark.parametrize("kind", ["joint", "pictures"])
def test_what_becomes_of_the_label_map(trained, rewritten, tmp_path, kind):
    """A lesion of the case in the map: made anew inside alone, kept, or given over to the nearest other label."""
    run = trained(kind)
    cases = shutil.copytree(run.parent / "cases", tmp_path / "cases")
    shape = cases_of(cases)[0].geometry.shape
    label = np.zeros(shape, np.uint8)
    label[2:6, 2:6] = 1
    rewritten(cases, array=lambda number, name: label if name == "label" else np.full(shape, 60 + number, np.int16))
    found = {}
    for what in ("new", "keep", "remove"):
        out = tmp_path / what
        record = make(run, out, parents=cases, count=1, plan=inpaint(what, labels=("ball",), grow=0.5))[0]
        found[what] = bits(out, record, "label").array
        image = bits(out, record, "image").array
        assert (image[label > 0] != 60).mean() > 0.5
        assert (image[0] == 60).all()
        assert dict(record.labels) == {0: "background", 1: "ball"}
    assert np.array_equal(found["keep"], label)
    assert (found["remove"] == 0).all()
    assert not np.array_equal(found["new"], label)
    assert np.array_equal(found["new"][0], label[0])


def test_a_removed_label_gives_way_to_the_nearest_in_mm():
    """What is nearer in voxels is farther in millimetres."""
    above = np.zeros((5, 5, 3), np.uint8)
    above[:, :, 0], above[1:4, 1:4, 1], above[..., 2] = 1, 2, 1
    assert Inpainting._without(above, Geometry(above.shape, np.diag([1, 1, 5.0, 1])), [2])[2, 2, 1] == 0
    assert Inpainting._without(above, Geometry(above.shape, np.diag([5, 5, 1.0, 1])), [2])[2, 2, 1] == 1
    with pytest.raises(MedsynthError, match="nothing but the labels"):
        Inpainting._without(np.full((2, 2), 3), Geometry.centred((2, 2), (1, 1)), [3])


@pytest.mark.parametrize(("what", "known"), [("keep", 1), ("remove", 0)])
def test_a_run_that_makes_the_label_map_knows_the_edited_one(trained, what, known):
    run = trained("joint")
    parents = maker_of(run, run.parent / "cases", EditPlan(edit="variations")).parents
    model = load_run(run, device="cpu").model
    edit = Inpainting(model, parents, inpaint(what, labels=("ball",)), ["case000"]).edit()
    assert model.layout.label.decode(edit.known[0, 1:]).max() == known
    assert not edit.mask[0, 1:].any()
    assert edit.mask[0, 0].any()


def test_a_run_that_is_given_the_label_map_is_told_the_edited_one(trained, tmp_path):
    run = trained("told")
    cases = run.parent / "cases"
    for what, told in (("remove", 0), ("keep", 1)):
        plan = replace(inpaint(what, labels=("ball",)), take=("label",))
        maker = maker_of(run, cases, plan)
        seen = []
        maker.model.network.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs))
        rows = generation._rows(maker, None, 1, 0, {})
        ((_, asked, made),) = maker.make(rows, lambda _: None)
        label = maker.model.layout.given.label
        assert label.decode(asked.given.channels[maker.model.layout.given.parts["label"]]).max() == told
        assert made.label.max() == told
        assert asked.given.present.tolist() == [True]


def maker_of(run, parents, plan, sampling=SHORT):
    model, preparation = load_run(run, device="cpu").model, Preparation.read(run)
    found = Parents(parents, preparation, model.layout)
    return Maker(model, None, preparation, sampling, plan, found)


# own intensity


@pytest.mark.parametrize("edit", ["inpaint", "image_to_image", "variations"])
def test_an_edited_scan_has_its_own_range(trained, make_cases, rewritten, tmp_path, edit):
    """Two scans of the same scene, one a hundred times the other and far off."""
    run = trained("coarse")
    cases = make_cases(tmp_path / "cases", patients=2, shape=(12, 12, 12), affine=np.diag([1.5, 1.5, 2, 1]))
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


# records


@pytest.fixture(scope="module")
def varied(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("varied") / "out"
    run = trained("joint")
    make(run, out, parents=run.parent / "cases", count=6, plan=EditPlan(edit="variations"))
    return out


def test_a_sample_with_a_parent_says_whose_it_is(trained, varied):
    run = trained("joint")
    cases = cases_of(run.parent / "cases")
    splits = split_patients(cases, Preparation.read(run).split)
    assert set(splits.values()) == {"train", "validation", "test"}
    for record, case in zip(read_records(varied / "samples.jsonl", SampleRecord), cases, strict=True):
        assert record.parents == (case.sha256,)
        assert record.patient == case.patient
        assert record.split == splits[case.patient]
        assert record.condition == case.attributes
        for channel in record.channels.values():
            assert b"in part" in bytes(nib.load(varied / channel.path).header["descrip"])


def test_clearance_licences_and_overrides_come_from_the_parent(trained, make_cases, rewritten, tmp_path):
    run = trained("joint")
    cases = make_cases(tmp_path / "cases", patients=2)
    identity = ("cleared", "unknown")
    rewritten(
        cases,
        record=lambda number, r: replace(
            r, identity=identity[number], licence=f"L{number}", split=("test", "train")[number]
        ),
    )
    records = make(run, tmp_path / "out", parents=cases, count=2, plan=EditPlan(edit="image_to_image"))
    assert [record.identity for record in records] == ["trusted", "unknown"]  # the run's, the parent's
    assert [record.licences for record in records] == [("L0",), ("L1",)]
    assert [record.split for record in records] == ["test", "train"]
    assert records[1].overrides == ("identity=trust", "identity=unknown")
    assert records[0].overrides == ("identity=trust",)


def test_the_runs_split_goes_before_the_sources(trained, tmp_path, rewritten):
    """Where the source names no validation the run draws it from what is named for training."""
    run = shutil.copytree(trained("joint"), tmp_path / "run")
    cases = shutil.copytree(trained("joint").parent / "cases", tmp_path / "cases")
    rewritten(cases, record=lambda number, r: replace(r, split="test" if number == 0 else "train"))
    preparation = replace(Preparation.read(run), cases_sha256=cases_digest(cases_of(cases)))
    splits = split_patients(cases_of(cases), preparation.split)
    found = Parents(cases, preparation, preparation.layout)
    assert {r.patient: found.split_of(r) for r in found.records.values()} == splits
    assert "validation" in splits.values()


def test_parents_of_two_splits_are_refused_and_pairs_are_of_one(trained, tmp_path):
    run = trained("joint")
    cases = cases_of(run.parent / "cases")
    splits = split_patients(cases, Preparation.read(run).split)
    by = {name: [c.id for c in cases if splits[c.patient] == name] for name in ("train", "test")}
    rows = table(tmp_path / "t.csv", {"parent": by["train"][0], "second": by["test"][0]})
    plan = EditPlan(edit="interpolate")
    with pytest.raises(MedsynthError, match="of different splits"):
        make(run, tmp_path / "out", parents=run.parent / "cases", table=rows, plan=plan)
    assert not (tmp_path / "out").exists()
    records = make(run, tmp_path / "pairs", parents=run.parent / "cases", count=8, plan=plan)
    hashes = {case.sha256: splits[case.patient] for case in cases}
    assert all(len({hashes[parent] for parent in record.parents}) == 1 for record in records)
    assert all(len(record.parents) == 2 and record.split == "train" for record in records)
    both = cases[[c.id for c in cases].index(by["train"][0])].patient, records[0].patient
    assert both[0] in both[1].split(".")


def test_a_table_keeps_to_the_plans_split(trained, tmp_path):
    run = trained("joint")
    cases = cases_of(run.parent / "cases")
    splits = split_patients(cases, Preparation.read(run).split)
    train = next(c.id for c in cases if splits[c.patient] == "train")
    rows = table(tmp_path / "t.csv", {"parent": train})
    with pytest.raises(MedsynthError, match=f"plan.split=test, and {train} is of train; set plan.split=null"):
        make(
            run,
            tmp_path / "out",
            parents=run.parent / "cases",
            table=rows,
            plan=EditPlan(edit="variations", split="test"),
        )


def test_a_sample_as_parent_stays_derived(trained, tmp_path):
    run = trained("joint")
    free = make(run, tmp_path / "free", count=2)
    assert all(not r.parents and r.patient is None and r.split is None for r in free)
    records = make(run, tmp_path / "out", parents=tmp_path / "free", count=2, plan=EditPlan(edit="image_to_image"))
    assert [record.parents for record in records] == [(r.sha256,) for r in free]
    assert len({record.patient for record in records}) == 2
    assert all(record.patient.startswith("synthetic-") and record.split is None for record in records)
    again = make(run, tmp_path / "again", parents=tmp_path / "out", count=2, plan=EditPlan(edit="image_to_image"))
    assert [record.patient for record in again] == [record.patient for record in records]
    assert [record.condition for record in again] == [record.condition for record in free]


@pytest.mark.parametrize("role", ["label", "style"])
def test_a_label_map_or_a_style_from_a_scan_makes_it_a_parent(trained, tmp_path, role):
    run = trained("told")
    cases = cases_of(run.parent / "cases")
    records = make(run, tmp_path / "out", parents=run.parent / "cases", count=3, plan=EditPlan(take=(role,)))
    assert [record.parents for record in records] == [(case.sha256,) for case in cases[:3]]
    assert [record.patient for record in records] == [case.patient for case in cases[:3]]
    assert [record.sampler["edit.roles"] for record in records] == [f"{role}=0"] * 3
    if role == "label":
        for record, case in zip(records, cases, strict=False):
            made, given = (
                read_nifti(f / r.channels["label"].path)
                for f, r in ((tmp_path / "out", record), (run.parent / "cases", case))
            )
            assert np.array_equal(made.array[:, :, 2:10], given.array)
            assert np.allclose(made.geometry.affine @ (0, 0, 2, 1), case.geometry.affine @ (0, 0, 0, 1), atol=1e-4)
    other = {"label": "style", "style": "label"}[role]
    with pytest.raises(MedsynthError, match="another run or plan"):
        make(run, tmp_path / "out", parents=run.parent / "cases", count=3, plan=EditPlan(take=(other,)))


def test_a_parent_without_the_label_map_that_is_taken_leaves_it_open(trained, tmp_path, rewritten):
    run = trained("told")
    cases = shutil.copytree(run.parent / "cases", tmp_path / "cases")
    rewritten(cases, record=lambda _, r: replace(r, channels={"image": r.channels["image"]}, labels={}))
    (record,) = make(run, tmp_path / "out", parents=cases, count=1, plan=EditPlan(take=("label",)))
    (free,) = make(run, tmp_path / "free", count=1, condition=dict(record.condition))
    assert "label" not in record.channels
    assert record.parents
    made, open_ = (
        read_nifti(tmp_path / folder / r.channels["image"].path).array
        for folder, r in (("out", record), ("free", free))
    )
    assert np.array_equal(made, open_)


# the same again


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


@pytest.fixture(scope="module")
def train_ids(trained):
    run = trained("joint")
    cases = cases_of(run.parent / "cases")
    splits = split_patients(cases, Preparation.read(run).split)
    return [case.id for case in cases if splits[case.patient] == "train"]


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


# attributes


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


# thin slices


@pytest.fixture(scope="module")
def thick(trained, make_cases, tmp_path_factory):
    """Scans of 3 thick slices, oblique; with 3 more for each they fit the run."""
    affine = oblique_affine(spacing=(1.0, 1.5, 10.0))
    return make_cases(tmp_path_factory.mktemp("thick") / "cases", patients=2, shape=(8, 8, 3), affine=affine)


def test_own_slices_stay_and_lie_where_they_lay(trained, thick, tmp_path):
    run, out = trained("joint"), tmp_path / "out"
    records = make(run, out, parents=thick, count=2, plan=EditPlan(edit="thin_slices", factor=4, returns=1))
    for record, case in zip(records, cases_of(thick), strict=True):
        before = bits(thick, case, "image")
        after = bits(out, record, "image")
        assert after.array.shape == record.geometry.shape == (8, 8, 9)
        assert after.array.dtype == before.array.dtype
        assert np.array_equal(after.array[:, :, ::4], before.array)
        between = np.delete(after.array, [0, 4, 8], 2)
        assert len(np.unique(between)) > 20
        assert np.array_equal(bits(out, record, "label").array[:, :, ::4], bits(thick, case, "label").array)
        for k in range(3):
            for corner in ((0, 0), (7, 3)):
                here = after.geometry.affine @ (*corner, 4 * k, 1)
                assert np.allclose(here, case.geometry.affine @ (*corner, k, 1), atol=1e-4)
        assert record.geometry.spacing == pytest.approx((1, 1.5, 2.5), abs=1e-4)


def test_the_sampler_knows_the_own_slices_and_nothing_between(trained, thick):
    run = trained("joint")
    plan = EditPlan(edit="thin_slices", factor=4)
    maker = maker_of(run, thick, plan)
    edit = ThinSlices(maker.model, maker.parents, plan, ["case001"]).edit()
    scan = np.clip(bits(thick, cases_of(thick)[1], "image").array / 150.0 - 2 / 3, -1, 1)
    own = range(2, 11, 4)  # 9 slices in the middle of 12
    assert np.abs(edit.known[0, 0].numpy()[:, :, own] - scan).max() < 1e-5
    assert edit.mask[0, 0].any(0).any(0).nonzero().flatten().tolist() == [3, 4, 5, 7, 8, 9]
    assert edit.mask[0, 1:].all()


def test_thin_slices_that_do_not_fit_are_refused_with_numbers(trained, thick, tmp_path):
    for kind, plan, says in (
        ("joint", EditPlan(edit="thin_slices", factor=8), "larger than the 8x8x12 voxels"),
        ("joint", EditPlan(edit="thin_slices", axis=3), "plan.axis=3 has no slices"),
        ("coarse", EditPlan(edit="thin_slices", factor=2), r"1 x 1.5 x 5 mm, and the run makes 1.5 x 1.5 x 2 mm"),
        ("pictures", EditPlan(edit="thin_slices"), "for volumes"),
        ("told", EditPlan(edit="thin_slices", take=("label",)), "plan.take: label of a scan has thick slices"),
    ):
        with pytest.raises(MedsynthError, match=says):
            make(trained(kind), tmp_path / kind, parents=thick, count=1, plan=plan)


def test_what_a_scans_geometry_tells_is_told_again_but_for_the_spacing_that_thin_slices_change(trained, thick):
    run = trained("joint")
    for edit, known in (
        ("variations", {"class": "a", "spacing_z": pytest.approx(10)}),
        ("thin_slices", {"class": "a"}),
    ):
        maker = maker_of(run, thick, EditPlan(edit=edit))
        conditioner = Conditioner(classes={"class": ("a", "b")}, numbers={"spacing_z": (5, 1)})
        maker = replace(maker, model=SimpleNamespace(conditioner=conditioner))
        row = Row(0, 0, 0, {}, {"parent": "case000"}, 0.5, 0.5, 0.5)
        assert maker.attributes(row, "case000") == known


def test_a_label_that_the_last_scan_lacks_stops_before_the_first(trained, rewritten, tmp_path):
    run = trained("joint")
    cases = shutil.copytree(run.parent / "cases", tmp_path / "cases")
    rewritten(cases, record=lambda number, r: replace(r, labels={0: "background"}) if number == 5 else r)
    with pytest.raises(MedsynthError, match=r"case case005: .*there is no label ball"):
        make(run, tmp_path / "out", parents=cases, count=6, plan=inpaint(labels=("ball",)))
    assert not (tmp_path / "out").exists()


# what is refused


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


def test_a_mask_outside_of_the_field_is_refused_with_numbers(trained, make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", patients=1, shape=(30, 8, 8), affine=np.diag([1.5, 1.5, 2, 1]))
    with pytest.raises(
        MedsynthError, match=r"case case000: 64 of the mask's 128 voxels lie outside .* 18 x 18 x 24 mm"
    ):
        make(trained("coarse"), tmp_path / "out", parents=cases, count=1, plan=inpaint(slab=(0, 8, 9)))


# after generation


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


def test_derived_samples_are_evaluated_or_refused(trained, varied, make_cases, tmp_path):
    cases = trained("joint").parent / "cases"
    evaluate(varied, cases, tmp_path / "evaluation", splits=20, permutations=9, progress=False)
    assert (tmp_path / "evaluation" / "evaluation.json").is_file()
    other = make_cases(tmp_path / "cases", patients=1, shape=(8, 8, 9))
    make(trained("joint"), tmp_path / "out", parents=other, count=1, plan=inpaint(slab=(2, 4, 5)))
    with pytest.raises(MedsynthError, match=r"s000000 has \(8, 8, 9\) voxels"):
        evaluate(tmp_path / "out", cases, tmp_path / "refused", progress=False)


def test_an_edited_picture_lies_where_its_parent_does(trained, tmp_path):
    run = trained("pictures")
    record = make(run, tmp_path / "out", parents=run.parent / "cases", count=1, plan=EditPlan(edit="variations"))[0]
    assert isinstance(record.geometry, Geometry)
    assert record.geometry.is_close(cases_of(run.parent / "cases")[0].geometry, 1e-4)
    assert not [path for path in Path(tmp_path / "out").rglob("*case0*")]
