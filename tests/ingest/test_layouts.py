"""Each layout is seen for what it is, and what could be two things is refused."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medsynth.data.phantom_files import write_phantom
from medsynth.errors import MedsynthError
from medsynth.ingest.layouts import find_cases


def nifti(path, shape=(3, 4, 5), spacing=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([spacing, spacing, spacing, 1])), path)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


def channels(case):
    return {channel.name: (channel.kind, channel.modality) for channel in case.channels}


def test_images_beside_labels_and_further_channels(tmp_path):
    for name in ("patient001_scan0", "patient001_scan1", "patient002_scan0"):
        for folder in ("images", "labels", "mr"):
            nifti(tmp_path / folder / f"{name}.nii.gz")
    nifti(tmp_path / "labels" / "orphan.nii.gz")
    found = find_cases(tmp_path, modality="CT")
    assert found.layout == "nifti"
    *cases, orphan = sorted(found.cases, key=lambda case: case.source == "orphan")
    for case in cases:
        assert channels(case) == {"image": ("image", "CT"), "label": ("label", None), "mr": ("image", "MR")}
    assert [case.patient for case in cases] == ["patient:1", "patient:1", "patient:2"]
    assert {case.patient_source for case in cases} == {"pattern"}
    assert "without an image" in orphan.refusal


def test_a_flat_folder_with_label_suffixes(tmp_path):
    for name in ("a", "a_seg", "b", "b_label", "c_mask"):
        nifti(tmp_path / f"{name}.nii")
    (tmp_path / "._a.nii").write_bytes(b"a hidden fork")
    cases = {case.source: channels(case) for case in find_cases(tmp_path).cases}
    both = {"image": ("image", None), "label": ("label", None)}
    assert cases == {"a": both, "b": both, "c_mask": {"image": ("image", None)}}


@pytest.mark.parametrize(("first", "second"), [("labels", "masks"), ("images", "image"), ("images", "Images")])
def test_two_folders_for_one_channel_are_refused(tmp_path, first, second):
    for folder in {"images", first, second}:
        nifti(tmp_path / folder / "a.nii.gz")
    with pytest.raises(MedsynthError, match=r"2 folders for one channel .*move all but one") as refused:
        find_cases(tmp_path)
    assert first in str(refused.value)
    assert second in str(refused.value)


@pytest.mark.parametrize("others", [("John Doe", "john_doe"), ("Öä",)])
def test_names_of_unknown_folders_are_not_said(tmp_path, others):
    for folder in ("images", *others):
        nifti(tmp_path / folder / "a.nii.gz")
    with pytest.raises(MedsynthError, match="2 folders for one channel; move") as refused:
        find_cases(tmp_path)
    assert not [other for other in others if other in str(refused.value)]


@pytest.mark.parametrize(
    ("names", "doubled"),
    [
        (["a.nii", "a.nii.gz", "b.nii"], {"a"}),
        (["a.nii", "a_seg.nii", "a_label.nii", "b.nii", "b_seg.nii"], {"a"}),
        (["images/a.nii", "images/a.nii.gz", "images/b.nii.gz", "labels/b.nii"], {"a"}),
        (["images/a.nii", "labels/a.nii.gz", "labels/a.nii", "images/b.nii"], {"a"}),
        (["sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii"], {"sub-1/anat/sub-1"}),
        (["sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_t1w.nii", "sub-2/anat/sub-2_T1w.nii"], {"sub-1/anat/sub-1"}),
    ],
)
def test_the_second_of_two_files_for_one_channel_is_not_left_out_without_a_word(tmp_path, names, doubled):
    for name in names:
        nifti(tmp_path / name)
    cases = find_cases(tmp_path).cases
    assert len(cases) == 2
    assert {case.source for case in cases if case.refusal and "two files for one channel" in case.refusal} == doubled


def test_folders_that_may_be_channels_or_patients_are_refused(tmp_path):
    for patient in ("one", "two"):
        nifti(tmp_path / patient / "t1.nii.gz")
    with pytest.raises(MedsynthError, match="channels or patients"):
        find_cases(tmp_path)
    cases = find_cases(tmp_path, patient_pattern=r"(\w+)/t1").cases
    assert [case.patient for case in cases] == ["one", "two"]


def decathlon(folder, **changes):
    for k in range(2):
        nifti(folder / "imagesTr" / f"x_{k}.nii.gz", (3, 4, 5, 2))
        nifti(folder / "labelsTr" / f"x_{k}.nii.gz")
    nifti(folder / "imagesTs" / "x_9.nii.gz", (3, 4, 5, 2))
    content = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "edema"},
        "training": [{"image": f"./imagesTr/x_{k}.nii.gz", "label": f"./labelsTr/x_{k}.nii.gz"} for k in range(2)],
        "test": ["./imagesTs/x_9.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))


def test_the_decathlon_names_modalities_and_labels(tmp_path):
    decathlon(tmp_path)
    found = find_cases(tmp_path)
    assert (found.layout, len(found.cases), found.skipped) == ("decathlon", 2, 1)
    case = found.cases[0]
    assert channels(case) == {"flair": ("image", "MR"), "t1w": ("image", "MR"), "label": ("label", None)}
    assert [channel.index for channel in case.channels] == [0, 1, None]
    assert case.labels == {1: "edema"}


@pytest.mark.parametrize("damage", ["cut", "no text", "no object", "training", "empty", "link"])
def test_a_broken_dataset_json_is_not_left_out_without_a_word(tmp_path, damage):
    decathlon(tmp_path)
    path = tmp_path / "dataset.json"
    content = path.read_text()
    if damage == "link":
        path.unlink()
        path.symlink_to("gone")
    else:
        other = {"cut": content[:-9], "no text": "\0", "no object": "[]", "empty": ""}
        path.write_text(other.get(damage, content.replace("training", "trainings")))
    with pytest.raises(MedsynthError, match=r"dataset\.json is no JSON or .*; mend it, or set layout=nifti"):
        find_cases(tmp_path)
    assert find_cases(tmp_path, layout="nifti").layout == "nifti"


def test_a_dataset_json_of_another_kind_changes_nothing(tmp_path):
    nifti(tmp_path / "a.nii.gz")
    (tmp_path / "dataset.json").write_text('{"authors": ["x"]}')
    assert find_cases(tmp_path).layout == "nifti"


def test_a_dataset_json_does_not_lead_out_of_its_folder(tmp_path):
    decathlon(tmp_path / "d", training=[{"image": "../secret.nii.gz", "label": "/etc/x.nii.gz"}])
    assert "not inside its folder" in find_cases(tmp_path / "d").cases[0].refusal
    decathlon(tmp_path / "d", modality=None)
    with pytest.raises(MedsynthError, match="layout=nifti"):
        find_cases(tmp_path / "d")


NNUNET = {"channel_names": {"0": "CT"}, "labels": {"a": 1}}


def nnunet(folder, channels, **changes):
    for k in range(2):
        for part in range(len(channels)):
            nifti(folder / "imagesTr" / f"x_{k}_{part:04d}.nii.gz")
        nifti(folder / "labelsTr" / f"x_{k}.nii.gz")
    nifti(folder / "imagesTs" / "x_9_0000.nii.gz")
    content = {
        "channel_names": {str(k): name for k, name in enumerate(channels)},
        "labels": {"background": 0, "edema": 1, "whole": [1, 2], "core": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))


def test_nnunet_joins_numbered_images_and_their_label(tmp_path):
    nnunet(tmp_path / "one", ["CT"])
    found = find_cases(tmp_path / "one")
    assert (found.layout, [case.source for case in found.cases], found.skipped) == ("nnunet", ["x_0", "x_1"], 1)
    assert channels(found.cases[0]) == {"image": ("image", "CT"), "label": ("label", None)}
    assert found.cases[0].labels == {1: "edema", 2: "core"}
    assert len({case.patient for case in found.cases}) == 2
    nnunet(tmp_path / "two", ["T2", "ADC"])
    (tmp_path / "two" / "imagesTr" / "x_1_0001.nii.gz").unlink()
    whole, part = find_cases(tmp_path / "two").cases
    assert channels(whole) == {"t2": ("image", "MR"), "adc": ("image", "MR"), "label": ("label", None)}
    assert whole.refusal is None
    assert "_0001" in part.refusal


@pytest.mark.parametrize("double", ["imagesTr/x_1_0000.nii", "labelsTr/x_1.nii"])
def test_an_nnunet_case_with_two_files_for_one_channel(tmp_path, double):
    nnunet(tmp_path, ["CT"])
    nifti(tmp_path / double)
    first, second = find_cases(tmp_path).cases
    assert first.refusal is None
    assert "two files for one channel" in second.refusal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": {"x": 1}}, "does not name channel_names"),
        ({"channel_names": {"0": "CT"}, "labels": ["a"]}, "does not name channel_names"),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, "label ignore"),
        ({"labels": {"background": 0, "a": -1}}, "no whole number"),
        ({"labels": {"background": 0, "a": 1.5}}, "no whole number"),
    ],
)
def test_an_nnunet_dataset_that_is_not_understood(tmp_path, changes, message):
    nnunet(tmp_path, ["CT"], **changes)
    with pytest.raises(MedsynthError, match=message):
        find_cases(tmp_path)


def test_nnunet_labels_in_regions_and_the_wrong_way_round(tmp_path):
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "b": "4", "c": 5.0}
    nnunet(tmp_path / "a", ["CT"], labels=regions)
    assert find_cases(tmp_path / "a").cases[0].labels == {1: "label 1", 2: "label 2", 3: "enhancing", 4: "b", 5: "c"}
    nnunet(tmp_path / "b", ["CT"], labels={"0": "background", "1": "edema"})
    assert find_cases(tmp_path / "b").cases[0].labels == {1: "edema"}


def test_nnunet_channels_of_one_name_all_stay(tmp_path):
    nnunet(tmp_path, ["zscore", "zscore", "label"])
    planned = find_cases(tmp_path).cases[0].channels
    assert [channel.name for channel in planned] == ["zscore_0", "zscore_1", "label_2", "label"]
    assert [channel.paths[0].name for channel in planned[:3]] == [f"x_0_000{k}.nii.gz" for k in range(3)]
    decathlon(tmp_path / "d", modality={"0": "MRI", "1": "MRI"})
    assert set(channels(find_cases(tmp_path / "d").cases[0])) == {"mri_0", "mri_1", "label"}


def test_nnunet_of_the_first_version_of_png_and_with_a_pattern(tmp_path):
    first = tmp_path / "first"
    training = [{"image": f"./imagesTr/x_{k}.nii.gz", "label": f"./labelsTr/x_{k}.nii.gz"} for k in range(2)]
    nnunet(first, ["CT"], channel_names=None, modality={"0": "CT"}, training=training, labels={"1": "edema"})
    found = find_cases(first, patient_pattern=r"imagesTr/x_(\d)")
    assert (found.layout, [case.patient for case in found.cases]) == ("nnunet", ["0", "1"])
    assert channels(found.cases[0]) == {"image": ("image", "CT"), "label": ("label", None)}
    png = tmp_path / "png"
    for path in ("imagesTr/c_0000.png", "labelsTr/c.png"):
        (png / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(png / path)
    (png / "dataset.json").write_text(json.dumps({"channel_names": {"0": "grey"}, "labels": {"a": 1}}))
    (case,) = find_cases(png).cases
    assert channels(case) == {"image": ("image", None), "label": ("label", None)}
    (png / "dataset.json").unlink()
    with pytest.raises(MedsynthError, match="label maps, not like a class"):
        find_cases(png)


@pytest.mark.parametrize(("place", "content"), [("", {}), ("imagesTr/deep", {}), ("imagesTr", {"training": []})])
def test_no_case_at_all_is_one_line(tmp_path, place, content):
    nifti(tmp_path / place / "x.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, **content} if content else NNUNET))
    with pytest.raises(MedsynthError, match=r"not one case|holds no NAME_0000"):
        find_cases(tmp_path)


def test_bids_groups_by_grid_and_reads_participants(tmp_path):
    for subject in ("01", "02"):
        anat = tmp_path / f"sub-{subject}" / "ses-a" / "anat"
        nifti(anat / f"sub-{subject}_ses-a_T1w.nii.gz")
        nifti(anat / f"sub-{subject}_ses-a_FLAIR.nii.gz")
        nifti(anat / f"sub-{subject}_ses-a_T2w.nii.gz", spacing=2.0)
        nifti(anat / f"sub-{subject}_ses-a_dseg.nii.gz")
        nifti(tmp_path / f"sub-{subject}" / "ses-a" / "func" / f"sub-{subject}_ses-a_bold.nii.gz")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t31\tF\nsub-02\tn/a\tM\n")
    found = find_cases(tmp_path)
    assert found.layout == "bids"
    assert [set(channels(case)) for case in found.cases] == [{"flair", "t1w", "label"}, {"t2w"}] * 2
    assert [case.patient for case in found.cases] == ["sub:01", "sub:01", "sub:02", "sub:02"]
    assert {case.patient_source for case in found.cases} == {"bids"}
    assert found.cases[0].attributes == {"age": 31, "sex": "F", "session": "a"}
    assert found.cases[2].attributes["age"] is None
    assert len({case.source for case in found.cases}) == 4


def test_pictures_take_their_folder_as_class_and_not_the_sources_split(tmp_path):
    names = {
        "train/PNEUMONIA/train_person7_virus_1.png": ("PNEUMONIA", "person:7", "pattern"),
        "test/PNEUMONIA/test_person7_bacteria_2.png": ("PNEUMONIA", "person:7", "pattern"),
        "test/PNEUMONIA/person70_virus_1.jpeg": ("PNEUMONIA", "person:70", "pattern"),
        "train/NORMAL/train_IM-0533-0001-0002.png": ("NORMAL", "im:533", "presumed"),
        "val/NORMAL/val_IM-0533-0001.png": ("NORMAL", "im:533", "presumed"),
        "val/NORMAL/val_NORMAL2-IM-0533-0001.png": ("NORMAL", "normal2-im:533", "presumed"),
        "val/NORMAL/other.png": ("NORMAL", "file:val/NORMAL/other.png", "presumed"),
    }
    for name in names:
        picture(tmp_path / name)
    found = find_cases(tmp_path, layout="pictures")
    assert found.layout == "pictures"
    assert {c.source: (c.attributes["class"], c.patient, c.patient_source) for c in found.cases} == names
    assert {case.split for case in found.cases} == {None}


@pytest.mark.parametrize(
    ("folders", "pictures", "vouching_helps"),
    [(2, 4, True), (13, 6, True), (30, 1, True), (64, 1, True), (65, 6, False)],
)
def test_picture_folders_that_may_be_patients_are_not_taken_for_classes(tmp_path, folders, pictures, vouching_helps):
    for number in range(folders):
        for k in range(pictures):
            picture(tmp_path / "train" / f"John Doe {number}" / f"{k}.png")
    with pytest.raises(
        MedsynthError, match=f"{folders * pictures} pictures in {folders} folders.*a CSV with"
    ) as refused:
        find_cases(tmp_path)
    assert "Doe" not in str(refused.value)
    assert ("layout=pictures" in str(refused.value)) == vouching_helps
    if vouching_helps:
        found = find_cases(tmp_path, layout="pictures")
        assert len({case.attributes["class"] for case in found.cases}) == folders
    else:
        with pytest.raises(MedsynthError, match="may be patients"):
            find_cases(tmp_path, layout="pictures")


@pytest.mark.parametrize(("folders", "pictures"), [(0, 3), (1, 5), (2, 5), (12, 5)])
def test_few_folders_of_many_pictures_are_classes(tmp_path, folders, pictures):
    for number in range(folders):
        for k in range(pictures):
            picture(tmp_path / f"class {number}" / f"{k}.png")
    picture(tmp_path / "lone.png")
    found = find_cases(tmp_path)
    assert len({case.attributes.get("class") for case in found.cases}) == folders + 1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_channels_patients_splits_and_attributes(tmp_path, separator):
    for name in ("a", "b"):
        nifti(tmp_path / f"{name}.nii.gz")
        nifti(tmp_path / f"{name}_l.nii.gz")
    head = ["image", "flair", "label", "patient", "split", "age", "side"]
    rows = [
        ["a.nii.gz", "b.nii.gz", "a_l.nii.gz", "A", "train", "40.5", "left"],
        [str(tmp_path / "b.nii.gz"), "", "b_l.nii.gz", "", "val", "n/a", "right"],
    ]
    (tmp_path / "t.csv").write_text(
        "\ufeff" + "\n".join(separator.join(row) for row in [head, *rows]), encoding="utf-8"
    )
    first, second = find_cases(tmp_path / "t.csv", modality="CT").cases
    assert channels(first) == {"image": ("image", "CT"), "flair": ("image", "MR"), "label": ("label", None)}
    assert (first.patient, first.patient_source, first.split) == ("A", "csv", "train")
    assert first.attributes == {"age": 40.5, "side": "left"}
    assert set(channels(second)) == {"image", "label"}
    assert (second.patient_source, second.split) == ("presumed", "validation")
    assert second.attributes == {"age": None, "side": "right"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\n", "no rows"),
        ("name,age\nx,1\n", "no column that names images"),
        ("image,age\na.nii.gz\n", "row 2: 1 values for 2 columns"),
        ("image,image\na.nii.gz,b.nii.gz\n", "one name twice"),
        ("image,split\na.nii.gz,holdout\n", "unknown split"),
        (
            "image,patient,split\na.nii.gz,DOE,train\nb.nii.gz,DOE,\nc.nii.gz,DOE,val\n",
            "row 4: its patient is in validation, and in train by row 2; give each patient one split, or none",
        ),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(MedsynthError, match=message) as refused:
        find_cases(tmp_path / "t.csv")
    assert "DOE" not in str(refused.value)


def test_a_dicom_tree_is_known_by_content_and_grouped_by_series(tmp_path):
    write_phantom(tmp_path / "p", patients=2, scans=2, seed=0, form="dicom", shape=(8, 8, 3), spacing=(40, 40, 120))
    (tmp_path / "p" / "notes").write_text("no scan")
    for path in list((tmp_path / "p").rglob("IM*")):  # one folder, names without meaning
        path.rename(tmp_path / "p" / f"{abs(hash(path.as_posix()))}")
    found = find_cases(tmp_path / "p", workers=2)
    assert (found.layout, len(found.cases), found.skipped) == ("dicom", 8, 1)
    assert sorted({tuple(channels(case)) for case in found.cases}) == [("ct",), ("mr",)]
    assert {len(case.channels[0].paths) for case in found.cases} == {3}
    assert len({case.patient for case in found.cases}) == 2
    assert {case.patient_source for case in found.cases} == {"dicom"}


def empty(folder):
    pass


def texts(folder):
    for k in range(3):
        (folder / f"{k}.txt").write_text("words")


def mixed(folder):
    nifti(folder / "a.nii.gz")
    picture(folder / "a.png")


def hidden(folder):
    nifti(folder / ".a.nii.gz")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (empty, {}, "is empty"),
        (hidden, {}, "is empty"),
        (texts, {}, "holds 3 files, none of them DICOM, NIfTI, PNG or JPEG"),
        (mixed, {}, "1 NIfTI files, 1 PNG or JPEG files: set layout=nifti or layout=pictures .*names down"),
        (mixed, {"layout": "dicom"}, "nothing that layout=dicom reads"),
        (mixed, {"layout": "bids"}, "nothing that layout=bids reads"),
        (mixed, {"layout": "csv"}, "the CSV file itself"),
        (mixed, {"layout": "niftii"}, "layout is one of"),
        (mixed, {"patient_pattern": "("}, "no regular expression"),
        (mixed, {"patient_pattern": "(a)(b)"}, "2 groups"),
        (mixed, {"modality": "ct"}, "DICOM code in capitals"),
    ],
)
def test_one_clear_line_where_there_is_nothing_to_read(tmp_path, make, options, message):
    make(tmp_path)
    with pytest.raises(MedsynthError, match=message):
        find_cases(tmp_path, **options)


def test_a_choice_settles_what_is_ambiguous(tmp_path):
    mixed(tmp_path)
    assert find_cases(tmp_path, layout="nifti").layout == "nifti"
    assert find_cases(tmp_path, layout="pictures").layout == "pictures"


def test_files_left_aside_are_counted_by_their_ending_and_not_named(tmp_path):
    decathlon(tmp_path / "d")
    (tmp_path / "d" / "scan.Doe").write_text("x")
    (tmp_path / "d" / "notes.txt").write_text("x")
    nifti(tmp_path / "d" / "imagesTs" / "x_10.nii.gz")
    assert find_cases(tmp_path / "d").aside == {".nii.gz": 2, ".txt": 1, "other": 1}
    nifti(tmp_path / "n" / "images" / "a.nii")
    nifti(tmp_path / "n" / "above.nii")
    assert find_cases(tmp_path / "n").aside == {".nii": 1}
    picture(tmp_path / "p" / "a.png")
    assert find_cases(tmp_path / "p").aside == {}
    (tmp_path / "p" / "read.me").write_text("x")
    assert find_cases(tmp_path / "p").aside == {"other": 1}


def test_links_in_a_ring_end_and_a_missing_source_is_said(tmp_path):
    nifti(tmp_path / "s" / "a.nii.gz")
    (tmp_path / "s" / "ring").symlink_to(tmp_path / "s")
    assert len(find_cases(tmp_path / "s").cases) == 1
    with pytest.raises(MedsynthError, match="does not exist"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(MedsynthError, match="is a file"):
        find_cases(tmp_path / "s" / "a.nii.gz")


def test_a_pattern_that_does_not_fit_refuses_the_case_alone(tmp_path):
    nifti(tmp_path / "p1_a.nii.gz")
    nifti(tmp_path / "other.nii.gz")
    cases = {case.source: case for case in find_cases(tmp_path, patient_pattern=r"p(\d)_").cases}
    assert (cases["p1_a"].patient, cases["p1_a"].refusal) == ("1", None)
    assert "does not fit" in cases["other"].refusal
