"""nnU-Net's own check accepts what is exported, and refuses it spoiled; our ingest reads it back."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.nifti import read_nifti, write_nifti
from medsynth.errors import MedsynthError
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.geometry import Geometry
from medsynth.ingest.layouts import find_cases
from tests.export.conftest import PLACES, place
from tests.export.datasets.conftest import CHANNELS, SHAPE, content, go, picture, same, table
from tests.export.datasets.peers import nnunet_says
from tests.ingest.sources import cases, run, sources

GREY = {"image": ("grey", None), "label": ("label", None)}
TWO = {"t1w": ("arbitrary", "MR"), "ct": ("HU", "CT"), "label": ("label", None)}
SIDEWAYS = Geometry.centred((9, 8), (0.7, 1.3), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]))


def labels_out_of_range(folder):
    path = folder / "labelsTr" / "s000002.nii.gz"
    volume = read_nifti(path)
    write_nifti(path, np.where(volume.array == 2, 3, volume.array).astype(np.uint8), volume.geometry)


def labels_of_another_shape(folder):
    path = folder / "labelsTr" / "s000002.nii.gz"
    volume = read_nifti(path)
    write_nifti(path, volume.array[1:], Geometry(volume.array[1:].shape, volume.geometry.affine))


def labels_not_consecutive(folder):
    path = folder / "dataset.json"
    described = json.loads(path.read_text())
    described["labels"]["left kidney"] = 4
    path.write_text(json.dumps(described))


def one_case_less(folder):
    (folder / "imagesTr" / "s000002_0000.nii.gz").unlink()


GOOD = {
    "3D": (place("oblique", SHAPE), CHANNELS, {}),
    "two channels": (place("left-handed", SHAPE), TWO, {}),
    "picture": (picture(), GREY, {}),
    "sagittal slice": (SIDEWAYS, GREY, {}),
    "one fold": (place("oblique", SHAPE), CHANNELS, {"dataset": DatasetSettings(validation="keep")}),
    "samples alone": (place("oblique", SHAPE), CHANNELS, {"real": None}),
}
SPOILED = {
    "Unexpected labels": labels_out_of_range,
    "Shape mismatch": labels_of_another_shape,
    "consecutive order": labels_not_consecutive,
    "expected number of training cases": one_case_less,
}


def test_nnunet_accepts_what_is_exported_and_refuses_it_spoiled(make_pair, tmp_path):
    """The controls are copies of a set that it accepts, checked by the same command."""
    good = {}
    for number, (name, (geometry, channels, options)) in enumerate(GOOD.items()):
        pair = make_pair(geometry, channels, name=f"pair {number}")
        good[name] = go(pair, tmp_path / f"out {number}", "nnunet", **options)
        expected = 4 if name == "samples alone" else 4 + 2 * len(pair.patients("train"))
        expected += 2 * len(pair.patients("validation")) if name == "one fold" else 0
        assert content(good[name])["numTraining"] == expected
    bad = {words: tmp_path / "spoiled" / str(number) for number, words in enumerate(SPOILED)}
    for words, spoil in SPOILED.items():
        shutil.copytree(good["3D"], bad[words])
        spoil(bad[words])
    verdicts = nnunet_says([*good.values(), *bad.values()])
    for folder in good.values():
        fine, said = verdicts[folder]
        assert (fine, "Warning" in said, "Done" in said) == (True, False, True), said
    for words, folder in bad.items():
        assert not verdicts[folder][0]
        assert words in verdicts[folder][1]


def test_labels_are_numbered_without_gaps_and_the_numbering_is_written_down(make_pair, tmp_path):
    pair = make_pair()
    folder = go(pair, tmp_path / "out", "nnunet")
    described = content(folder)
    assert described["labels"] == {"background": 0, "liver": 1, "left kidney": 2}
    assert described["label_mapping"] == {"0": 0, "1": 1, "4": 2}
    assert described["channel_names"] == {"0": "CT"}
    ours = read_nifti(pair.samples / "volumes" / "000000_label.nii.gz").array
    theirs = read_nifti(folder / "labelsTr" / "s000000.nii.gz").array
    assert set(np.unique(ours)) == {0, 1, 4}
    assert same(theirs, np.choose(ours, [0, 1, 0, 0, 2]))


@pytest.mark.parametrize("name", PLACES)
def test_voxels_and_place_are_as_they_were(make_pair, tmp_path, name):
    pair = make_pair(place(name, SHAPE))
    folder = go(pair, tmp_path / "out", "nnunet")
    ours = read_nifti(pair.samples / "volumes" / "000001_image.nii.gz")
    path = folder / "imagesTr" / "s000001_0000.nii.gz"
    image = nib.load(path)
    assert same(np.asanyarray(image.dataobj), ours.array)
    assert np.abs(image.affine - ours.geometry.affine).max() < 1e-5
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert bytes(image.header["descrip"]).startswith(b"SYNTHETIC, medsynth, record ")
    read = sitk.ReadImage(str(path))
    assert same(sitk.GetArrayFromImage(read).T, ours.array)
    there = Geometry.from_lps(read.GetSize(), read.GetOrigin(), read.GetSpacing(), read.GetDirection())
    assert there.is_close(ours.geometry, 1e-3)
    real = folder / "imagesTr" / f"{pair.case('train').id}_0000.nii.gz"
    assert bytes(nib.load(real).header["descrip"]).startswith(b"real, medsynth, record ")


def test_folds_validate_on_real_cases_and_keep_patients_together(make_pair, tmp_path):
    pair = make_pair()
    folder = go(pair, tmp_path / "out", "nnunet", dataset=DatasetSettings(folds=3))
    lines, validated = table(folder), []
    training = {name for name in lines if lines[name]["split"] == "train"}
    for fold in content(folder, "splits_final.json"):
        assert set(fold["train"]) | set(fold["val"]) == training
        assert {name for name in fold["train"] if lines[name]["source"] == "synthetic"} == {
            f"s{k:06d}" for k in range(4)
        }
        assert {lines[name]["source"] for name in fold["val"]} == {"real"}
        assert not {lines[n]["patient"] for n in fold["train"]} & {lines[n]["patient"] for n in fold["val"]}
        validated += fold["val"]
    assert sorted(validated) == sorted(
        n for n in lines if lines[n]["source"] == "real" and lines[n]["split"] == "train"
    )
    assert "validate on patients whom the generator has learnt from" in content(folder)["description"]


def test_a_derived_sample_is_in_no_fold_that_validates_on_its_patient(make_pair, tmp_path):
    pair = make_pair()
    pair.derive(0, pair.case("train", 0), pair.case("train", 4))
    folder = go(pair, tmp_path / "out", "nnunet")
    own, lines = set(table(folder)["s000000"]["patient"].split(".")), table(folder)
    assert len(own) == 2
    for fold in content(folder, "splits_final.json"):
        held = {lines[name]["patient"] for name in fold["val"]}
        assert ("s000000" in fold["train"]) == (not own & held)


def test_validation_patients_can_be_the_one_fold(make_pair, tmp_path):
    pair = make_pair()
    folder = go(pair, tmp_path / "out", "nnunet", dataset=DatasetSettings(validation="keep"))
    (fold,) = content(folder, "splits_final.json")
    lines = table(folder)
    assert {lines[name]["patient"] for name in fold["val"]} == set(pair.patients("validation"))
    assert {lines[name]["split"] for name in fold["train"]} == {"train"}


def test_samples_alone_have_no_folds(make_pair, tmp_path):
    folder = go(make_pair(), tmp_path / "out", "nnunet", real=None)
    assert not (folder / "splits_final.json").exists()
    assert content(folder)["description"].startswith("SYNTHETIC: 4 cases")


def test_one_patient_alone_has_no_folds(make_pair, tmp_path):
    pair = make_pair(patients=3)
    with pytest.raises(MedsynthError, match=r"dataset\.folds=null"):
        go(pair, tmp_path / "out", "nnunet")
    assert go(pair, tmp_path / "other", "nnunet", dataset=DatasetSettings(folds=None)).is_dir()


@pytest.mark.parametrize(
    ("geometry", "channels"),
    [(place("oblique", SHAPE), CHANNELS), (place("axial", SHAPE), TWO), (picture(), GREY)],
    ids=["3D", "two channels", "2D"],
)
@pytest.mark.parametrize("kind", ["nnunet", "decathlon"])
def test_our_own_ingest_reads_it_back(make_pair, tmp_path, geometry, channels, kind):
    pair = make_pair(geometry, channels, labels={0: "background", 1: "liver", 2: "left kidney"})
    folder = go(pair, tmp_path / "out", kind)
    assert find_cases(folder).layout == kind
    report = run(folder, tmp_path / "back")
    assert (report.cases, report.refused) == (4 + 2 * len(pair.patients("train")), 0)
    named, matched = sources(report), 0
    for record in cases(tmp_path / "back"):
        name = named[record.id].rsplit("/")[-1].removesuffix(".nii.gz")
        images = [channel for channel in channels if channel != "label"]
        for channel in channels:
            ours = name.startswith("s") and pair.samples / "volumes" / f"{name[1:]}_{channel}.nii.gz"
            ours = ours or pair.cases / "volumes" / f"{int(name[1:], 16):03d}_{channel}.nii.gz"
            back = record.channels["image" if len(images) == 1 and channel != "label" else channel]
            volume, mine = read_nifti(tmp_path / "back" / back.path), read_nifti(ours)
            assert same(volume.array.reshape(mine.array.shape), mine.array)
            assert volume.geometry.as_volume.is_close(mine.geometry.as_volume, 1e-4)
            matched += 1
        assert {value: name for value, name in record.labels.items() if value} == {1: "liver", 2: "left kidney"}
    assert matched == report.cases * len(channels)


@pytest.mark.parametrize("kind", ["nnunet", "decathlon"])
def test_without_a_label_map_it_is_refused(make_pair, tmp_path, kind):
    pair = make_pair(channels={"image": ("grey", None)})
    with pytest.raises(MedsynthError, match="set format=monai or bids"):
        go(pair, tmp_path / "out", kind)


def test_a_value_that_no_record_names_is_refused(make_pair, tmp_path):
    pair = make_pair()
    for number in range(4):
        pair.change(number, labels={0: "background", 1: "liver"})
    with pytest.raises(MedsynthError, match="holds values that its record does not name"):
        go(pair, tmp_path / "out", "nnunet", real=None)


def test_a_changed_file_is_refused(make_pair, tmp_path):
    pair = make_pair()
    shutil.copy(pair.samples / "volumes" / "000001_image.nii.gz", pair.samples / "volumes" / "000000_image.nii.gz")
    with pytest.raises(MedsynthError, match="sample s000000: channel image is missing or was changed"):
        go(pair, tmp_path / "out", "nnunet")
