"""Known identifiers, in every form in which they may be written."""

import json
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.identity.check import Checker, check
from medsynth.identity.known_identifiers import KnownIdentifiers
from tests.identity.clean_files import clean_dicom, clean_nifti, save


def test_known_identifiers_are_found_as_bytes_in_any_encoding(tmp_path: Path) -> None:
    listed = tmp_path / "known.txt"
    listed.write_text("# patients\nKrüger^Jörg\n1961-05-03\nZ77\n", encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    forms = [
        "krüger".encode("latin-1"),
        "KRÜGER".encode(),
        "JÖRG".encode("utf-16-le"),
        "Jörg Krüger".encode("utf-16-be"),
    ]
    forms += [b"03.05.1961", b"19610503", b"1961-05-03", b"case z77 "]
    for number, form in enumerate(forms):
        dataset = clean_dicom()
        dataset.PixelData = b"\x00\xff" + form + bytes(126 - len(form))
        save(dataset, folder / f"{number}.dcm")
    report = check(folder, known=listed, progress=False)
    found = [entry for entry in report.content["findings"] if entry["kind"] == "known"]
    assert report.content["known"] == 3
    assert sorted(entry["files"] for entry in found) == ["0-3", "4-6", "7"]  # equal identifiers have one mark
    assert "rüger" not in json.dumps(report.content, ensure_ascii=False)


def test_short_identifiers_have_to_stand_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("axial sleep study\n")
    listed = tmp_path.parent / f"{tmp_path.name}.txt"
    listed.write_text("lee\n")
    assert "known" not in check(tmp_path, known=listed, progress=False).content["counts"]
    (tmp_path / "text.txt").write_text("axial lee study\n")
    assert check(tmp_path, known=listed, progress=False).content["counts"]["known"] == 1


def places(path: Path, *known: str) -> list[str]:
    findings = Checker(KnownIdentifiers(known), faces=False).file(path, PurePosixPath(path.name)).findings
    return [finding.place for finding in findings if finding.kind == "known"]


@pytest.mark.parametrize("listed", ["Krüger", unicodedata.normalize("NFD", "Krüger")])
@pytest.mark.parametrize("written", ["Krüger", unicodedata.normalize("NFD", "KRÜGER"), "krueger", "Kruger"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_letters_with_accents_composed_decomposed_spelt_out_and_bare(
    listed: str, written: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x00\xff" + f" {written} ".encode(encoding))
    assert places(tmp_path / "x.bin", listed) == ["bytes"]
    (tmp_path / "x.bin").write_bytes(b"\x00\xff" + " Kramer ".encode(encoding))
    assert places(tmp_path / "x.bin", listed) == []


@pytest.mark.parametrize("written", ["Li Wu", "Wu, Li", "wu-li", "WU.LI", "li_wu", "LiWu", "Li^Wu"])
def test_names_of_two_letters_each_stand_together(written: str, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x00\xff " + written.encode() + b" \x00")
    assert places(tmp_path / "x.bin", "Li^Wu") == ["bytes"]


def test_a_name_of_two_letters_is_searched_for_in_text_and_not_in_pixels(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.PixelData = b" Li ".ljust(128, b"\0")
    save(dataset, tmp_path / "1.dcm")
    assert places(tmp_path / "1.dcm", "Li") == []
    dataset.RelatedSeriesSequence = [clean_dicom()]
    dataset.RelatedSeriesSequence[0].SeriesDescription = "Thorax LI"
    save(dataset, tmp_path / "2.dcm")
    assert places(tmp_path / "2.dcm", "Li") == ["text"]
    clean_nifti(descrip=b"Li").to_filename(tmp_path / "3.nii")
    assert places(tmp_path / "3.nii", "Li") == ["text"]
    (tmp_path / "li_4.txt").write_text("liver\n")
    assert places(tmp_path / "li_4.txt", "Li") == ["path"]
    with pytest.raises(MedsynthError, match="fewer than 2 letters"):
        KnownIdentifiers(["L"])


def test_a_name_in_letters_of_another_set(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 144", "Иванов"
    save(dataset, tmp_path / "1.dcm")
    assert places(tmp_path / "1.dcm", "Иванов^Иван") == ["text"]


def test_equal_ones_are_found_once(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Krüger\n", encoding="utf-8")
    assert places(tmp_path / "x.txt", "Krüger") == ["bytes"]


def test_thousands_are_found_as_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last bytes of the content, those on both sides of a part, and none that is not there."""
    monkeypatch.setattr("medsynth.identity.known_identifiers._PART", 4096)
    names = [f"{number:04d}Name" for number in range(2000)]
    content = bytearray(np.random.default_rng(0).integers(128, 256, 20_000, dtype=np.uint8).tobytes())
    places = (0, 4093, 8190, len(content) - 8, 12_000, 40)
    placed = dict(zip(("0001Name", "0700Name", "1500Name", "1999Name", "abc", "Z77"), places, strict=True))
    for name, at in placed.items():
        content[at : at + len(name)] = name.encode()
    found = KnownIdentifiers([*names, "abc", "Z77", "Ottilie^Voss"]).find(bytes(content))
    assert {name: at for at, name in found} == placed
    assert KnownIdentifiers(names).find(b"Na") == []
