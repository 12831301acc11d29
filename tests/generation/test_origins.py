"""What has a parent says whose it is: patient, split, clearance, licences."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medsynth.data.nifti import read_nifti
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import evaluate
from medsynth.files import write_json
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan
from medsynth.records import CaseRecord, SampleRecord, read_records
from tests.generation.edited import cases_of, inpaint, make, table


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
    cases = make_cases(tmp_path / "cases", patients=3)
    identity = ("cleared", "unknown", "cleared")  # the last one's word alone: identity.json does not list it
    rewritten(
        cases,
        record=lambda number, r: replace(
            r, identity=identity[number], licence=f"L{number}", split=("test", "train", "train")[number]
        ),
    )
    first = read_records(cases / "cases.jsonl", CaseRecord)[0]
    write_json(cases / "identity.json", {"schema": "medsynth.clearance/1", "content": [first.sha256]})
    records = make(run, tmp_path / "out", parents=cases, count=3, plan=EditPlan(edit="image_to_image"))
    assert [record.identity for record in records] == ["trusted", "unknown", "unknown"]  # the run's, the parents'
    assert [record.licences for record in records] == [("L0",), ("L1",), ("L2",)]
    assert [record.split for record in records] == ["test", "train", "train"]
    assert records[1].overrides == ("identity=trust", "identity=unknown", "uncleared=i_accept")
    assert records[2].overrides == records[1].overrides
    assert records[0].overrides == ("identity=trust", "uncleared=i_accept")


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


def test_derived_samples_are_evaluated_or_refused(trained, varied, make_cases, tmp_path):
    cases = trained("joint").parent / "cases"
    evaluate(varied, cases, tmp_path / "evaluation", splits=20, permutations=9, progress=False)
    assert (tmp_path / "evaluation" / "evaluation.json").is_file()
    other = make_cases(tmp_path / "cases", patients=1, shape=(8, 8, 9))
    make(trained("joint"), tmp_path / "out", parents=other, count=1, plan=inpaint(slab=(2, 4, 5)))
    with pytest.raises(MedsynthError, match=r"s000000 has \(8, 8, 9\) voxels"):
        evaluate(tmp_path / "out", cases, tmp_path / "refused", progress=False)
