"""What is taken of a scan that has nothing else: no image of the kind that is made."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medsynth.data.nifti import read_nifti, read_stored, write_stored
from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.generation.parents import Parents, _patient
from medsynth.generation.plan import EditPlan, MaskPlan, Row
from medsynth.records import CaseRecord, read_records
from tests.generation.edited import make, maker_of, table

TOLD = EditPlan(take=("label",))


def without(name):
    return lambda _, record: replace(record, channels={n: c for n, c in record.channels.items() if n != name})


def test_a_label_map_alone_becomes_the_scan_that_it_would_with_its_image(trained, tmp_path, rewritten):
    run = trained("told")
    maps = rewritten(shutil.copytree(run.parent / "cases", tmp_path / "maps"), record=without("image"))
    alone = make(run, tmp_path / "alone", parents=maps, count=2, plan=TOLD)
    beside = make(run, tmp_path / "beside", parents=run.parent / "cases", count=2, plan=TOLD)
    for one, other in zip(alone, beside, strict=True):
        assert one.geometry.is_close(other.geometry, 1e-6)
        assert one.patient == other.patient
        for name in ("image", "label"):
            a, b = (
                read_nifti(folder / r.channels[name].path).array
                for folder, r in ((tmp_path / "alone", one), (tmp_path / "beside", other))
            )
            assert np.array_equal(a, b)


def test_what_is_edited_or_looked_like_has_to_be_there(trained, tmp_path, rewritten):
    run = trained("told")
    maps = rewritten(shutil.copytree(run.parent / "cases", tmp_path / "maps"), record=without("image"))
    for plan in (EditPlan(take=("style",)), EditPlan(edit="variations")):
        with pytest.raises(MedsynthError, match="case case000 has no channel image; it has label"):
            make(run, tmp_path / "out", parents=maps, count=2, plan=plan)
    other = rewritten(maps, record=lambda _, r: replace(r, channels={"mask": r.channels["label"]}))
    with pytest.raises(MedsynthError, match="case case000 has no channel of this run; it has mask"):
        make(run, tmp_path / "out", parents=other, count=2, plan=TOLD)


def test_a_look_needs_no_label_map(trained, tmp_path, rewritten):
    """Of a run that makes label maps."""
    run = trained("joint")
    images = rewritten(
        shutil.copytree(run.parent / "cases", tmp_path / "images"),
        record=lambda _, r: replace(without("label")(_, r), labels={}),
    )
    preparation = Preparation.read(run)
    bare, whole = (Parents(f, preparation, preparation.layout) for f in (images, run.parent / "cases"))
    assert torch.equal(bare.look("case000"), whole.prepared("case000").x[:1])
    with pytest.raises(MedsynthError, match="case case000 has no channel label; it has image"):
        bare.prepared("case000")


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


# what a parent has to share with the run


def relabelled(value, name):
    return lambda _, record: replace(record, labels={value: name})


@pytest.mark.parametrize(
    ("kind", "settings", "record", "says"),
    [
        ("joint", {"units": "arbitrary"}, None, "its image is in arbitrary, the run's in HU"),
        ("joint", {}, relabelled(1, "tumour"), "its label map names a value otherwise than the run's"),
        ("joint", {"affine": np.diag([-1.0, 1, 1, 1])}, None, "its axes run LAS, the run's RAS"),
        ("joint", {"shape": (12, 12), "affine": np.diag([0.5, 0.5, 1, 1])}, None, "a scan of 2 axes, the run makes 3"),
    ],
)
def test_scans_whose_numbers_mean_something_else_are_refused(
    trained, make_cases, rewritten, tmp_path, kind, settings, record, says
):
    run = trained(kind)
    cases = make_cases(tmp_path / "cases", patients=1, **{"affine": np.eye(4), **settings})
    if record is not None:
        rewritten(cases, record=record)
    with pytest.raises(MedsynthError, match=f"case case000: {says}") as error:
        make(run, tmp_path / "out", parents=cases, count=1, plan=EditPlan(edit="variations"))
    assert "tumour" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_label_map_that_the_image_was_not_told_of_is_not_written_beside_it(trained, tmp_path):
    run = trained("told")
    cases = run.parent / "cases"
    region = {"edit": "inpaint", "label": "keep", "returns": 0, "mask": MaskPlan(slab=(2, 2, 4))}
    (told,) = make(run, tmp_path / "told", parents=cases, count=1, plan=EditPlan(take=("label",), **region))
    (free,) = make(run, tmp_path / "free", parents=cases, count=1, plan=EditPlan(**region))
    assert set(told.channels) == {"image", "label"}
    assert set(free.channels) == {"image"}
    rows = table(tmp_path / "t.csv", {"parent": "case000", "label": "case001"})
    with pytest.raises(MedsynthError, match=r"case case000: .* another one's label does not fit it"):
        make(run, tmp_path / "other", parents=cases, count=None, table=rows, plan=EditPlan(**region))


def test_on_the_way_up_a_scan_is_told_of_itself_alone(trained):
    run = trained("told")
    maker = maker_of(run, run.parent / "cases", EditPlan(edit="variations", take=("label", "style")))
    row = Row(0, 0, 0, {}, {"parent": "case000", "label": "case001", "style": "case001"}, 0.5, 0.5, 0.5)
    own, other = (maker._as_it_is(row, name) for name in ("case000", "case001"))
    alone = maker.asked(replace(row, parents=dict.fromkeys(row.parents, "case000")), "case000")
    assert torch.equal(own.given.channels, alone.given.channels)
    assert torch.equal(own.style, alone.style)
    assert not torch.equal(own.style, other.style)


@pytest.mark.parametrize("edit", ["inpaint", "thin_slices"])
def test_a_file_that_was_changed_is_no_parent(trained, make_cases, tmp_path, edit):
    affine = np.diag([1.0, 1.5, 10.0, 1]) if edit == "thin_slices" else np.diag([1.0, 1.5, 2.5, 1])
    cases = make_cases(tmp_path / "cases", patients=1, shape=(8, 8, 3 if edit == "thin_slices" else 8), affine=affine)
    (record,) = read_records(cases / "cases.jsonl", CaseRecord)
    path = cases / record.channels["image"].path
    stored = read_stored(path)
    write_stored(path, stored._replace(array=stored.array + 1))
    plan = {"inpaint": {"mask": MaskPlan(slab=(2, 2, 4))}, "thin_slices": {"factor": 4}}[edit]
    with pytest.raises(MedsynthError, match="case case000: channel image is missing or was changed since ingest"):
        make(trained("joint"), tmp_path / "out", parents=cases, count=1, plan=EditPlan(edit=edit, **plan))


def test_what_can_be_seen_in_the_records_is_refused_before_anything_is_written(trained, tmp_path):
    run = trained("joint")
    for plan, says in (
        ({"mask": MaskPlan(slab=(2, 0, 99))}, "case case000: indices 0 to 99 along axis 2"),
        ({"mask": MaskPlan(slab=(3, 0, 1))}, "case case000: a slab lies along axis 0 to 2, not 3"),
        ({"mask": MaskPlan(box=((0, 0), (2, 2)))}, "case case000: a box has a low and a high corner of 3"),
        ({"mask": MaskPlan(slab=(2, 0, 1), grow=3)}, "plan.mask.grow is around plan.mask.labels"),
    ):
        with pytest.raises(MedsynthError, match=says):
            make(run, tmp_path / "out", parents=run.parent / "cases", count=1, plan=EditPlan(edit="inpaint", **plan))
        assert not (tmp_path / "out").exists()
    with pytest.raises(MedsynthError, match=r"plan\.split chooses among parents: set parents"):
        make(run, tmp_path / "out", count=1, plan=EditPlan(split="test"))


def test_keys_of_several_patients_are_whole_and_in_one_order():
    def record(*patients):
        return SimpleNamespace(patient=".".join(patients), sha256="0" * 64)

    keys = [f"p{number:016d}" for number in range(6)]
    assert _patient([record(keys[1]), record(keys[0])]) == f"{keys[0]}.{keys[1]}"
    assert _patient([record(keys[1], keys[0]), record(keys[2])]) == ".".join(keys[:3])
    assert _patient([record(keys[0], keys[1]), record(keys[1])]) == f"{keys[0]}.{keys[1]}"
    many = _patient([record(key) for key in keys])
    assert many == _patient([record(key) for key in reversed(keys)])
    assert many != _patient([record(key) for key in keys[1:]])
    assert len(many) <= 64


def test_a_given_label_that_the_run_does_not_know_is_refused(trained, make_cases, rewritten, tmp_path):
    """It would become background, without a word."""
    run = trained("told")
    cases = make_cases(tmp_path / "cases", patients=1, units="arbitrary")
    (record,) = read_records(cases / "cases.jsonl", CaseRecord)
    label = read_nifti(cases / record.channels["label"].path).array
    image = read_nifti(cases / record.channels["image"].path).array
    arrays = {"image": image, "label": (label * 2).astype(np.uint8)}
    rewritten(cases, record=lambda _, r: replace(r, labels={2: "lesion"}), array=lambda _, name: arrays[name])
    with pytest.raises(MedsynthError, match="case case000: its label has values that the run was not trained with"):
        make(run, tmp_path / "out", parents=cases, count=1, plan=TOLD)
