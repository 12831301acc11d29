"""The BIDS validator accepts what is exported and refuses it spoiled; our ingest reads it back."""

import csv
import shutil

import pytest

from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.ingest.layouts import find_cases
from tests.export.conftest import place
from tests.export.datasets.conftest import SHAPE, content, go, picture, same
from tests.export.datasets.peers import bids_says
from tests.ingest.sources import cases, run

MR = {"t1w": ("arbitrary", "MR"), "flair": ("arbitrary", "MR"), "label": ("label", None)}
CT = {"image": ("HU", None), "label": ("label", None)}
GREY = {"image": ("grey", None)}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture
def mr(make_pair):
    pair = make_pair(place("oblique", SHAPE), MR)
    pair.derive(0, pair.case("train"))
    return pair


@pytest.mark.parametrize(
    ("geometry", "channels", "suffix"),
    [(None, CT, {}), (picture(), GREY, {"image": "XR"})],
    ids=["CT, which BIDS has not", "2D, which BIDS has not"],
)
def test_the_validator_passes_over_suffixes_that_bids_has_not(make_pair, tmp_path, geometry, channels, suffix):
    folder = go(make_pair(geometry, channels), tmp_path / "out", "bids", dataset=DatasetSettings(suffix=suffix))
    assert bids_says(folder) == []
    (folder / ".bidsignore").unlink()
    assert bids_says(folder) != []


def no_sidecars(folder):
    for path in folder.rglob("*T1w.json"):
        path.unlink()


def another_name(folder):
    path = next(folder.rglob("sub-s000001*T1w.nii.gz"))
    path.rename(path.with_name("sub-s000001_liver_T1w.nii.gz"))


def no_description(folder):
    (folder / "dataset_description.json").unlink()


def test_the_validator_accepts_it_and_refuses_it_spoiled(mr, tmp_path):
    folder = go(mr, tmp_path / "out", "bids")
    assert bids_says(folder) == []
    for number, spoil in enumerate([no_sidecars, another_name, no_description]):
        spoiled = tmp_path / f"spoiled {number}"
        shutil.copytree(folder, spoiled)
        spoil(spoiled)
        assert bids_says(spoiled) != []


def test_files_tables_and_sidecars_say_what_is_synthetic(mr, tmp_path):
    folder = go(mr, tmp_path / "out", "bids")
    derived, patient = mr.records()[0], mr.case("train").patient
    people = {row["participant_id"]: row for row in rows(folder / "participants.tsv")}
    assert people["sub-s000001"]["source"] == "synthetic"
    assert people[f"sub-{patient}"]["source"] == "real and synthetic"
    assert people[f"sub-{mr.case('test').patient}"] | {"age": ""} == {
        "participant_id": f"sub-{mr.case('test').patient}",
        "source": "real",
        "split": "test",
        "age": "",
        "class": "n/a",  # of two cases
        "text": "n/a",
    }
    scans = {row["filename"]: row for row in rows(folder / f"sub-{patient}" / f"sub-{patient}_scans.tsv")}
    own = f"anat/sub-{patient}_acq-s000000_desc-synthetic"
    assert (scans[f"{own}_T1w.nii.gz"]["source"], scans[f"{own}_T1w.nii.gz"]["parents"]) == (
        "synthetic",
        mr.case("train").sha256,
    )
    assert len(scans) == 2 * 3
    said = content(folder, f"sub-{patient}/{own}_T1w.json")
    assert said["Description"].startswith("SYNTHETIC IN PART")
    assert (said["ModelSHA256"], said["Seed"], said["Condition"]) == ("ab" * 32, 5, dict(derived.condition))
    assert (said["Synthetic"], said["Verdict"], said["Units"]) == (True, "not audited", "arbitrary")
    assert "Override: unaudited=i_accept." in said["Gate"]
    free = content(folder, "sub-s000001/anat/sub-s000001_desc-synthetic_FLAIR.json")
    assert free["Description"] == "SYNTHETIC: made by medsynth; no patient was scanned."
    real = content(folder, f"sub-{patient}/anat/sub-{patient}_acq-{mr.case('train').id}_desc-real_T1w.json")
    assert (real["Synthetic"], real["Attributes"]) == (False, dict(mr.case("train").attributes))
    described = content(folder, "dataset_description.json")
    assert (described["DatasetType"], described["License"]) == ("derivative", "CC-BY-4.0")
    assert "Override: unaudited=i_accept" in described["GeneratedBy"][0]["Description"]
    assert "Override: unaudited=i_accept" in (folder / "README.md").read_text()
    assert rows(folder / "dseg.tsv") == [
        {"index": "0", "name": "background"},
        {"index": "1", "name": "liver"},
        {"index": "4", "name": "left kidney"},
    ]


@pytest.mark.parametrize(
    ("geometry", "channels", "suffix"),
    [(place("oblique", SHAPE), MR, {}), (picture(), {"image": ("arbitrary", None)}, {"image": "T2w"})],
    ids=["3D", "2D"],
)
def test_our_own_ingest_reads_it_back(make_pair, tmp_path, geometry, channels, suffix):
    pair = make_pair(geometry, channels)
    folder = go(pair, tmp_path / "out", "bids", dataset=DatasetSettings(suffix=suffix))
    assert find_cases(folder).layout == "bids"
    report = run(folder, tmp_path / "back")
    assert (report.cases, report.patients, report.refused) == (24, 14, 0)
    first = next(iter(channels))
    name = suffix.get(first, first).lower()
    paths = [*(pair.samples / "volumes").glob(f"*_{first}.nii.gz"), *(pair.cases / "volumes").glob(f"*_{first}.nii.gz")]
    ours = [read_nifti(path) for path in paths]
    matched = 0
    for record in cases(tmp_path / "back"):
        assert record.attributes["source"] in ("real", "synthetic")
        back = read_nifti(tmp_path / "back" / record.channels[name].path)
        matched += sum(same(one.array, back.array) and back.geometry.is_close(one.geometry, 1e-3) for one in ours)
    assert matched == len(ours) == 24


def test_what_nothing_tells_is_asked_for(make_pair, tmp_path):
    pair = make_pair(channels={"image": ("arbitrary", None), "label": ("label", None)})
    with pytest.raises(MedsynthError, match=r"set dataset\.suffix='\{image: T1w\}'"):
        go(pair, tmp_path / "out", "bids")
    with pytest.raises(MedsynthError, match=r"dataset\.suffix names mr; the images are image"):
        go(pair, tmp_path / "out", "bids", dataset=DatasetSettings(suffix={"mr": "T1w"}))
    with pytest.raises(MedsynthError, match="the suffix dseg is taken"):
        go(pair, tmp_path / "out", "bids", dataset=DatasetSettings(suffix={"image": "dseg"}))


@pytest.mark.parametrize("key", ["s000001", "a-b", "Sub", "x" * 16])
def test_a_patient_is_no_samples_subject(make_pair, tmp_path, key):
    """And its label has letters and digits alone."""
    pair = make_pair(place("oblique", SHAPE), MR)
    pair.change(0, parents=("ef" * 32,), patient=key, split="train")
    folder = go(pair, tmp_path / "out", "bids", real=None)
    subjects = {path.name for path in folder.glob("sub-*")}
    assert len(subjects) == 4
    assert all(name.removeprefix("sub-").isalnum() for name in subjects)
    assert sum(name.startswith("sub-p") for name in subjects) == 1
