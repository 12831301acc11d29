"""From folders to audit.json: copies fail, images of nobody pass, what is unknown is neither."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medsynth.audit_record import AuditRecord
from medsynth.data.nifti import write_nifti
from medsynth.data.preparation import cases_digest
from medsynth.errors import MedsynthError
from medsynth.evidence.audit.material import read_sample
from medsynth.evidence.audit.run import audit
from medsynth.evidence.reporting.tables import audit_tables
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, SampleRecord, read_records


@pytest.fixture(scope="module")
def clean(house, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    samples = house.write(folder / "samples", house.fresh(20))
    return samples, audit(samples, house.run, house.cases, folder / "out", **house.settings)


@pytest.fixture(scope="module")
def copied(house, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copied")
    copies = [np.roll(house.training[row].images["image"], 1, axis=0) for row in (3, 8)]
    samples = house.write(folder / "samples", [*house.fresh(10), *copies])
    return samples, audit(samples, house.run, house.cases, folder / "out", **house.settings)


def test_images_of_nobody_pass(clean) -> None:
    content = clean[1].record.content
    assert (clean[1].record.verdict, clean[1].record.reasons) == ("pass", ())
    assert clean[1].exit_code == 0
    assert {sample["verdict"] for sample in content["samples"]} == {"pass"}
    assert content["copies"]["flagged"] == 0
    assert content["copies"]["controls"]["held_out_stand_ins"]["alarms"] <= 0.05
    assert content["membership"]["controls"]["remembering"]["value"] > 0.99
    assert content["membership"]["area"]["low"] < 0.7
    assert "300 would" in content["membership"]["cannot_tell"][1]
    assert "verdict: pass" in clean[1].summary
    assert not (clean[1].folder / "pairs").exists()
    assert len(list((clean[1].folder / "nearest").glob("*.png"))) == 6


def test_copies_fail_and_are_shown_beside_their_case(house, copied) -> None:
    _, found = copied
    assert found.record.verdict == "fail"
    assert found.exit_code == 1
    verdicts = {name: one.verdict for name, one in found.record.samples.items()}
    assert [name for name, verdict in verdicts.items() if verdict == "fail"] == ["s010", "s011"]
    assert set(verdicts.values()) == {"fail", "pass"}
    assert "2 of 12 samples are nearer to a training patient than chance" in found.record.reasons[0]
    lines = [json.loads(line) for line in (found.folder / "pairs.jsonl").read_text().splitlines()]
    pairs = {line["sample"]: line for line in lines if line["flagged"]}
    assert {pairs["s010"]["case"], pairs["s011"]["case"]} == {house.training[row].record.id for row in (3, 8)}
    near = [json.loads(line) for line in (found.folder / "nearest.jsonl").read_text().splitlines()]
    assert [line["sample"] for line in near] == list(verdicts)
    assert {line["sample"]: line["case"] for line in near if line["sample"] in pairs} == {
        name: pair["case"] for name, pair in pairs.items()
    }
    assert pairs["s010"]["shift"] == [1, 0]
    assert pairs["s010"]["correlation"] > 0.98
    assert sorted(path.name for path in (found.folder / "pairs").glob("*.png")) == ["s010.png", "s011.png"]


def test_a_report_tells_what_the_audit_found(copied) -> None:
    """Every field that the page reads is one that the audit writes."""
    tables = {table.title: dict(row[:2] for row in table.rows) for table in audit_tables(copied[1].record.content)}
    copies = tables["Copies"]
    assert copies["Samples flagged as copies"] == "2 of 12"
    tail = copied[1].record.content["copies"]["tail_count"]
    assert copies["Others nearer to training patients than nearly all real patients are"] == f"{tail['above']} of 10"
    assert len(copies) == 7
    assert tail["smallest_rate"] == pytest.approx(tail["least"] / 10)  # of those that are not flagged
    assert set(tables["Does the search find copies?"].values()) == {"5 of 5"}
    assert len(tables["How near samples come to training patients"]) == 3  # of pictures: whole, patches, features
    member = tables["Does the model tell who was trained on?"]
    assert "AUC of a model that remembers, which must be near 1" in member
    assert "AUC of a model that knows none of them, which must be 0.5 give or take chance" in member


def test_the_audit_names_nobody(house, copied) -> None:
    text = (copied[1].folder / "audit.json").read_text()
    for case in house.prepared:
        assert case.record.id not in text
        assert case.record.patient not in text
    assert str(house.cases) not in text


def test_a_derived_sample_is_asked_about_others_alone(house, tmp_path) -> None:
    """Its own patient's scan is no copy; another patient's is."""
    cases = [house.training[row] for row in (3, 8)]
    own = {"parents": (cases[0].record.sha256,), "patient": cases[0].record.patient, "split": "train"}
    images = [*house.fresh(8), *(case.images["image"] for case in cases)]
    samples = house.write(tmp_path / "samples", images, s008=own, s009=own)
    found = audit(samples, house.run, house.cases, tmp_path / "out", **{**house.settings, "membership": None})
    assert {name for name, one in found.record.samples.items() if one.verdict == "fail"} == {"s009"}
    assert [one["derived"] for one in found.record.content["samples"]][-3:] == [False, True, True]
    assert found.record.overrides == ("membership=null",)


def test_a_sample_of_untold_patients_cannot_be_assessed(house, tmp_path) -> None:
    own = {"parents": ("a" * 64,), "patient": "several-" + "a" * 32, "split": "train"}
    samples = house.write(tmp_path / "samples", house.fresh(10), s004=own)
    found = audit(samples, house.run, house.cases, tmp_path / "out", **{**house.settings, "membership": None})
    assert found.record.samples["s004"].verdict == "cannot-assess"
    assert found.record.verdict == "cannot-assess"
    assert found.record.samples["s003"].verdict == "pass"


def test_presumed_patients_and_an_earlier_run_are_unknown_unless_accepted(house, tmp_path) -> None:
    cases = house.write_cases(tmp_path / "cases", 80, seed=1, source="presumed")
    records = read_records(cases / "cases.jsonl", CaseRecord)
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    for name in ("run.json", "preparation.json", "weights/best.ckpt"):
        (run / name).write_bytes((house.run / name).read_bytes())
    for name in ("run.json", "preparation.json"):
        text = (run / name).read_text().replace(house.preparation.cases_sha256, cases_digest(records))
        (run / name).write_text(text.replace('"init_from": null', f'"init_from": "{"b" * 64}"'))
    samples = house.write(tmp_path / "samples", house.fresh(10))
    (samples / "preparation.json").write_bytes((run / "preparation.json").read_bytes())
    settings = {**house.settings, "membership": None}
    found = audit(samples, run, cases, tmp_path / "out", **settings)
    assert found.record.verdict == "cannot-assess"
    assert [reason.split()[0] for reason in found.record.reasons] == ["patient", "the"]
    assert {one.verdict for one in found.record.samples.values()} == {"cannot-assess"}
    taken = audit(samples, run, cases, tmp_path / "out2", presumed="i_accept", pretrained="i_accept", **settings)
    assert taken.record.verdict == "pass"
    assert taken.record.overrides == ("membership=null", "presumed=i_accept", "pretrained=i_accept")


def test_other_cases_and_too_few_patients_leave_no_verdict(house, clean, tmp_path) -> None:
    others = house.write_cases(tmp_path / "others", 80, seed=2)
    found = audit(clean[0], house.run, others, tmp_path / "out", **house.settings)
    assert found.record.verdict == "cannot-assess"
    assert "not those that the run was trained on" in found.record.reasons[0]
    bars = replace(house.settings["copies"], least_held_out=60)
    found = audit(clean[0], house.run, house.cases, tmp_path / "out2", **{**house.settings, "copies": bars})
    assert found.record.verdict == "cannot-assess"
    assert "60 of each are needed" in found.record.reasons[0]
    assert found.record.content["copies"] is None


def test_weights_that_did_not_make_the_samples_cannot_be_asked(house, tmp_path) -> None:
    samples = house.write(tmp_path / "samples", house.fresh(10), s001={"checkpoint": "c" * 64})
    found = audit(samples, house.run, house.cases, tmp_path / "out", **house.settings)
    assert found.record.verdict == "cannot-assess"
    assert "other weights" in found.record.reasons[0]


def test_samples_of_another_run_and_altered_files_are_refused(house, tmp_path) -> None:
    samples = house.write(tmp_path / "samples", house.fresh(6))
    text = (samples / "preparation.json").read_text()
    (samples / "preparation.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(MedsynthError, match="not made with this run"):
        audit(samples, house.run, house.cases, tmp_path / "out", **house.settings)
    (samples / "preparation.json").write_text(text)
    (samples / "volumes" / "002.nii.gz").write_bytes(b"")
    with pytest.raises(MedsynthError, match="sample s002: channel image was changed"):
        audit(samples, house.run, house.cases, tmp_path / "out", **house.settings)


def test_an_audit_holds_for_the_bytes_that_it_saw(house, clean, tmp_path) -> None:
    record = AuditRecord.read(clean[1].folder)
    assert {one.verdict for one in record.require(clean[0]).values()} == {"pass"}
    other = house.write(tmp_path / "samples", house.fresh(20, seed=5))
    with pytest.raises(MedsynthError, match="of other samples"):
        record.require(other)
    text = (clean[1].folder / "audit.json").read_text()
    (tmp_path / "audit.json").write_text(text.replace('"verdict": "pass"', '"verdict": "fail"', 1))
    with pytest.raises(MedsynthError, match="altered"):
        AuditRecord.read(tmp_path)
    (tmp_path / "audit.json").write_text(text[:100])
    with pytest.raises(MedsynthError, match="cut short"):
        AuditRecord.read(tmp_path)
    with pytest.raises(MedsynthError, match="medsynth audit"):
        AuditRecord.read(tmp_path / "nothing")


def test_an_edited_sample_on_another_grid_is_prepared_as_a_case_is(house, tmp_path) -> None:
    samples = house.write(tmp_path / "samples", house.fresh(2))
    large = np.pad(house.fresh(1)[0], 3, mode="edge").astype(np.float32)
    path = samples / "volumes" / "000.nii.gz"
    write_nifti(path, large, Geometry.centred((38, 38), (1.0, 1.0)))
    record = read_records(samples / "samples.jsonl", SampleRecord)[0]
    channel = replace(record.channels["image"], sha256=sha256_file(path))
    record = replace(record, channels={"image": channel}, geometry=Geometry.centred((38, 38), (1.0, 1.0)))
    assert np.allclose(read_sample(samples, record, house.preparation)[0].numpy(), large[3:-3, 3:-3], atol=1e-3)
