"""The Decathlon's and nnU-Net's folders, which a dataset.json describes."""

import json

import numpy as np
import pytest
from PIL import Image

from medsynth.errors import MedsynthError
from medsynth.ingest.layouts import find_cases
from tests.ingest.files import channels, decathlon, nifti


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
