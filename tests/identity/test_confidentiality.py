"""The table is the standard's: beside another project's copy, and resolved as the standard says."""

import importlib

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.sr import codes
from pydicom.sr._cid_dict import cid_concepts
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from medsynth.identity.confidentiality import (
    ALL_OPTIONS,
    Action,
    Option,
    action_of,
    fallback,
    find_attribute,
    load_table,
    profile,
    safe_private,
    type_of,
)
from medsynth.identity.plain_words import meaning_of
from medsynth.identity.removal import _CODES, _FEATURES, _PIXELS

# What differs from dicom-anonymizer's 2026c: it names repeating groups by their first group and a mask; same actions.
EXPLAINED = {(0x5000, 0x0000): "50xxxxxx", (0x6000, 0x3000): "60xx3000", (0x6000, 0x4000): "60xx4000"}


def theirs() -> dict[tuple[int, int], str]:
    pytest.importorskip("dicomanonymizer", reason="dicom-anonymizer is not installed")
    tables = vars(importlib.import_module("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"))
    names = [name for name in tables if name.endswith("_TAGS") and name != "ALL_TAGS"]
    return {
        tag: name.removesuffix("_TAGS").replace("_STAR", "*").replace("_", "/")
        for name in names
        for tag in tables[name]
    }


def test_the_table_agrees_with_dicom_anonymizer_on_every_tag() -> None:
    actions = theirs()
    assert len(actions) == 655
    unlike = {}
    for (group, element, *_), action in actions.items():
        row = find_attribute(Tag(group, element))
        if row is None or row.basic != action:
            unlike[group, element] = (action, row)
    assert unlike == {}
    known = {f"{group:04x}{element:04x}" for group, element, *_ in actions}
    assert sorted(set(profile()) - known) == sorted(EXPLAINED.values())
    shared = {tag[:2]: action for tag, action in actions.items()}
    assert all(shared[tag] == profile()[ours].basic == "X" for tag, ours in EXPLAINED.items())


def test_every_tag_of_the_january_2025_edition_is_there_with_all_columns() -> None:
    rows = load_table("confidentiality_profile.json")["attributes"]
    older = [row for row in rows if row[1] is not None]
    assert len(older) == 620  # 621 less the row of private attributes
    assert len({row[0] for row in rows}) == len(rows) == 655
    counts = {option: sum(option in row[3] for row in rows) for option in Option}
    assert counts == {
        "clean_descriptors": 125,
        "retain_modified_dates": 165,
        "retain_device_identity": 57,
        "retain_patient_characteristics": 13,
        "retain_safe_private": 0,
    }
    assert {row[2] for row in rows} == {"X", "D", "U", "Z", "X/D", "X/Z", "X/Z/D", "Z/D", "X/Z/U*"}


@pytest.mark.parametrize("name", ["confidentiality_profile.json", "attribute_types.json", "plain_words.json"])
def test_each_table_says_where_it_comes_from(name: str) -> None:
    table = load_table(name)
    assert all(table[key] for key in ("source", "edition", "licence", "made_by"))


@pytest.mark.parametrize(
    ("keyword", "sop_class", "kind"),
    [
        ("PatientID", CTImageStorage, 2),
        ("SOPInstanceUID", CTImageStorage, 1),
        ("RescaleSlope", CTImageStorage, 1),
        ("StudyDescription", MRImageStorage, 3),
        ("ContentDate", CTImageStorage, 2),
        ("ConversionType", SecondaryCaptureImageStorage, 1),
        ("PatientID", "1.2.3", None),
    ],
)
def test_types_are_those_of_the_modules(keyword: str, sop_class: str, kind: int | None) -> None:
    assert type_of(Tag(keyword), sop_class) == kind


def test_types_in_sequences_are_those_of_that_sequence() -> None:
    assert type_of(Tag("ReferencedSOPInstanceUID"), CTImageStorage, Tag("ReferencedImageSequence")) == 1
    assert type_of(Tag("ReferencedStudySequence"), CTImageStorage, Tag("RequestAttributesSequence")) == 3


@pytest.mark.parametrize(
    ("keyword", "action"),
    [
        ("PatientBirthDate", Action.EMPTY),
        ("StudyDate", Action.CLEAN_DATE),
        ("PatientAge", Action.KEEP),
        ("DeviceSerialNumber", Action.KEEP),
        ("StationName", Action.KEEP),
        ("CalibrationDate", Action.CLEAN_DATE),  # kept with the device, but a date
        ("StudyDescription", Action.CLEAN_TEXT),
        ("InstitutionName", Action.REMOVE),
        ("StationAETitle", Action.REMOVE),  # C, and no AE title can be cleaned
        ("StudyInstanceUID", Action.NEW_UID),
        ("OverlayData", Action.REMOVE),
        ("RescaleSlope", None),
        ("OtherPatientIDs", Action.REMOVE),
    ],
)
def test_actions_under_all_options(keyword: str, action: Action | None) -> None:
    tag = Tag(0x60003000) if keyword == "OverlayData" else Tag(keyword)
    date = tag.group != 0x6000 and dictionary_VR(tag) in ("DA", "DT", "TM")
    assert action_of(tag, ALL_OPTIONS, CTImageStorage, date=date) == action


def test_without_options_the_basic_profile_decides() -> None:
    for key, row in profile().items():
        if "x" in key or "/" in row.basic:
            continue
        assert action_of(Tag(int(key, 16)), (), CTImageStorage, date=False) == row.basic
    assert action_of(Tag("StudyDate"), (), CTImageStorage, date=True) == Action.EMPTY
    assert action_of(Tag("SeriesDate"), (), CTImageStorage, date=True) == Action.REMOVE
    assert action_of(Tag("SeriesDate"), (), "1.2.3", date=True) == Action.DUMMY


def test_what_cannot_stay_goes_as_its_type_allows() -> None:
    assert fallback(Tag("ConversionType"), SecondaryCaptureImageStorage) == Action.DUMMY
    assert fallback(Tag("PositionReferenceIndicator"), CTImageStorage) == Action.EMPTY
    assert fallback(Tag("ConvolutionKernel"), CTImageStorage) == Action.REMOVE
    assert fallback(Tag("ConvolutionKernel"), "1.2.3") == Action.REMOVE


def test_the_safe_list_holds_numbers_and_code_strings_alone() -> None:
    assert len(safe_private()) > 120
    assert {spec.vr for spec in safe_private().values()} <= {"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "CS", "SQ"}
    assert [key for key, spec in safe_private().items() if spec.vr == "SQ"] == [("0065xx51", "Image Private Header")]
    assert safe_private()["0019xx0c", "SIEMENS MR HEADER"].vr == "IS"


def test_the_codes_of_what_was_done_are_those_of_cid_7050() -> None:
    keywords = {keyword for found in cid_concepts[7050].values() for keyword in found}
    known = {getattr(codes.DCM, keyword).value for keyword in keywords}
    used = {"113100", _PIXELS, _FEATURES, *_CODES.values()}
    assert used <= known
    words = {option: meaning_of(code, "DCM").lower() for option, code in _CODES.items()}
    for option in set(Option) - {Option.RETAIN_MODIFIED_DATES}:
        verb, noun, *_ = option.split("_")
        assert words[option].startswith(f"{verb} {noun}"), option
    assert "modified dates" in words[Option.RETAIN_MODIFIED_DATES]


def test_the_table_names_its_tags_as_the_dictionary_does() -> None:
    rows = load_table("confidentiality_profile.json")["attributes"]
    plain = {row[0]: row[1] for row in rows if row[1] and "x" not in row[0]}
    letters = {tag: "".join(filter(str.isalpha, name)).lower() for tag, name in plain.items()}
    same = sum(letters[tag] == keyword_for_tag(int(tag, 16)).lower() for tag in letters)
    assert same > 0.9 * len(letters)
