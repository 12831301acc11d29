"""Text that names somebody, in sentences, tables, keys and file names, and what looks like it and does not."""

from pathlib import Path, PurePosixPath

import pytest

from medsynth.identity.check import Checker
from medsynth.identity.check_names import judge_name
from medsynth.identity.shapes import is_foreign_uid, judge
from medsynth.identity.vocabulary import known_words, names_not_words, standard_terms


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Number 83749201.", "number"),
        ("83749201.0", "number"),
        ("4411-2210-87.", "number"),
        ("Phone 555-123-4567.", "phone"),
        ("of 3/5/61.", "date"),
        ("of 03.05.61.", "date"),
        ("03051961.", "date"),
        ("\uff11\uff19\uff16\uff11\uff0d\uff10\uff15\uff0d\uff10\uff13", "date"),
        ("James Brown", "words"),
        ("ROBERT_MILLER", "words"),
        ("HubertKing", "words"),
        ("Ot\u200bti\u200blie", "words"),
        ("Qu\u00adan\u00addt", "words"),
        ("T1 by Dr Li", "name"),
        ("Herr Wu", "name"),
    ],
)
def test_is_found(text: str, kind: str) -> None:
    assert kind in [found.kind for found in judge(text.replace("_", " "))]


@pytest.mark.parametrize("text", ["white matter 12345.678 mm", "DR CHEST", "0.83749201", "T1 3D. 45 mm.", "MR. 3 T"])
def test_is_not_found(text: str) -> None:
    assert judge(text) == []


def test_names_are_no_words_and_scanners_words_no_names() -> None:
    assert not names_not_words() & (known_words() | standard_terms())


@pytest.mark.parametrize(
    "name",
    [
        "ct-2019-05-03.dcm", "MR_03_05_1961.nii.gz", "sub-1961-05-03", "12.25.1961.dcm", "02.25.1961.nii",
        "v1961.05.03",
        "slice_1961_05_03_12", "pat-123-45-6789.dcm", "pt_617_555_0182.png", "miller_robert.dcm",
    ],
)  # fmt: skip
def test_names_of_files_with_days_and_numbers_of_somebody(name: str) -> None:
    assert judge_name(name)


@pytest.mark.parametrize(
    "name",
    ["IM-0001-0012.dcm", "se_101_002_0003", "slice-001-02-0003", "sub-01_ses-02_run-3",
        "p0123456789abcdef", "2.25.1001.dcm"],
)  # fmt: skip
def test_names_of_files_with_numbers_in_order(name: str) -> None:
    assert judge_name(name) == []


@pytest.mark.parametrize("uid", ["2.25.19610503", "2.25.83749201", "1.2.840.10008.83749201"])
def test_a_number_below_a_free_root_is_no_uid_of_it(uid: str) -> None:
    assert is_foreign_uid(uid)
    assert not is_foreign_uid("2.25.329800735698586629295641978511506172918")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("image.json", '{"id": 83749201.0}'),
        ("image.json", '{"id": 4929123456789012}'),
        ("image.json", '{"4929123456789012": 1}'),
        ("image.json", '{"year_of_birth": 1961}'),
        ("image.json", '{"patient_dob": "1961"}'),
        ("image.json", '{"patient_id": 493027}'),
        ("image.json", '{"PatientAge": "093Y"}'),
        ("image.json", '{"age": "93 y"}'),
        ("image.json", '{"device_serial_number": "45026"}'),
        ("image.json", '{"referring_physician": "Li Wu"}'),
        ("image.csv", "id,age\n83749201.0,61\n"),
    ],
)
def test_tables_with_somebody(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert Checker().file(tmp_path / name, PurePosixPath(name)).findings


def test_tables_with_nobody(tmp_path: Path) -> None:
    (tmp_path / "image.json").write_text('{"PatientAge": "061Y", "age": "61 y", "b": 999999.25}')
    (tmp_path / "image.csv").write_text("age,dose\n061Y,12.5\n61.0,3\n")
    for name in ("image.json", "image.csv"):
        assert Checker().file(tmp_path / name, PurePosixPath(name)).findings == []
