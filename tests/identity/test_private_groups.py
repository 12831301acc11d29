"""Private elements: those of a known creator and the right form stay, whatever their block; all else goes."""

import warnings

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import quiet
from medsynth.identity.csa import cleaned_csa
from medsynth.identity.private_groups import kept_private
from tests.identity.planting import csa, put

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # nibabel calls its DICOM part experimental
    from nibabel.nicom import csareader


def kept(dataset: Dataset, maker: str = "") -> dict[int, object]:
    with quiet():
        return {
            int(element.tag): element.value for element in kept_private(dataset, maker, lambda of, items: list(items))
        }


def siemens(**changes: tuple[str, bytes]) -> Dataset:
    dataset = Dataset()
    put(dataset, 0x00190030, "LO", b"SIEMENS MR HEADER ")
    with quiet():
        for place, (vr, value) in {"0c": ("IS", b"1000"), **changes}.items():
            put(dataset, 0x00193000 + int(place, 16), vr, value)
    return dataset


def test_a_block_is_known_by_its_creator_and_keeps_its_place() -> None:
    assert kept(siemens()) == {0x00190030: "SIEMENS MR HEADER", 0x0019300C: 1000}


def test_values_of_another_form_go() -> None:
    assert kept(siemens(**{"0c": ("IS", b"Zq01")})) == {}
    assert kept(siemens(**{"0c": ("LO", b"1000")})) == {}
    assert kept(siemens(**{"0c": ("IS", b"1\\2 ")})) == {}  # one is meant
    assert kept(siemens(**{"0d": ("CS", b"SMITH ")}))[0x0019300C] == 1000
    assert 0x0019300D not in kept(siemens(**{"0d": ("CS", b"SMITH ")}))
    assert kept(siemens(**{"0d": ("CS", b"DIRECTIONAL ")}))[0x0019300D] == "DIRECTIONAL"
    assert 0x00193010 not in kept(siemens(**{"10": ("IS", b"5 ")}))  # not on the list


def test_an_unknown_vr_is_read_by_the_lists() -> None:
    assert kept(siemens(**{"0c": ("UN", b"1000")}))[0x0019300C] == 1000
    three = b"".join(bytes(7) + bytes([number]) for number in (1, 2, 3))
    assert len(kept(siemens(**{"0e": ("UN", three)}))[0x0019300E]) == 3
    assert 0x0019300E not in kept(siemens(**{"0e": ("UN", three + bytes(8))}))


def test_without_creator_only_the_makers_numbers_at_their_place_stay() -> None:
    dataset = Dataset()
    put(dataset, 0x00431039, "IS", b"1000\\8\\0\\0 ")
    put(dataset, 0x00431027, "SH", b"Zq01")
    assert kept(dataset) == {}
    assert kept(dataset, "SIEMENS") == {}
    assert kept(dataset, "GE MEDICAL SYSTEMS") == {0x00430010: "GEMS_PARM_01", 0x00431039: [1000, 8, 0, 0]}


def test_another_creator_in_that_block_goes() -> None:
    dataset = siemens()
    put(dataset, 0x00190030, "LO", b"ACME")
    assert kept(dataset, "SIEMENS") == {}


def test_the_csa_header_keeps_its_numbers_alone() -> None:
    names = {"PatientName": ["Zq0001Wkjx"], "B_value": ["Zq0002Wkjx"]}
    numbers = {"SliceNormalVector": ["0.0", "-0.5", "0.866"], "NumberOfImagesInMosaic": ["35"]}
    result = cleaned_csa(csa(names | numbers))
    tags = csareader.read(result)["tags"]
    assert set(tags) == {"SliceNormalVector", "NumberOfImagesInMosaic"}
    assert [float(value) for value in tags["SliceNormalVector"]["items"]] == [0.0, -0.5, 0.866]
    assert tags["NumberOfImagesInMosaic"]["items"] == [35]
    assert b"Zq" not in result
    assert cleaned_csa(result) == result


def test_what_is_no_csa_header_goes() -> None:
    assert cleaned_csa(b"") == cleaned_csa(b"SV10" + b"\xff" * 100) == cleaned_csa(b"Zq" * 400) == b""


def test_private_sequences_of_unknown_creators_go() -> None:
    with quiet():
        source = pydicom.dcmread(get_testdata_file("nested_priv_SQ.dcm"), force=True)
    assert kept(source) == {}
