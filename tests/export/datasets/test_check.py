"""`medsynth check` of an exported data set: nobody is named, and whoever is put into it by hand is found."""

import csv
from pathlib import Path, PurePosixPath

import pytest

from medsynth.export.datasets.settings import DatasetSettings
from medsynth.identity.check import Checker, check
from medsynth.identity.own_values import REASONS
from tests.export.datasets.conftest import content, go
from tests.export.test_gate import audited
from tests.identity.planted_datasets import FOREIGN_UID, described, plants_in

KINDS = ("nnunet", "decathlon", "bids", "monai")
SETTINGS = DatasetSettings(suffix={"image": "T1w"})


@pytest.fixture
def exported(make_pair, tmp_path):
    """Samples of nobody's, of a training patient, of two, of one who was held out; a foreign name; real cases."""

    def make(kind, options=None, **changes):
        pair = make_pair(count=6)
        for number in range(6):
            pair.change(number, condition={"class": "a", "age": 61}, sampler={"name": "heun", "steps": 4, "rho": 7.0})
        pair.derive(1, pair.case("train"), overrides=("uncleared=i_accept", "identity=trust", "membership=null"))
        pair.derive(2, pair.case("train"), pair.case("train", 3))
        pair.derive(3, pair.case("test"))
        pair.change(4, id="axial-sample")
        for number, one in changes.items():
            pair.change(int(number), **one)
        out = tmp_path / kind
        go(pair, out, kind, **{"dataset": SETTINGS, **(options or {})})
        return out

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_whatever_the_audit_said(kind, make_pair, tmp_path):
    pair = make_pair(count=3)
    for number in range(3):
        pair.change(number, condition={"class": "a"}, sampler={"name": "heun", "steps": 4, "rho": 7.0})
    audit = audited(pair.samples, tmp_path / "audit", ["pass", "cannot-assess", "fail"], ["presumed=i_accept"])
    go(pair, tmp_path / kind, kind, dataset=SETTINGS, audit=audit)
    assert found(tmp_path / kind) == []


def found(folder: Path) -> list:
    report = check(folder, text="skip", faces="skip", progress=False)
    return list(report.content["findings"])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_in_an_exported_data_set(kind, exported):
    assert found(exported(kind)) == []


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("nnunet", DatasetSettings(validation="keep")),
        ("bids", DatasetSettings(validation="leave_out", test="leave_out", skull_stripped=True)),  # CT: .bidsignore
    ],
)
def test_nothing_is_found_whatever_the_settings(kind, settings, exported):
    assert found(exported(kind, {"dataset": settings})) == []


def test_nothing_is_found_in_a_data_set_of_samples_alone(exported):
    assert found(exported("monai", {"real": None})) == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_identity_planted_in_the_files_of_a_data_set_is_found(kind, exported):
    out, checker, planted, missed = exported(kind), Checker(faces=False), 0, []
    for path in described(out):
        if path.name.startswith("sub-") and not any(one in path.name for one in ("s000000", "s000001", "0004_")):
            continue  # a free sample, a derived one, a patient's: the other subjects' are of their kinds
        whole = path.read_bytes()
        for what, changed in plants_in(path):
            path.write_bytes(changed)
            planted += 1
            if not checker.file(path, PurePosixPath(path.name)).findings:
                missed.append(f"{path.name}: {what}")
        path.write_bytes(whole)
    print(f"{kind}: planted {planted}, found {planted - len(missed)}; missed: {missed[:20]}")
    assert planted >= 500
    assert missed == []


def test_the_checker_knows_every_reason_to_stay_behind(exported):
    """Its own list of them, made apart from the exporter's, is held to what this test sees go out."""
    out = exported("decathlon", {"dataset": DatasetSettings(validation="leave_out", test="leave_out")})
    assert set(content(out, "export.json")["left_out"]) <= set(REASONS)
    assert len(content(out, "export.json")["left_out"]) == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("case", "s196105"),
        ("case", "KH471123"),
        ("patient", "synthetic-19610503"),
        ("patient", "4711234"),
        ("patient", FOREIGN_UID),
        ("parents", "0" * 56 + "19610503"),
        ("record", "19610503" * 8),
        ("attributes", '{"age": 6.1000000000019610503e1, "class": "a"}'),
        ("attributes", '{"age": 90, "class": "a", "age": 61}'),
        ("age", "93"),
        ("seed", "19610503"),
        ("path_image", "./imagesTr/Quandt_Ottilie.nii.gz"),
        ("source", "Ottilie"),
    ],
)
def test_what_looks_like_ours_and_does_not_fit_is_found(column, value, exported):
    """A sample's name without its index, digits alone for a hash, digits that are rounded away."""
    path = exported("decathlon", {"real": None}) / "decathlon/Task900_Medsynth/dataset.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1][0] == "s000000"
    rows[1][rows[0].index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    assert {one.place for one in Checker(faces=False).file(path, PurePosixPath(path.name)).findings} == {
        f"column {rows[0].index(column) + 1}"
    }


def test_the_age_that_the_gate_makes_of_those_above_89_passes_where_the_gate_cleared_it(exported):
    out = exported("decathlon", {"real": None, "unaudited": "i_accept"})
    path = out / "decathlon/Task900_Medsynth/dataset.csv"
    text = path.read_text().replace('""age"": 61', '""age"": 90').replace(",61,a", ",90,a")
    path.write_text(text)
    assert Checker(faces=False).file(path, PurePosixPath(path.name)).findings == []
    path.write_text(text.replace(",cleared,", ",trusted,"))
    assert Checker(faces=False).file(path, PurePosixPath(path.name)).findings != []


@pytest.mark.parametrize("name", ["dataset.csv", "dataset.json", "export.json"])
def test_the_same_bytes_under_another_name_are_judged_like_any(name, exported):
    out = exported("monai")
    path = next(path for path in described(out) if path.name == name)
    other = path.with_name(f"table{path.suffix}")
    path.rename(other)
    assert Checker(faces=False).file(other, PurePosixPath(other.name)).findings
