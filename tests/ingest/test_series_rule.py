"""Which DICOM series become cases: by modality, description and slices; what is no image is passed over by name."""

import numpy as np
import pytest

from medsynth.cli.main import main
from medsynth.errors import MedsynthError, UsageError
from medsynth.geometry import Geometry
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.series_rule import Seen, SeriesRule, passed_over
from tests.data.test_dicom import CR, CT, MR, oblique, write_series

REPORT, COLOUR = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.7"


def grid(slices):
    return Geometry.centred((6, 5, slices), (1, 1, 2))


@pytest.fixture
def tree(tmp_path):
    """A CT of 4 slices, an MR of 4, two radiographs of one series, a report, a colour picture, a DICOMDIR."""

    def called(text, uid, **more):
        def change(dataset, k):
            dataset.SeriesDescription, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = text, uid, "1.2"
            for name, value in {"Modality": more.get("modality", "CT"), **more.get("values", {})}.items():
                setattr(dataset, name, value)
            if "without" in more:
                del dataset[more["without"]]

        return change

    folder = tmp_path / "scans"
    folder.mkdir()
    stored = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    write_series(folder / "1", oblique(0), stored, called("Thorax DOE^JANE", "1.2.1"), CT)
    write_series(folder / "2", oblique(0), stored + 1, called("T1 head", "1.2.2", modality="MR"), MR)
    write_series(folder / "3", grid(2), stored[:, :, :2], called("chest", "1.2.3", modality="CR"), CR)
    report = called("report", "1.2.4", modality="SR", without="Rows")
    write_series(folder / "4", grid(1), stored[:, :, :1], report, REPORT)
    colour = called("screen", "1.2.5", modality="OT", values={"SamplesPerPixel": 3})
    write_series(folder / "5", grid(1), stored[:, :, :1], colour, COLOUR)
    return folder


def chosen(tree, **rule):
    found = find_cases(tree, series=SeriesRule(**rule))
    return sorted(case.channels[0].name for case in found.cases), dict(passed_over(found.seen))


NO_IMAGE = {"holds no image": 1, "in colour": 1}


@pytest.mark.parametrize(
    ("rule", "names", "passed"),
    [
        ({}, ["cr", "cr", "ct", "mr"], {}),
        ({"modality": ["MR"]}, ["mr"], {"another modality": 3}),
        ({"modality": ["CT", "CR"]}, ["cr", "cr", "ct"], {"another modality": 1}),
        ({"description": "t1|THORAX"}, ["ct", "mr"], {"description does not fit": 2}),
        ({"slices": 4}, ["cr", "cr", "ct", "mr"], {}),
        ({"slices": 5}, ["cr", "cr"], {"fewer than 5 slices": 2}),
    ],
)
def test_a_rule_decides_which_series_become_cases(tree, rule, names, passed):
    assert chosen(tree, **rule) == (names, NO_IMAGE | passed)


def test_a_rule_that_chooses_nothing_says_why(tree):
    says = r"none of the 6 series is chosen \(4 another modality, 1 .*; set series"
    with pytest.raises(MedsynthError, match=says):
        find_cases(tree, series=SeriesRule(modality=["PT"]))


@pytest.mark.parametrize("rule", [{"modality": "CT"}, {"modality": ["ct"]}, {"slices": 0}, {"description": "("}])
def test_rules_that_make_no_sense(rule):
    with pytest.raises(UsageError, match=r"^series\."):
        SeriesRule(**rule)


def test_a_file_cut_short_is_a_refusal_and_nothing_that_is_passed_over(tree):
    path = sorted((tree / "2").iterdir())[0]
    path.write_bytes(path.read_bytes()[:200])
    found = find_cases(tree)
    assert len(found.cases) == 5  # the file alone, and its series without it
    assert Seen("no modality, an unknown SOP class", None, "") in found.seen


def test_the_command_prints_what_was_found_and_names_nobody(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    words = [f"source={tree}", f"out={tmp_path / 'out'}", f"key={tmp_path / 'key'}", "identity=trust", "workers=1"]
    assert main(["ingest", *words, "series.modality=[MR]", "series.slices=2"]) == 0
    printed = capsys.readouterr().out
    lines = [line.strip("│ ") for line in printed.splitlines()]
    cells = [[cell.strip() for cell in line.split("│")] for line in lines]
    assert ["MR, MR Image", "1", "4", "yes"] in cells
    assert ["CT, CT Image", "1", "4", "no: another modality"] in cells
    assert ["SR, Basic Text SR", "1", "", "no: holds no image"] in cells
    assert not [name for name in ("DOE", "Thorax", "T1 head", "screen") if name in printed]
