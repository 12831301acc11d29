"""The identity gate: what is refused, removed, blanked, allowed, and what is said of it."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError, UsageError
from medsynth.geometry import Geometry
from medsynth.identity.check import Checker, check
from medsynth.ingest.clearance import identities
from medsynth.ingest.gate import Gate, GateError
from medsynth.ingest.plan import PlannedCase, PlannedChannel
from tests.identity.clean_files import clean_dicom, save
from tests.ingest.gated import QUICK, clearance, scans, with_table
from tests.ingest.sources import all_text, cases, refusals, run


def test_scans_that_name_nobody_are_cleared(tmp_path):
    run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert [record.identity for record in cases(tmp_path / "out")] == ["cleared"] * 2
    content = clearance(tmp_path / "out")
    assert (content["identity"], content["cases"], content["findings"]) == (
        "check",
        {"cleared": 2, "trusted": 0, "unknown": 0},
        [],
    )


def test_a_named_file_refuses_its_case_and_removal_leaves_the_name_behind(tmp_path):
    source = scans(scans(tmp_path / "s"), 1, "doe_jane_19610503")
    report = run(source, tmp_path / "checked", identity="check", **QUICK)
    (refused,) = refusals(tmp_path / "checked")
    assert report.exit_code == 1
    assert "may name somebody: " in refused["reason"]
    assert "identity=remove" in refused["way_out"]
    assert {found["became"] for found in clearance(tmp_path / "checked")["findings"]} == {"refused"}
    run(source, tmp_path / "removed", identity="remove", patient_pattern="(case|doe)")
    assert [record.identity for record in cases(tmp_path / "removed")] == ["cleared"] * 3
    for out in ("checked", "removed"):
        assert "jane" not in all_text(tmp_path / out)
        assert "19610503" not in all_text(tmp_path / out)


def test_headers_of_dicom_are_checked_or_left_behind(tmp_path):
    clean = clean_dicom()
    clean.PixelData = bytes(128)
    clean.Rows = clean.Columns = 8
    for number in range(3):
        clean.ImagePositionPatient = ["0", "0", str(number * 2.5)]
        clean.SOPInstanceUID = clean.file_meta.MediaStorageSOPInstanceUID = f"2.25.20{number}"
        save(clean, tmp_path / "s" / f"{number}.dcm")
    run(tmp_path / "s", tmp_path / "out", identity="check")
    assert [record.identity for record in cases(tmp_path / "out")] == ["cleared"]
    clean.ReferringPhysicianName = "Voss^Ottilie"
    save(clean, tmp_path / "s" / "2.dcm")
    with pytest.raises(MedsynthError, match=r"none of the 1 cases can be taken .*its files may name somebody"):
        run(tmp_path / "s", tmp_path / "named", identity="check")
    assert clearance(tmp_path / "named")["counts"]["name"] == 1
    assert "(0008,0090)" in {found["place"] for found in clearance(tmp_path / "named")["findings"]}
    run(tmp_path / "s", tmp_path / "removed", identity="remove")
    assert [record.identity for record in cases(tmp_path / "removed")] == ["cleared"]
    written = b"".join(gzip.decompress(path.read_bytes()) for path in (tmp_path / "removed").rglob("*.nii.gz"))
    assert b"Voss" not in written


def test_attributes_that_may_name_somebody_are_dropped_or_refuse_the_case(tmp_path):
    table = with_table(
        tmp_path / "s", "patient,age,class,comment", "A1,61,normal,axial", "A2,93,normal,seen by Dr. Ottilie Voss"
    )
    run(table, tmp_path / "checked", identity="check", **QUICK)
    assert len(refusals(tmp_path / "checked")) == 1
    report = run(table, tmp_path / "removed", identity="remove")
    attributes = sorted((record.attributes for record in cases(tmp_path / "removed")), key=lambda one: one["age"])
    assert attributes == [{"age": 61, "class": "normal", "comment": "axial"}, {"age": 90, "class": "normal"}]
    assert {(found["kind"], found["became"]) for found in clearance(tmp_path / "removed")["findings"]} >= {
        ("name", "removed"),
        ("age", "removed"),
    }
    assert report.notes["removed: a person's name, by its element or its shape"] == 1
    assert "Ottilie" not in all_text(tmp_path / "removed")


def test_label_names_become_numbers(tmp_path):
    source = scans(tmp_path / "s", 1)
    geometry = Geometry.centred((12, 10, 8), (1.0, 1.5, 2.0), centre=(0, 0, 0))
    write_nifti(source / "labels" / "case0.nii.gz", np.ones((12, 10, 8), np.uint8), geometry)
    run(source, tmp_path / "out", identity="remove", labels={"1": "Voss^Ottilie"})
    assert cases(tmp_path / "out")[0].labels == {1: "label 1"}


def test_known_identifiers_are_searched_and_fine_texts_pass(tmp_path):
    table = with_table(tmp_path / "s", "class", "covid", "normal")
    run(table, tmp_path / "strict", identity="check", **QUICK)
    assert len(refusals(tmp_path / "strict")) == 1
    (tmp_path / "fine.txt").write_text("covid\n")
    (tmp_path / "known.txt").write_text("normal\n")
    run(
        table, tmp_path / "listed", identity="check", allow=tmp_path / "fine.txt", known=tmp_path / "known.txt", **QUICK
    )
    assert [record.attributes["class"] for record in cases(tmp_path / "listed")] == ["covid"]
    assert clearance(tmp_path / "listed")["counts"] == {"known": 1}
    assert (clearance(tmp_path / "listed")["known"], clearance(tmp_path / "listed")["allow"]) == (1, 1)


def test_a_file_of_many_volumes_is_checked_once(tmp_path, monkeypatch):
    """Else a multi-frame file takes time by the square of its volumes; one that changes is checked anew."""
    (path,) = (scans(tmp_path, 1) / "images").iterdir()
    channel = PlannedChannel(name="image", reader="dicom", paths=(path,))
    plan = PlannedCase(source="x", patient="x", patient_source="dicom", channels=(channel,))
    checked = []
    file = Checker.file
    monkeypatch.setattr(Checker, "file", lambda self, *given: checked.append(given) or file(self, *given))
    gate = Gate(identity="check", marks=bytes(31) + b"1")
    for _ in range(3):
        gate.require_clean_files(plan, tmp_path)
    assert len(checked) == 1
    path.write_bytes(path.read_bytes() + b"Ottilie Voss")
    for _ in range(2):
        with pytest.raises(GateError, match="may name somebody"):
            gate.require_clean_files(plan, tmp_path)
    assert len(checked) == 2


def test_a_key_that_is_thrown_away_leaves_no_way_back(tmp_path):
    report = run(scans(tmp_path / "s"), tmp_path / "out", key=Path("none"))
    other = run(tmp_path / "s", tmp_path / "other", key=Path("none"))
    assert report.sources is None
    assert other.sources is None
    assert {record.patient for record in cases(tmp_path / "out")}.isdisjoint(
        record.patient for record in cases(tmp_path / "other")
    )
    assert not (tmp_path / "keys").exists()
    with pytest.raises(MedsynthError, match="another key"):
        run(tmp_path / "s", tmp_path / "out", key=Path("none"))


def test_the_same_gate_goes_on_and_another_is_refused(tmp_path):
    run(scans(tmp_path / "s"), tmp_path / "out", identity="remove", **QUICK)
    assert run(tmp_path / "s", tmp_path / "out", identity="remove", **QUICK).resumed == 2
    with pytest.raises(MedsynthError, match="other settings"):
        run(tmp_path / "s", tmp_path / "out", identity="remove", faces="allow", **QUICK)


@pytest.mark.parametrize("wrong", [{"identity": "cleared"}, {"identity": "check", "text": "drop"}])
def test_values_that_are_none(wrong):
    with pytest.raises(UsageError, match=r"identity=check refuses scans|text is one of refuse, blank, allow"):
        Gate(**wrong)


def test_a_name_of_a_channel_is_in_no_reason(tmp_path, capsys):
    """What is wrong with a channel is said with its name, so the name is judged before."""
    scans(tmp_path / "s")
    geometry = Geometry.centred((6, 6, 6), (1.0, 1.5, 2.0), centre=(0, 0, 0))
    write_nifti(tmp_path / "s" / "voss_ottilie" / "case0.nii.gz", np.ones((6, 6, 6), np.float32), geometry)
    write_nifti(tmp_path / "s" / "voss_ottilie" / "case1.nii.gz", np.ones((6, 6, 6), np.float32), geometry)
    rows = "".join(f"images/case{number}.nii.gz,voss_ottilie/case{number}.nii.gz\n" for number in range(2))
    (tmp_path / "s" / "table.csv").write_text(f"image,Voss Ottilie\n{rows}")
    for number, source in enumerate((tmp_path / "s", tmp_path / "s" / "table.csv")):
        out = tmp_path / f"out{number}"
        with pytest.raises(MedsynthError, match="channels may name somebody"):
            run(source, out, identity="remove", progress=True, **QUICK)
        assert {line["way_out"] for line in refusals(out)} == {"rename the channel, or name fine texts with allow=FILE"}
        assert "ottilie" not in (all_text(out) + "".join(capsys.readouterr())).lower()


def test_long_numbers_are_numbers_with_a_point_too(tmp_path):
    """A table with an empty cell is written with 1234567.0 in the others by many tools."""
    table = with_table(tmp_path / "s", "stage", "1234567.0", "19610503.0", "1234567890123456", "-7.1e6", "2.5")
    run(table, tmp_path / "out", identity="remove")
    assert sorted(record.attributes.get("stage", 0) for record in cases(tmp_path / "out")) == [0, 0, 0, 0, 2.5]


@pytest.mark.parametrize(
    ("column", "value"), [("patient_id", "4711"), ("PatientId", "A12"), ("year_of_birth", "1961"), ("initials", "OV")]
)
def test_a_column_is_judged_by_what_it_means(tmp_path, column, value):
    """Values that name nobody by themselves."""
    run(with_table(tmp_path / "s", column, value), tmp_path / "out", identity="remove", **QUICK)
    assert cases(tmp_path / "out")[0].attributes == {}


def test_fine_texts_are_fine_in_capitals(tmp_path):
    (tmp_path / "fine.txt").write_text("COVID\n")
    table = with_table(tmp_path / "s", "class", "COVID", "covid")
    run(table, tmp_path / "out", identity="check", allow=tmp_path / "fine.txt", **QUICK)
    assert {record.attributes["class"] for record in cases(tmp_path / "out")} == {"COVID", "covid"}


def test_a_licence_that_names_somebody_is_not_written(tmp_path):
    with pytest.raises(MedsynthError, match="licence may name somebody: name 1"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="remove", licence="given by Dr. Voss", **QUICK)
    assert not (tmp_path / "out").exists()
    run(tmp_path / "s", tmp_path / "out", identity="remove", licence="CC-BY-4.0", **QUICK)


@pytest.mark.parametrize(
    ("lines", "wanted", "says"),
    [
        ("# none\n", {"identity": "remove"}, "without an identifier"),
        ("a\n", {"identity": "remove"}, "fewer than 2 letters"),
        ("Voss\n", {"identity": "trust"}, "identity=trust looks at nothing"),
        ("", {"identity": "trust", "faces": "blank"}, "identity=trust looks at nothing"),
    ],
)
def test_what_would_be_passed_over_does_not_begin(tmp_path, lines, wanted, says):
    if lines:
        (tmp_path / "known.txt").write_text(lines)
        wanted = {**wanted, "known": tmp_path / "known.txt"}
    with pytest.raises(MedsynthError, match=says):
        run(scans(tmp_path / "s"), tmp_path / "out", **wanted)
    assert not (tmp_path / "out").exists()


def test_words_of_a_dicom_header_are_not_said(tmp_path, capsys):
    clean = clean_dicom()
    clean.Rows, clean.Columns, clean.PixelData, clean.Modality = 8, 8, bytes(128), "OTTILIE"
    for number in range(4):
        clean.ImagePositionPatient = ["0", "0", str(number * 2.5)]
        clean.StackID = f"OTTILIE{number // 2}"
        clean.SOPInstanceUID = clean.file_meta.MediaStorageSOPInstanceUID = f"2.25.20{number}"
        save(clean, tmp_path / "s" / "series" / f"{number}.dcm")
    (tmp_path / "s" / "table.csv").write_text("image\nseries\n")
    run(tmp_path / "s" / "series", tmp_path / "tree", identity="remove", progress=True)
    with pytest.raises(MedsynthError, match="2 volumes in one series, told apart by stack"):
        run(tmp_path / "s" / "table.csv", tmp_path / "out", identity="remove", progress=True)
    said = "".join(capsys.readouterr()) + all_text(tmp_path / "out") + all_text(tmp_path / "tree")
    assert "no modality, CT Image" in said
    assert "OTTILIE" not in said


def test_a_folder_of_cases_is_clean_to_the_check(tmp_path):
    rows = ("A1,93,normal,seen by Dr. Ottilie Voss", "A2,61,normal,axial")
    table = with_table(scans(tmp_path / "s", 1, "doe_jane"), "patient,age,class,comment", *rows)
    (tmp_path / "s" / "images" / "case1.nii.gz").write_bytes(b"cut")
    run(table, tmp_path / "removed", identity="remove")
    (tmp_path / "s" / "table.csv").unlink()
    run(scans(tmp_path / "s"), tmp_path / "checked", identity="check", **QUICK)
    for out in ("removed", "checked"):
        assert clearance(tmp_path / out)["findings"]
        assert refusals(tmp_path / out)
        assert check(tmp_path / out, text="skip", progress=False).content["counts"] == {}
    for name, value in (("identity", "Ottilie"), ("known", 19610503.5), ("schema", "medsynth.clearance/9")):
        content = clearance(tmp_path / "removed")
        (tmp_path / "removed" / "identity.json").write_text(json.dumps({**content, name: value}))
        assert check(tmp_path / "removed", text="skip", progress=False).content["counts"] != {}


def test_a_record_is_cleared_where_identity_json_lists_it(tmp_path):
    run(scans(tmp_path / "s", 3), tmp_path / "out", identity="check", **QUICK)
    assert identities(tmp_path / "out", cases(tmp_path / "out")) == ["trusted"] * 3
    run(tmp_path / "s", tmp_path / "looked", identity="check")
    first, second, _ = records = cases(tmp_path / "looked")
    assert identities(tmp_path / "looked", records) == ["cleared"] * 3
    altered = replace(first, attributes={"name": "Ottilie"})
    assert identities(tmp_path / "looked", [second, altered]) == ["cleared", "unknown"]
    (tmp_path / "looked" / "identity.json").unlink()
    assert identities(tmp_path / "looked", records) == ["unknown"] * 3
