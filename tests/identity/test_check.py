"""The checker against planted identities, against clean values, and on whole folders."""

import json
from pathlib import Path, PurePosixPath

import pydicom
import pytest

from medsynth.cli.main import main
from medsynth.data.dicom_file import quiet
from medsynth.errors import MedsynthError
from medsynth.identity.check import Checker, check
from tests.identity.clean_files import clean_dicom, clean_nifti, nest, packed, save
from tests.identity.planted import plants
from tests.identity.planted_disguised import MISSED, described
from tests.identity.seen import judged_values

PLANTS = plants()


def found_in(folder: Path, checker: Checker | None = None) -> list:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    checked = [(checker or Checker()).file(path, PurePosixPath(path.relative_to(folder).as_posix())) for path in paths]
    return [finding for one in checked for finding in one.findings]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    folder = tmp_path / "clean"
    save(clean_dicom(), folder / "series1" / "IM-0001-0002.dcm")
    (folder / "volume.nii.gz").write_bytes(packed(clean_nifti(descrip=b"FSL5.0").to_bytes()))
    (folder / "sub-01_T1w.json").write_text(
        json.dumps({"Modality": "MR", "EchoTime": 0.003, "Manufacturer": "Siemens"})
    )
    (folder / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t61\tF\n")
    return folder


def test_nothing_is_found_in_clean_files(clean: Path) -> None:
    assert found_in(clean) == []


def test_planted_identities_are_found(tmp_path: Path) -> None:
    missed = []
    for number, plant in enumerate(PLANTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        plant.write(folder)
        if not found_in(folder):
            missed.append(plant.place)
    print(f"planted {len(PLANTS)}, found {len(PLANTS) - len(missed)}; missed: {missed}")
    assert len(PLANTS) >= 200
    assert missed == []


@pytest.mark.parametrize("text", MISSED)
def test_what_is_missed_is_what_is_said_to_be(text: str, tmp_path: Path) -> None:
    """One that is found is to leave the list, and the sentence in the reference."""
    described(text, tmp_path / "IM-0001.dcm")
    assert found_in(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "ISO_10918_1",
        "P L H",
        "T R A N S",
        "0.12345 12345.5",
        "1 0 0 0 0 1 0 0",
        "1 9 6 1 0 5 0 3 1",
        "a" * 64,
        "00ff" * 8,
    ],
)
def test_what_looks_disguised_and_is_not(text: str, tmp_path: Path) -> None:
    described(text, tmp_path / "IM-0001.dcm")
    assert found_in(tmp_path) == []


def test_names_of_files_that_count(tmp_path: Path) -> None:
    for name in ("00000012.dcm", "IM00000J", "pat_0012.dcm", "pat_000123.dcm", "case_00012_0000.dcm", "sub-10159.dcm"):
        save(clean_dicom(), tmp_path / name)
    assert found_in(tmp_path) == []


def test_numbers_alone_in_tables_are_measures(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("volume,note\n493027,head\n49302.0,head\n")
    (tmp_path / "dwi.bval").write_text("0 10000 100000\n")
    assert found_in(tmp_path) == []
    (tmp_path / "volumes.csv").write_text("volume,note\n493027,head 493027\n")
    assert [(one.kind, one.place) for one in found_in(tmp_path)] == [("number", "column 2")]


def test_places_of_plants_hold_clean_values_without_a_finding(tmp_path: Path) -> None:
    """What is found above is found for the planted value, not for its place."""
    dataset = clean_dicom()
    item = nest(dataset, 6)
    item.SeriesDescription, item.SequenceName, item.SeriesNumber, item.TablePosition = "Thorax", "tfl3d1", 4, 12.5
    item.ReferencedSOPInstanceUID, item.ContrastBolusAgent, item.PatientID = "2.25.77", "iohexol", "p0123456789abcdef"
    item.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    dataset.add_new(0x60003000, "OW", bytes(16))
    dataset.add_new(0xFFFCFFFC, "OB", bytes(64))
    save(dataset, tmp_path / "IM-0001.dcm")
    assert found_in(tmp_path) == []


def test_shifted_dates_pass_where_the_header_says_so(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.StudyDate, dataset.ContentTime, dataset.PatientBirthDate = "20230117", "101523.25", "19610503"
    dataset.PatientIdentityRemoved = "YES"
    save(dataset, tmp_path / "IM-0001.dcm")
    assert sorted(finding.kind for finding in found_in(tmp_path)) == ["birth", "date", "time"]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.SeriesDescription = "Thorax 17.01.2023"  # no element of dates: nothing says that it is shifted
    save(dataset, tmp_path / "IM-0001.dcm")
    assert sorted((finding.kind, finding.place) for finding in found_in(tmp_path)) == [
        ("birth", "(0010,0030)"),
        ("date", "(0008,103E)"),
    ]
    dataset.PatientIdentityRemoved = "NO"
    del dataset.PatientBirthDate, dataset.SeriesDescription
    save(dataset, tmp_path / "IM-0001.dcm")
    assert sorted(finding.kind for finding in found_in(tmp_path)) == ["date", "time"]


@pytest.mark.data
def test_few_values_of_real_acquisitions_are_findings(test_data: Path) -> None:
    """The keep-list: geometry, rescale and acquisition of the real files, at the top and in every item."""
    values, false = 0, {}
    paths = [path for path in sorted((test_data / "dicom").rglob("*")) if path.is_file()]
    for path in paths:
        with quiet():
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            for keyword, findings in judged_values(dataset):
                values += 1
                if findings:
                    false.setdefault(keyword, []).append(len(findings))
    wrong = sum(map(len, false.values()))
    print(f"{values} values of {len(paths)} files, {wrong} false findings ({wrong / values:.2%}): {sorted(false)}")
    assert values > 5000
    assert wrong <= 0.01 * values


def test_report_holds_no_value_and_tells_equal_ones(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for number in range(3):
        dataset = clean_dicom()
        dataset.PatientName, dataset.SeriesDescription = "Quandt^Ottilie", "Ottilie" if number else "Kenji"
        save(dataset, folder / "Quandt" / f"{number}.dcm")
    report = check(folder, tmp_path / "out", progress=False)
    text = (tmp_path / "out" / "identity.json").read_text()
    assert not any(value in text.lower() for value in ("quandt", "ottilie", "kenji"))
    entries = [entry for entry in json.loads(text)["findings"] if entry["place"] == "(0008,103E)"]
    assert [(entry["count"], entry["files"]) for entry in entries] == [(1, "0"), (2, "1-2")]
    assert entries[0]["mark"] != entries[1]["mark"]
    assert report.exit_code == 1
    assert "name 3" in report.summary


def test_allowed_texts_are_no_findings_but_known_ones_are(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.SeriesDescription = "Ottilie"
    save(dataset, tmp_path / "scans" / "1.dcm")
    (tmp_path / "list.txt").write_text("ottilie\n")
    assert check(tmp_path / "scans", allow=tmp_path / "list.txt", progress=False).exit_code == 0
    both = check(tmp_path / "scans", allow=tmp_path / "list.txt", known=tmp_path / "list.txt", progress=False)
    assert both.content["counts"] == {"known": 1}


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    save(clean_dicom(), tmp_path / "cut.dcm")
    whole = (tmp_path / "cut.dcm").read_bytes()
    for name, content in {
        "cut.dcm": whole[:150],
        "cut_in_pixels.dcm": whole[:-40],
        "cut.nii.gz": packed(clean_nifti().to_bytes())[:-20],
        "no.nii": b"no",
        "cut.json": b"{",
        "cut.png": b"no",
        "volume.img": b"PK\x03\x04",
        "empty.dcm": b"",
    }.items():
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / name).write_bytes(content)
        kinds = {finding.kind for finding in found_in(tmp_path / "one")}
        assert kinds == (set() if name == "empty.dcm" else {"unread"}), name
        (tmp_path / "one" / name).unlink()


def test_cases_that_ingest_wrote_are_clean(make_cases, tmp_path: Path) -> None:
    folder = make_cases(tmp_path / "cases", patients=2)
    assert check(folder, progress=False).content["findings"] == []
    image = folder / "volumes" / "case001_image.nii.gz"
    image.write_bytes(packed(clean_nifti(descrip=b"Ottilie").to_bytes()))
    report = check(folder, progress=False)
    assert list(report.content["records"].values()) == ["case001"]


def test_the_command(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", f"folder={clean}", "progress=false"]
    assert main(words) == 0
    assert capsys.readouterr().out == "4 files: nothing found that names anyone\n"
    dataset = clean_dicom()
    dataset.PatientName = "Quandt^Ottilie"
    save(dataset, clean / "series1" / "IM-0001-0003.dcm")
    assert main([*words, f"out={tmp_path / 'out'}"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "5 files: 1 findings in 1 of them: name 1\n"
    assert json.loads((tmp_path / "out" / "identity.json").read_text())["clean"] is False
    assert main(["check"]) == 2
    assert main([*words, "nope=1"]) == 2
    assert main(["check", f"folder={tmp_path / 'nothing'}"]) == 1


def test_out_inside_the_folder_and_an_empty_folder_are_refused(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(MedsynthError, match="out lies inside folder"):
        check(clean, clean / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MedsynthError, match="holds no file"):
        check(tmp_path / "empty")
    assert not (clean / "out").exists()


def test_what_the_file_says_of_its_dates_counts_only_where_it_can_be_parsed(tmp_path: Path) -> None:
    """A claim of removed identity with a broken type is no claim: the shifted date is a date again."""
    dataset = clean_dicom()
    dataset.PatientIdentityRemoved, dataset.LongitudinalTemporalInformationModified = "YES", "MODIFIED"
    dataset.StudyDate = "20190304"
    path = save(dataset, tmp_path / "x.dcm")
    content = path.read_bytes()
    assert [found for found in Checker().file(path, PurePosixPath("x.dcm")).findings if found.kind == "date"] == []
    assert content.count(b"\x12\x00\x62\x00CS") == 1
    path.write_bytes(content.replace(b"\x12\x00\x62\x00CS", b"\x12\x00\x62\x00C\xff"))
    found = Checker().file(path, PurePosixPath("x.dcm")).findings
    assert ("date", "(0008,0020)") in {(finding.kind, finding.place) for finding in found}


def test_what_any_parser_trips_over_is_a_finding(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("medsynth.identity.check.check_nifti", broken)
    path = next(path for path in clean.rglob("*") if path.name.endswith(".nii.gz"))
    checked = Checker().file(path, PurePosixPath(path.name))
    assert checked.format == "unread"
    assert [(finding.kind, finding.place) for finding in checked.findings] == [("unread", "file")]
