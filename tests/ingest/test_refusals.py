"""What is not taken: bad cases one by one, folders of others, an identity that nobody vouched for."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medsynth.errors import MedsynthError, UsageError
from medsynth.ingest import convert
from tests.ingest.sources import all_text, cut, image_folder, refusals, run, sources


def nan(path):
    nib.save(nib.Nifti1Image(np.full((5, 6, 7), np.nan, np.float32), nib.load(path).affine), path)


def other_shape(path):
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 8), np.uint8), nib.load(path).affine), path)


def other_place(path):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine + np.eye(4, k=3) * 2), path)


def halves(path):
    nib.save(nib.Nifti1Image(np.full((5, 6, 7), 0.5, np.float32), nib.load(path).affine), path)


def negative(path):
    nib.save(nib.Nifti1Image(np.full((5, 6, 7), -1, np.int16), nib.load(path).affine), path)


def sheared(path):
    affine = nib.load(path).affine.copy()
    affine[0, 2] += 0.5
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.int16), affine)
    image.set_qform(None, 0)
    nib.save(image, path)


def missing(path):
    path.unlink()
    path.symlink_to("gone")


@pytest.mark.parametrize(
    ("folder", "damage", "reason"),
    [
        ("images", cut, "cut short"),
        ("images", nan, "NaN or infinite"),
        ("images", sheared, "sheared by 14"),
        ("images", missing, "cannot be opened"),
        ("labels", cut, "cut short"),
        ("labels", other_shape, r"label map has shape (5, 6, 8), the image (5, 6, 7)"),
        ("labels", other_place, "centres 2.00 mm apart"),
        ("labels", halves, "between whole numbers"),
        ("labels", negative, "outside 0 to 65535"),
    ],
)
def test_a_bad_case_is_refused_with_its_reason_and_the_others_go_on(tmp_path, folder, damage, reason):
    image_folder(tmp_path / "s", 3)
    damage(tmp_path / "s" / folder / "John_Doe_1.nii.gz")
    report = run(tmp_path / "s", tmp_path / "out")
    assert (report.cases, report.refused, report.exit_code) == (2, 1, 1)
    (refused,) = refusals(tmp_path / "out")
    assert reason in refused["reason"]
    assert refused["way_out"]
    assert sources(report)[refused["case"]] == "John_Doe_1"


@pytest.mark.parametrize("reader", ["read_nifti", "read_picture"])
def test_whatever_a_reader_trips_over_the_other_cases_go_on(tmp_path, monkeypatch, reader):
    rng = np.random.default_rng(0)
    for k in range(12):
        path = tmp_path / "s" / "A" / f"John_Doe_{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(path)
    source = tmp_path / "s" if reader == "read_picture" else image_folder(tmp_path / "n", 12)
    read = getattr(convert, reader)

    def trip(path, **options):
        if path.name.startswith("John_Doe_1."):
            raise KeyError("John Doe")
        return read(path, **options)

    monkeypatch.setattr(convert, reader, trip)
    report = run(source, tmp_path / "out")
    assert (report.cases, report.refused) == (11, 1)
    assert "does not understand" in refusals(tmp_path / "out")[0]["reason"]
    assert "Doe" not in all_text(tmp_path / "out")


def test_a_refused_case_is_tried_again_though_its_file_is_the_same(tmp_path, monkeypatch):
    image_folder(tmp_path / "s", 3)
    read = convert.read_nifti

    def no_memory(path):
        if "John_Doe_1" in path.name:
            raise MemoryError
        return read(path)

    monkeypatch.setattr(convert, "read_nifti", no_memory)
    assert run(tmp_path / "s", tmp_path / "out").refused == 1
    report = run(tmp_path / "s", tmp_path / "out")
    assert (report.cases, report.refused, report.resumed) == (2, 1, 2)
    monkeypatch.undo()
    report = run(tmp_path / "s", tmp_path / "out")
    assert (report.cases, report.refused, report.resumed) == (3, 0, 2)
    assert not (tmp_path / "out" / "refused.jsonl").exists()
    assert run(tmp_path / "s", tmp_path / "out").resumed == 3


def test_nothing_accepted_is_an_error_and_leaves_no_cases(tmp_path):
    image_folder(tmp_path / "s", 2)
    run(tmp_path / "s", tmp_path / "out")
    for k in range(2):
        cut(tmp_path / "s" / "images" / f"John_Doe_{k}.nii.gz")
    with pytest.raises(MedsynthError, match="none of the 2 cases"):
        run(tmp_path / "s", tmp_path / "out")
    assert not (tmp_path / "out" / "cases.jsonl").exists()
    assert len(refusals(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"licence": "x"}, "other settings"),
        ({"patient_pattern": "_(.)"}, "other settings"),
        ({"modality": "CT"}, "other settings"),
        ({"key": "other"}, r"another key \(key=, or what MEDSYNTH_KEY names\)"),
        ({"source": "other"}, "another source"),
    ],
)
def test_out_of_another_configuration_is_refused(tmp_path, capsys, change, said):
    image_folder(tmp_path / "s", 2)
    run(tmp_path / "s", tmp_path / "out")
    before = all_text(tmp_path / "out")
    source = image_folder(tmp_path / "other", 2) if "source" in change else tmp_path / "s"
    options = {"key": tmp_path / "another"} if "key" in change else change
    options = {name: value for name, value in options.items() if name != "source"}
    with pytest.raises(MedsynthError, match=f"out was begun with {said}; choose another out"):
        run(source, tmp_path / "out", **options, progress=True)
    assert all_text(tmp_path / "out") == before
    assert "going on" not in capsys.readouterr().err
    assert run(tmp_path / "s", tmp_path / "out", progress=True).resumed == 2
    assert "medsynth: the folder was begun by the same command: going on" in capsys.readouterr().err


def test_a_folder_from_before_its_journal_told_source_and_key_apart_goes_on(tmp_path):
    image_folder(tmp_path / "s", 2)
    run(tmp_path / "s", tmp_path / "out")
    journal = tmp_path / "out" / "progress.jsonl"
    head, *lines = journal.read_text().splitlines(keepends=True)
    old = {name: value for name, value in json.loads(head).items() if name in ("schema", "settings")}
    journal.write_text("".join([json.dumps(old) + "\n", *lines]))
    with pytest.raises(MedsynthError, match="another source, key or settings"):
        run(tmp_path / "s", tmp_path / "out", licence="x")
    assert run(tmp_path / "s", tmp_path / "out").resumed == 2
    assert "source" in json.loads(journal.read_text().splitlines()[0])


def test_folders_of_others_are_not_touched(tmp_path):
    image_folder(tmp_path / "s", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "samples.jsonl").write_text("{}")
    with pytest.raises(MedsynthError, match="another command"):
        run(tmp_path / "s", tmp_path / "out")
    with pytest.raises(MedsynthError, match="inside source"):
        run(tmp_path / "s", tmp_path / "s" / "out")
    with pytest.raises(MedsynthError, match="source lies inside out"):
        run(tmp_path / "s", tmp_path)
    with pytest.raises(MedsynthError, match="would lie inside"):
        run(tmp_path / "s", tmp_path / "new", key=tmp_path / "new" / "key")


def test_no_key_is_made_among_the_scans(tmp_path):
    image_folder(tmp_path / "s")
    before = sorted((tmp_path / "s").rglob("*"))
    with pytest.raises(MedsynthError, match="key would be made inside"):
        run(tmp_path / "s", tmp_path / "out", key=tmp_path / "s" / "keys" / "key")
    assert sorted((tmp_path / "s").rglob("*")) == before


@pytest.mark.parametrize("identity", ["", "Trust", "trusted", "cleared", "unknown"])
def test_identity_has_to_be_said(tmp_path, identity):
    image_folder(tmp_path / "s", 1)
    with pytest.raises(UsageError, match="identity=check refuses scans that name somebody"):
        run(tmp_path / "s", tmp_path / "out", identity=identity)
    assert not (tmp_path / "out").exists()
