"""Each layout is seen for what it is, and what could be two things is refused."""

import pytest

from medsynth.data.phantom_files import write_phantom
from medsynth.errors import MedsynthError
from medsynth.ingest.layouts import find_cases
from tests.ingest.files import channels, decathlon, nifti, picture


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
        ("image,patient\na.nii.gz\0,A\n", "holds a NUL"),
        (f"image,note\na.nii.gz,{'x' * 140_000}\n", "a value of more than 131,072 letters"),
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
