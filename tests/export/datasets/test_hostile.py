"""Names in records that would be paths, or more than text: nothing is written outside out. 200 cases a format."""

import csv
import json
import shutil

import nibabel as nib
import pytest

from medsynth.errors import MedsynthError
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.run import export
from tests.export.conftest import place
from tests.export.test_hostile import FIELDS, HOSTILE, spoiled

KINDS = ["nnunet", "decathlon", "bids", "monai"]
FINE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.fixture(scope="module")
def template(make_samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    return make_samples(folder / "samples", place("axial", (4, 3, 2)), channels, labels={0: "background", 1: "liver"})


def outside(folder):
    return {path for path in folder.rglob("*") if "out" not in path.relative_to(folder).parts[:1]}


def goes_out(case, kind):
    try:
        folder = export(
            case / "samples", case / "out", format=kind, unaudited="i_accept", progress=False,
            dataset=DatasetSettings(folds=None),
        ).folder  # fmt: skip
    except MedsynthError:
        return False
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in [*folder.glob("*.csv"), *folder.rglob("*.tsv")]:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t"))
        assert {len(line) for line in lines} == {len(lines[0])}
    images = list(folder.rglob("*.nii.gz"))
    assert len(images) == 2
    for path in images:
        assert set(path.relative_to(folder).as_posix()) <= FINE | {"/"}
        nib.load(path).get_fdata()
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", FIELDS)
def test_nothing_is_written_outside(template, tmp_path, field, kind):
    """25 texts in each of 8 fields; what goes out can be read."""
    refused = 0
    for number, text in enumerate(HOSTILE):
        case = tmp_path / f"case{number}"
        shutil.copytree(template, case / "samples")
        content = json.loads((case / "samples" / "samples.jsonl").read_text())
        del content["sha256"]
        (case / "samples" / "samples.jsonl").write_text(json.dumps(spoiled(content, field, text)) + "\n")
        before = outside(case)
        refused += not goes_out(case, kind)
        assert outside(case) == before
        assert {path.name for path in tmp_path.iterdir()} == {f"case{done}" for done in range(number + 1)}
    assert refused == {"id": 21, "channel": 21, "path": 25}.get(field, 0)
