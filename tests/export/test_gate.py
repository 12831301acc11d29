"""What goes out and what does not: no audit, an audit of something else, flagged and unknown samples."""

import json

import pydicom
import pytest

from medsynth.errors import MedsynthError
from medsynth.export.gate import cleared
from medsynth.export.run import export
from medsynth.files import sha256_file, sha256_json, write_json
from medsynth.identity.export_names import EXPORT_FILE
from medsynth.records import SampleRecord, read_records
from tests.export.checks import files
from tests.export.conftest import place


@pytest.fixture
def samples(make_samples, tmp_path):
    return make_samples(tmp_path / "samples", place("axial", (4, 3, 2)), count=4)


def audited(folder_of_samples, folder, verdicts, overrides=(), **changes):
    """An audit as `medsynth audit` writes it (docs/reference/audit.md)."""
    records = read_records(folder_of_samples / "samples.jsonl", SampleRecord)
    content = {
        "schema": "medsynth.audit/1",
        "verdict": "fail" if "fail" in verdicts else "pass",
        "reasons": [],
        "overrides": list(overrides),
        "inputs": {"samples_sha256": sha256_file(folder_of_samples / "samples.jsonl")},
        "samples": [
            {"id": record.id, "sha256": record.sha256, "verdict": verdict, "reason": ""}
            for record, verdict in zip(records, verdicts, strict=True)
        ],
        **changes,
    }
    write_json(folder / "audit.json", {**content, "sha256": sha256_json(content)})
    return folder


def test_what_no_audit_covers_is_refused(samples, tmp_path):
    with pytest.raises(MedsynthError, match="no audit covers these samples: give audit=AUDIT"):
        export(samples, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_flagged_samples_stay_and_are_counted(samples, tmp_path):
    audit = audited(samples, tmp_path / "audit", ["pass", "fail", "pass", "fail"], ["presumed=i_accept"])
    report = export(samples, tmp_path / "out", audit=audit, progress=False)
    assert (report.studies, report.flagged, report.unaudited) == (2, 2, 0)
    assert "2 samples left out: the audit flagged them" in report.summary
    assert sorted(path.name for path in (tmp_path / "out" / "dicom").iterdir()) == ["s000000", "s000002"]
    assert json.loads((tmp_path / "out" / EXPORT_FILE).read_text())["flagged"] == ["s000001", "s000003"]
    for path in files(tmp_path / "out"):
        said = pydicom.dcmread(path).ImageComments
        assert "Audit: this sample passed" in said
        assert "Override: presumed=i_accept." in said


def test_what_is_unknown_is_not_a_pass(samples, tmp_path):
    audit = audited(samples, tmp_path / "audit", ["pass", "cannot-assess", "pass", "fail"])
    with pytest.raises(MedsynthError, match="does not pass 1 of 4 samples"):
        export(samples, tmp_path / "out", audit=audit, progress=False)
    report = export(samples, tmp_path / "out", audit=audit, unaudited="i_accept", progress=False)
    assert (report.studies, report.flagged, report.unaudited) == (3, 1, 1)
    for path in files(tmp_path / "out"):
        said = pydicom.dcmread(path).ImageComments
        assert ("COULD NOT ASSESS" in said) == ("unaudited=i_accept" in said) == ("s000001" in path.parts)


def test_flagged_samples_stay_whatever_is_accepted(samples, tmp_path):
    audit = audited(samples, tmp_path / "audit", ["fail"] * 4)
    with pytest.raises(MedsynthError, match="flagged all 4 samples"):
        export(samples, tmp_path / "out", audit=audit, unaudited="i_accept", progress=False)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "holds no audit.json"),
        ("text", "cannot be read"),
        ("schema", "another version"),
        ("altered", "was altered"),
        ("other", "of other samples"),
        ("short", "does not say what was found"),
        ("verdict", "does not say what was found"),
    ],
)
@pytest.mark.parametrize("unaudited", [None, "i_accept"])
def test_an_audit_that_is_none_is_refused(samples, tmp_path, damage, said, unaudited):
    changes = {
        "schema": {"schema": "medsynth.audit/0"},
        "other": {"inputs": {"samples_sha256": "0" * 64}},
        "short": {"samples": [{"id": "s000000"}]},
        "verdict": {"samples": [{"id": "s000000", "sha256": "0" * 64, "verdict": "fine", "reason": ""}]},
    }
    audit = audited(samples, tmp_path / "audit", ["pass"] * 4, **changes.get(damage, {}))
    path = audit / "audit.json"
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text(path.read_text()[:50])
    elif damage == "altered":
        path.write_text(path.read_text().replace('"pass"', '"fail"', 1))
    records = read_records(samples / "samples.jsonl", SampleRecord)
    with pytest.raises(MedsynthError, match=said):
        cleared(samples, records, audit, unaudited)


def test_a_sample_that_the_audit_did_not_see_is_no_pass(samples, tmp_path):
    records = read_records(samples / "samples.jsonl", SampleRecord)
    seen = [{"id": record.id, "sha256": "0" * 64, "verdict": "pass", "reason": ""} for record in records]
    audit = audited(samples, tmp_path / "audit", ["pass"] * 4, samples=seen)
    for unaudited in (None, "i_accept"):
        with pytest.raises(MedsynthError, match="sample s000000 is not as it was audited"):
            cleared(samples, records, audit, unaudited)


def test_changed_bytes_do_not_go_out(samples, tmp_path):
    audit = audited(samples, tmp_path / "audit", ["pass"] * 4)
    path = samples / "volumes" / "000002_image.nii.gz"
    path.write_bytes((samples / "volumes" / "000001_image.nii.gz").read_bytes())
    with pytest.raises(MedsynthError, match="sample s000002: channel image was changed"):
        export(samples, tmp_path / "out", audit=audit, progress=False)


@pytest.mark.parametrize("word", ["yes", "true", ""])
def test_only_the_one_word_accepts(samples, tmp_path, word):
    with pytest.raises(MedsynthError, match="unaudited is i_accept or null"):
        export(samples, tmp_path / "out", unaudited=word, progress=False)
