"""The identity gate: what is refused, removed, blanked, allowed, and what is said of it."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError, UsageError
from medsynth.geometry import Geometry
from medsynth.identity.check import Checker, check
from medsynth.identity.faces import Face
from medsynth.ingest.clearance import identities
from medsynth.ingest.gate import Gate, GateError
from medsynth.ingest.plan import PlannedCase, PlannedChannel
from tests.identity.clean_files import clean_dicom, save
from tests.ingest.sources import all_text, cases, refusals, run

QUICK = {"text": "allow"}


def clearance(out: Path) -> dict:
    return json.loads((out / "identity.json").read_text())


def scans(folder: Path, count: int = 2, name: str = "case{}") -> Path:
    for k in range(count):
        geometry = Geometry.centred((12, 10, 8), (1.0, 1.5, 2.0), centre=(k, 0, 0))
        array = np.random.default_rng([k, len(name)]).normal(size=(12, 10, 8)).astype(np.float32)
        write_nifti(folder / "images" / f"{name.format(k)}.nii.gz", array, geometry)
    return folder


def with_table(folder: Path, header: str, *rows: str) -> Path:
    scans(folder, len(rows))
    lines = [f"images/case{number}.nii.gz,{row}" for number, row in enumerate(rows)]
    (folder / "table.csv").write_text("\n".join([f"image,{header}", *lines]) + "\n")
    return folder / "table.csv"


def radiograph(path: Path, text: str = "", seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:1:320j, -1:1:320j]
    picture = Image.fromarray((120 * np.exp(-(rows**2 + columns**2)) + rng.normal(40, 6, rows.shape)).astype(np.uint8))
    if text:
        ImageDraw.Draw(picture).text((14, 12), text, fill=250, font=ImageFont.load_default(24))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


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


def test_text_in_a_picture_is_refused_blanked_or_allowed(tmp_path):
    for number in range(5):
        radiograph(tmp_path / "s" / "normal" / f"person{number}.png", "VOSS 03.05.1961" if number == 4 else "", number)
    run(tmp_path / "s", tmp_path / "refused", identity="check")
    (refused,) = refusals(tmp_path / "refused")
    assert refused["reason"].startswith("text is burned into its picture")
    run(tmp_path / "s", tmp_path / "allowed", identity="check", text="allow")
    assert {record.identity for record in cases(tmp_path / "allowed")} == {"trusted"}
    run(tmp_path / "s", tmp_path / "blanked", identity="remove", text="blank")
    records = cases(tmp_path / "blanked")
    assert {record.identity for record in records} == {"cleared"}
    (case,) = {found["case"] for found in clearance(tmp_path / "blanked")["findings"] if found["became"] == "blanked"}
    written = nib.load(tmp_path / "blanked" / "volumes" / case / "image.nii.gz").get_fdata()
    before = np.asarray(Image.open(tmp_path / "s" / "normal" / "person4.png")).T
    changed = written != before
    assert 0.02 < changed.mean() < 0.2
    assert changed[:, :60].sum() == changed.sum()
    assert written[:, :60].max() < 200  # the letters were 250


def test_text_in_slices_of_a_volume_is_found_and_blanked(tmp_path):
    rng = np.random.default_rng(1)
    picture = np.asarray(Image.open(radiograph(tmp_path / "text.png", "VOSS 1961")))
    slices = rng.normal(60, 5, (128, 128, 9)).astype(np.int16)
    slices[:, :, 4] = picture[:128, :128].T[:, :]
    geometry = Geometry((128, 128, 9), np.diag([-1.0, -1.0, 3.0, 1.0]))  # rows to the back, columns to the left
    write_nifti(tmp_path / "s" / "images" / "case0.nii.gz", slices, geometry)
    with pytest.raises(MedsynthError, match="text is burned into its picture"):
        run(tmp_path / "s", tmp_path / "refused", identity="check")
    run(tmp_path / "s", tmp_path / "out", identity="remove", text="blank")
    written = nib.load(next((tmp_path / "out").rglob("image.nii.gz"))).get_fdata()
    changed = written != slices
    assert changed[:, :, 4].any()
    assert not changed[:, :, [0, 8]].any()
    assert not changed[:, 60:].any()


def test_text_in_a_label_map_is_found(tmp_path):
    """A label map may be a scan that lies in the wrong folder."""
    picture = np.asarray(Image.open(radiograph(tmp_path / "text.png", "VOSS 1961")))
    drawn = np.zeros((128, 128, 3), np.uint8)
    drawn[:, :, 1] = picture[:128, :128].T > 190
    geometry = Geometry((128, 128, 3), np.diag([-1.0, -1.0, 3.0, 1.0]))
    noise = np.random.default_rng(0).normal(60, 5, drawn.shape).astype(np.float32)
    write_nifti(tmp_path / "s" / "images" / "case0.nii.gz", noise, geometry)
    write_nifti(tmp_path / "s" / "labels" / "case0.nii.gz", drawn, geometry)
    with pytest.raises(MedsynthError, match="text is burned into its picture"):
        run(tmp_path / "s", tmp_path / "refused", identity="check")
    run(tmp_path / "s", tmp_path / "out", identity="remove", text="blank")
    written = nib.load(next((tmp_path / "out").rglob("label.nii.gz"))).get_fdata()
    assert written.sum() < 0.1 * drawn.sum()


def test_a_face_is_refused_blanked_or_allowed(tmp_path, monkeypatch):
    """The finder itself has tests of its own; here every volume shows one until it is blanked."""
    face = Face(why="seen", millilitres=300.0, planes=((0.0, 1.0, 0.0, 3.0),))
    monkeypatch.setattr(
        "medsynth.ingest.looks.find_face", lambda array, geometry, modality: face if modality != "CT" else None
    )
    monkeypatch.setattr("medsynth.ingest.looks.blank_face", lambda array, geometry, face: array * 0)
    source = scans(tmp_path / "s", 1)
    with pytest.raises(MedsynthError, match="it may show a face: tissue lies where the face is"):
        run(source, tmp_path / "refused", identity="check", modality="MR")
    run(source, tmp_path / "ct", identity="check", modality="CT")
    run(source, tmp_path / "allowed", identity="check", faces="allow", modality="MR")
    assert [record.identity for record in cases(tmp_path / "allowed")] == ["trusted"]
    assert clearance(tmp_path / "allowed")["findings"][0]["became"] == "allowed"
    geometry = Geometry.centred((12, 10, 8), (1.0, 1.5, 2.0), centre=(0, 0, 0))
    write_nifti(source / "labels" / "case0.nii.gz", np.arange(960).reshape(12, 10, 8), geometry)
    with pytest.raises(MedsynthError, match="it may show a face"):  # a scan among the label maps
        run(source, tmp_path / "label", identity="check", modality="CT")
    (source / "labels" / "case0.nii.gz").unlink()
    run(source, tmp_path / "blanked", identity="remove", faces="blank", modality="MR")
    assert [record.identity for record in cases(tmp_path / "blanked")] == ["cleared"]
    assert not nib.load(next((tmp_path / "blanked").rglob("image.nii.gz"))).get_fdata().any()


def test_what_cannot_be_looked_at_is_refused(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("medsynth.ingest.looks.find_text", broken)
    with pytest.raises(MedsynthError, match="could not be looked at"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert clearance(tmp_path / "out")["counts"] == {"unseen": 2}


def test_without_a_detector_it_does_not_begin(tmp_path, monkeypatch):
    def missing(*_: object) -> None:
        raise MedsynthError("text in pictures needs text-detection")

    monkeypatch.setattr("medsynth.ingest.looks.TextFinder", missing)
    monkeypatch.setattr("medsynth.ingest.looks._finder", missing)
    with pytest.raises(MedsynthError, match="text-detection"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert not (tmp_path / "out").exists()
    run(tmp_path / "s", tmp_path / "out", identity="check", text="allow")


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
        ("ab\n", {"identity": "remove"}, "fewer than 3 letters"),
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


def test_a_detector_that_is_broken_does_not_begin(tmp_path, monkeypatch):
    class Broken:
        def find(self, _picture: np.ndarray) -> list:
            raise ImportError

    monkeypatch.setattr("medsynth.ingest.looks._finder", Broken)
    with pytest.raises(MedsynthError, match="is installed and does not work"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert not (tmp_path / "out").exists()
