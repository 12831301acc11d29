"""From scans to cases: exact, resumable, the same whatever the workers or the key, and naming nobody."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.data.phantom import make_scan
from medsynth.data.phantom_files import oblique, on_table, write_phantom
from medsynth.geometry import LPS_TO_RAS, Geometry
from tests.ingest.sources import all_text, cases, cut, image_folder, refusals, run, sources

SMALL = {"shape": (12, 10, 6), "spacing": (32.0, 38.0, 60.0)}


def test_an_oblique_phantom_comes_back_from_dicom_voxel_for_voxel(tmp_path):
    write_phantom(tmp_path / "s", patients=2, scans=2, seed=3, form="dicom", tilt_degrees=17, **SMALL)
    report = run(tmp_path / "s", tmp_path / "out", workers=2)
    assert (report.cases, report.refused, report.patients, report.presumed, report.exit_code) == (8, 0, 2, 0, 0)
    found = {name: [r for r in cases(tmp_path / "out") if name in r.channels] for name in ("ct", "mr")}
    for patient in range(2):
        for scan in range(2):
            truth = make_scan(patient, scan, seed=3, direction=oblique(17) @ LPS_TO_RAS[:3, :3], **SMALL)
            place = on_table(truth)
            (record,) = [r for r in found["ct"] if same_place(r.geometry, place)]
            back = read_nifti(tmp_path / "out" / record.channels["ct"].path)
            assert back.geometry.is_close(place, 1e-4)
            assert record.channels["ct"].units == "HU"
            np.testing.assert_allclose(back.array, np.rint(truth.ct), atol=0)
    assert {record.channels["mr"].units for record in found["mr"]} == {"arbitrary"}


def same_place(one: Geometry, other: Geometry) -> bool:
    return bool(np.abs(one.centre - other.centre).max() < 1e-3)


@pytest.mark.parametrize("tilt", [0, 23])
def test_a_phantom_of_nifti_keeps_channels_labels_and_types(tmp_path, tilt):
    write_phantom(tmp_path / "s", patients=2, scans=1, seed=1, form="nifti", tilt_degrees=tilt, **SMALL)
    report = run(tmp_path / "s", tmp_path / "out", modality="CT", licence="CC0-1.0")
    assert (report.cases, report.patients, report.presumed) == (2, 2, 0)
    for record in cases(tmp_path / "out"):
        assert {n: (c.kind, c.units, c.modality) for n, c in record.channels.items()} == {
            "image": ("image", "HU", "CT"),
            "label": ("label", "label", None),
            "mr": ("image", "arbitrary", "MR"),
        }
        assert (record.identity, record.licence, record.patient_source) == ("trusted", "CC0-1.0", "pattern")
        name = sources(report)[record.id]
        for channel, folder in (("image", "images"), ("mr", "mr"), ("label", "labels")):
            before = read_nifti(tmp_path / "s" / folder / f"{name}.nii.gz")
            after = read_nifti(tmp_path / "out" / record.channels[channel].path)
            assert (before.array == after.array).all()
            assert before.array.dtype == after.array.dtype
            assert before.geometry.is_close(after.geometry, 1e-4)
            assert record.geometry.is_close(before.geometry, 1e-4)


def test_out_names_no_file_and_no_patient(tmp_path):
    image_folder(tmp_path / "s")
    (tmp_path / "s" / "images" / "Jane_Roe.nii.gz").write_bytes(b"broken")
    report = run(tmp_path / "s", tmp_path / "out")
    text = all_text(tmp_path / "out")
    assert "Doe" not in text
    assert "Roe" not in text
    assert str(tmp_path) not in text
    assert not report.sources.is_relative_to(tmp_path / "out")
    assert report.sources.stat().st_mode & 0o077 == 0
    (refused,) = refusals(tmp_path / "out")
    assert sources(report)[refused["case"]] == "Jane_Roe"
    key = (tmp_path / "keys" / "key").read_text().strip()
    assert key not in text


def test_order_content_and_report_do_not_depend_on_workers_or_key(tmp_path):
    image_folder(tmp_path / "s")
    run(tmp_path / "s", tmp_path / "a", workers=1)
    run(tmp_path / "s", tmp_path / "b", workers=2)
    assert (tmp_path / "a" / "cases.jsonl").read_bytes() == (tmp_path / "b" / "cases.jsonl").read_bytes()
    run(tmp_path / "s", tmp_path / "c", key=tmp_path / "another key")
    one, other = cases(tmp_path / "a"), cases(tmp_path / "c")
    assert [r.channels["image"].sha256 for r in one] == [r.channels["image"].sha256 for r in other]
    assert not {r.patient for r in one} & {r.patient for r in other}
    assert not {r.id for r in one} & {r.id for r in other}


@pytest.mark.parametrize("subject", ["sub-01", "sub-A7", "sub-patient3"])
def test_a_subject_is_one_patient_as_bids_and_by_its_file_name(tmp_path, subject):
    geometry = Geometry.centred((4, 4, 4), (1, 1, 1))
    for path in (f"bids/{subject}/anat/{subject}_T1w.nii.gz", f"flat/{subject}_T1w.nii.gz"):
        write_nifti(tmp_path / path, np.arange(64, dtype=np.int16).reshape(4, 4, 4), geometry)
    found = []
    for name, source in (("bids", "bids"), ("flat", "pattern")):
        run(tmp_path / name, tmp_path / f"{name} out", key=tmp_path / "key")
        (record,) = cases(tmp_path / f"{name} out")
        assert record.patient_source == source
        found.append(record.patient)
    assert found[0] == found[1]


def test_called_again_it_repeats_nothing_but_what_changed(tmp_path):
    image_folder(tmp_path / "s")
    run(tmp_path / "s", tmp_path / "out")
    before = (tmp_path / "out" / "cases.jsonl").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.nii.gz")}
    report = run(tmp_path / "s", tmp_path / "out")
    assert report.resumed == report.cases == 6
    assert (tmp_path / "out" / "cases.jsonl").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    write_nifti(
        tmp_path / "s" / "images" / "John_Doe_2.nii.gz",
        np.ones((5, 6, 7)),
        Geometry.centred((5, 6, 7), (1.0, 1.5, 2.0)),
    )
    write_nifti(
        tmp_path / "s" / "labels" / "John_Doe_2.nii.gz",
        np.ones((5, 6, 7)),
        Geometry.centred((5, 6, 7), (1.0, 1.5, 2.0)),
    )
    assert run(tmp_path / "s", tmp_path / "out").resumed == 5
    changed = [path for path, then in times.items() if path.stat().st_mtime_ns != then]
    assert len({path.parent for path in changed}) == 1
    victim = next(path for path in times if path not in changed)
    victim.unlink()
    assert run(tmp_path / "s", tmp_path / "out").resumed == 5
    assert victim.exists()


def test_a_withdrawn_scan_leaves(tmp_path):
    image_folder(tmp_path / "s")
    run(tmp_path / "s", tmp_path / "out")
    for folder in ("images", "labels"):
        (tmp_path / "s" / folder / "John_Doe_0.nii.gz").unlink()
    assert run(tmp_path / "s", tmp_path / "out").cases == 5
    kept = {path.name for path in (tmp_path / "out" / "volumes").iterdir()}
    assert kept == {record.id for record in cases(tmp_path / "out")}


KILLED = """
import sys
from pathlib import Path
from medsynth.ingest.run import ingest
if __name__ == "__main__":
    ingest(Path(sys.argv[1]), Path(sys.argv[2]), identity="trust", key=Path(sys.argv[3]), workers=2, progress=False)
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_end(tmp_path):
    image_folder(tmp_path / "s", 150, label=False)
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    journal = tmp_path / "out" / "progress.jsonl"
    command = [sys.executable, str(script), str(tmp_path / "s"), str(tmp_path / "out"), str(tmp_path / "keys" / "key")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < 20:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with journal.open("a") as file:  # as if the kill had come in the middle of a line
        file.write('{"case": "c0123')
    assert not (tmp_path / "out" / "cases.jsonl").exists()
    finished = journal.read_bytes().count(b"\n") - 1
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "volumes").rglob("image.nii.gz")}
    report = run(tmp_path / "s", tmp_path / "out")
    assert finished < 150
    assert report.resumed == finished
    assert report.cases == 150
    assert sum(path.stat().st_mtime_ns == then for path, then in times.items()) == finished
    run(tmp_path / "s", tmp_path / "whole")
    assert (tmp_path / "out" / "cases.jsonl").read_bytes() == (tmp_path / "whole" / "cases.jsonl").read_bytes()


def pictures(folder: Path, names: list[str], seeds: list[int]) -> Path:
    for name, seed in zip(names, seeds, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return folder


def test_one_picture_under_two_presumed_patients_makes_them_one(tmp_path):
    names = ["A/IM-1-1.png", "A/IM-1-2.png", "A/IM-2-1.png", "A/IM-3-1.png", "B/person4_1.png", "B/person4_2.png"]
    pictures(tmp_path / "s", names, [1, 2, 2, 3, 4, 3])
    report = run(tmp_path / "s", tmp_path / "out", layout="pictures")
    assert (report.cases, report.refused, report.repeated, report.joined, report.patients) == (6, 0, 2, 2, 2)
    patient = {sources(report)[record.id]: record.patient for record in cases(tmp_path / "out")}
    assert len({patient[name] for name in names[:3]}) == 1
    assert len({patient[name] for name in names[3:]}) == 1
    kinds = {sources(report)[record.id]: record.patient_source for record in cases(tmp_path / "out")}
    assert kinds["A/IM-3-1.png"] == "presumed"


def test_one_picture_under_two_certain_patients_is_refused_once(tmp_path):
    pictures(tmp_path / "s", ["B/person4_1.png", "B/person5_1.png", "B/person5_2.png"], [1, 1, 2])
    report = run(tmp_path / "s", tmp_path / "out", layout="pictures")
    assert (report.cases, report.refused) == (2, 1)
    assert "the same image as another case" in refusals(tmp_path / "out")[0]["reason"]
    assert len(list((tmp_path / "out" / "volumes").iterdir())) == 2


def test_the_values_of_all_label_maps_are_named_in_each(tmp_path):
    geometry = Geometry.centred((4, 4, 4), (1, 1, 1))
    for k, value in enumerate((1, 3)):
        write_nifti(tmp_path / "s" / "images" / f"{k}.nii.gz", np.full((4, 4, 4), k, np.int16), geometry)
        write_nifti(tmp_path / "s" / "labels" / f"{k}.nii.gz", np.full((4, 4, 4), value, np.uint8), geometry)
    run(tmp_path / "s", tmp_path / "out")
    assert [dict(r.labels) for r in cases(tmp_path / "out")] == [{1: "label 1", 3: "label 3"}] * 2


def test_a_decathlon_of_four_dimensions_becomes_channels(tmp_path):
    rng = np.random.default_rng(0)
    both = rng.integers(0, 2000, (4, 5, 6, 2)).astype(np.int16)
    for folder, array in (("imagesTr", both), ("labelsTr", (both[..., 0] > 1000).astype(np.float64) * 2)):
        (tmp_path / "s" / folder).mkdir(parents=True)
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1, 2, 1])), tmp_path / "s" / folder / "x.nii.gz")
    content = {"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    content["training"] = [{"image": "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}]
    (tmp_path / "s" / "dataset.json").write_text(json.dumps(content))
    run(tmp_path / "s", tmp_path / "out")
    (record,) = cases(tmp_path / "out")
    assert {n: (c.units, c.modality) for n, c in record.channels.items()} == {
        "ct": ("HU", "CT"),
        "pet": ("arbitrary", "PT"),
        "label": ("label", None),
    }
    assert dict(record.labels) == {1: "a", 2: "b"}
    for index, name in enumerate(("ct", "pet")):
        assert (read_nifti(tmp_path / "out" / record.channels[name].path).array == both[..., index]).all()
    label = read_nifti(tmp_path / "out" / record.channels["label"].path).array
    assert label.dtype == np.uint8
    assert (label == (both[..., 0] > 1000) * 2).all()


def test_a_table_leads_from_row_to_record(tmp_path):
    pictures(tmp_path / "s", ["a.png", "b.png"], [1, 2])
    (tmp_path / "s" / "t.csv").write_text("image,patient,split,age\na.png,P1,train,7\nb.png,P2,test,8\n")
    run(tmp_path / "s" / "t.csv", tmp_path / "out")
    assert sorted((r.split, r.attributes["age"], r.patient_source) for r in cases(tmp_path / "out")) == [
        ("test", 8, "csv"),
        ("train", 7, "csv"),
    ]


def test_workers_start_without_torch():
    script = "import sys, medsynth.ingest.run; assert not {'torch', 'monai', 'SimpleITK'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_summary_says_what_came_and_where_the_list_is(tmp_path, capsys):
    image_folder(tmp_path / "s", 2)
    cut(tmp_path / "s" / "images" / "John_Doe_1.nii.gz")
    report = run(tmp_path / "s", tmp_path / "out", progress=True)
    text = capsys.readouterr().out
    assert "found a NIfTI folder: 2 cases" in text
    assert str(report.sources) in text
    assert "the file is damaged or cut short" in text
    assert "Doe" not in text


def test_the_summary_says_what_is_left_aside_what_lacks_a_label_and_the_remedy_for_a_guess(tmp_path, capsys):
    image_folder(tmp_path / "s", 3)
    (tmp_path / "s" / "labels" / "John_Doe_1.nii.gz").unlink()
    (tmp_path / "s" / "John.Doe").write_text("x")
    (tmp_path / "s" / "notes.txt").write_text("x")
    report = run(tmp_path / "s", tmp_path / "out", progress=True)
    assert (report.unlabelled, report.presumed, dict(report.aside)) == (1, 3, {".txt": 1, "other": 1})
    text = " ".join(capsys.readouterr().out.split())
    assert "cases without a label map, which others have │ 1" in text
    assert "cases whose patient is presumed; patient_pattern= says it │ 3" in text
    assert "files left aside (1 .txt, 1 other) │ 2" in text
    assert "Doe" not in text
    image_folder(tmp_path / "t", 2, label=False)
    assert run(tmp_path / "t", tmp_path / "none").unlabelled == 0
