"""Names in records that would be paths, or more than text: nothing is written outside out."""

import json
import shutil

import pydicom
import pytest

from medsynth.errors import MedsynthError
from medsynth.export.run import export
from medsynth.files import sha256_json
from tests.export.checks import files
from tests.export.conftest import place

HOSTILE = [
    "..", "../../owned", "/owned", "a/../../owned", "a\0b", "x" * 300, "CON", "nul", "aux.dcm", "com1", "~", "$HOME",
    "a\\b\\c", "C:\\owned", "..\\..\\owned", "\n", "\r\nX: y", "\x1b[2J", "\ud800", "é" * 40, " ", "-rf", "*",
    ".hidden", "`id`",
]  # fmt: skip
FIELDS = ["id", "channel", "path", "condition", "sampler", "licences", "overrides", "labels"]


@pytest.fixture(scope="module")
def template(make_samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    return make_samples(folder / "samples", place("axial", (4, 3, 2)), channels, labels={0: "background", 1: "liver"})


def spoiled(content, field, text):
    if field == "id":
        content["id"] = text
    elif field == "channel":
        content["channels"][text] = content["channels"].pop("image")
    elif field == "path":
        content["channels"]["image"]["path"] = text
    elif field in ("condition", "sampler"):
        content[field] = {text: text}
    elif field == "labels":
        content["labels"]["1"] = text
    else:
        content[field] = [text, text]
    return {**content, "sha256": sha256_json(content)}


def outside(folder):
    return {path for path in folder.rglob("*") if "out" not in path.relative_to(folder).parts[:1]}


def goes_out(case):
    try:
        export(case / "samples", case / "out", unaudited="i_accept", progress=False)
    except MedsynthError:
        return False
    return True


@pytest.mark.parametrize("field", FIELDS)
def test_nothing_is_written_outside(template, tmp_path, field):
    """25 texts in each of 8 fields; what goes out can be read again."""
    refused = 0
    for number, text in enumerate(HOSTILE):
        case = tmp_path / f"case{number}"
        shutil.copytree(template, case / "samples")
        content = json.loads((case / "samples" / "samples.jsonl").read_text())
        del content["sha256"]
        (case / "samples" / "samples.jsonl").write_text(json.dumps(spoiled(content, field, text)) + "\n")
        before = outside(case)
        refused += not goes_out(case)
        assert outside(case) == before
        assert {path.name for path in tmp_path.iterdir()} == {f"case{done}" for done in range(number + 1)}
        for path in files(case / "out"):
            dataset = pydicom.dcmread(path)
            assert str(dataset.PatientName).startswith("SYNTHETIC^")
            assert len(dataset.StudyInstanceUID) <= 64
            assert set(path.relative_to(case / "out" / "dicom").parts[0]) <= set("sx0123456789abcdef")
    assert refused == {"id": 21, "channel": 21, "path": 25}.get(field, 0)
