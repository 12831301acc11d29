"""Folders of pictures: classes, or patients whom nobody may take for classes."""

import pytest

from medsynth.errors import MedsynthError
from medsynth.ingest.layouts import find_cases
from tests.ingest.files import picture


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
