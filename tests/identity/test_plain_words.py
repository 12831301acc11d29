"""Descriptors keep what says how a scan was made, and nobody's name."""

import pytest

from medsynth.identity.confidentiality import load_table
from medsynth.identity.plain_words import kernel, meaning_of, plain_code, plain_text, sequence_name

NAMES = """
smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson
thomas taylor moore jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson walker young
allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell mitchell carter
roberts mueller schmidt schneider fischer weber meyer wagner becker schulz hoffmann koch bauer richter klein wolf
neumann schwarz zimmermann braun krueger hofmann hartmann lange schmitt werner krause meier lehmann maria anna peter
michael susan james mary john patricia robert jennifer linda david elizabeth willis monro douglas meckel may long
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_no_common_name_is_a_plain_word(name: str) -> None:
    assert {plain_text(form) for form in (name, name.title(), name.upper(), f"{name}^{name}", f"Dr {name}")} == {""}
    assert plain_code(name.upper()) == ""


def test_descriptors_of_scanners_keep_their_sense() -> None:
    for text in (
        "T1 SE AX",
        "CT Thorax venous 5mm",
        "FLAIR sag 3D",
        "MPRAGE",
        "Abdomen portal venous",
        "HU",
        "OM",
        "1H",
    ):
        assert plain_text(text) == text
    assert plain_text("t2_tse_tra_p2_Müller") == "t2 tse tra"
    assert plain_text("Accelerated SAG IR-SPGR") == "Accelerated SAG IR SPGR"
    assert plain_text("born 19620110, 0763 Johnson Track, b1000") == "b1000"
    assert plain_text("") == plain_text("4711") == plain_text("\0") == ""


def test_codes_of_vendors_and_of_the_standard_stay() -> None:
    for code in ("ORIGINAL", "PRIMARY", "M", "ND", "DIS2D", "FAST_GEMS", "HFS", "LSPINE", "T1 MAP", "CURVED LINEAR"):
        assert plain_code(code) == code
    for code in ("SMITH", "ZQ0001", "19620110", "lower case", "ABDOMEN^X", "A" * 17):
        assert plain_code(code) == ""


def test_kernels_and_sequences_are_known_by_their_form() -> None:
    for name in ("B30f", "Br40d", "H31s", "FC13", "STANDARD", "BONE", "LUNG", "FL04", "STD+"):
        assert kernel(name) == name
    for name in ("*tfl3d1_16ns", "*epfid2d1_64", "*fl3d1", "*tse2d1_9", "epi_dti", "FFE", "*spcir_278ns"):
        assert sequence_name(name) == name
    for text in ("Smith", "Zq0001", "dicom2nifti", "19620110"):
        assert kernel(text) == sequence_name(text) == ""


def test_codes_have_the_standards_own_meaning() -> None:
    assert meaning_of("T-A0100", "SRT") == meaning_of("12738006", "SCT") == "Brain structure (body structure)"
    assert meaning_of("Hz", "UCUM") == "Hz"
    assert meaning_of("113100", "99ACME") is None
    assert meaning_of("SMITH", "DCM") is None


def test_the_list_is_of_words() -> None:
    words = load_table("plain_words.json")["words"].split()
    assert 800 < len(words) < 1200
    assert all(word == word.lower() and word.isascii() for word in words)
