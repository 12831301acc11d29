"""What is taken of a scan that has nothing else: no image of the kind that is made."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.nifti import read_nifti
from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan
from tests.generation.edited import make

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
