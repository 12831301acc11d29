"""What medsynth writes itself names nobody, and the checker says so; what somebody wrote into it is still seen."""

import ast
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from pydicom._private_dict import private_dictionaries

import medsynth
from medsynth.cli.verbs import VERBS
from medsynth.identity.confidentiality import safe_private
from medsynth.identity.known_private import Form, is_plain_csa, known_forms
from medsynth.ingest.gate import MODES
from medsynth.ingest.layouts import LAYOUTS
from medsynth.models.sampling import PRECISIONS
from tests.identity.clean_files import clean_dicom, save
from tests.identity.planted_claims import claiming, plain_csa, plants_under_claims, put_csa
from tests.identity.planted_own import OWN, plants_in_own_files
from tests.identity.test_check import found_in


def test_nothing_is_found_in_medsynths_own_files(tmp_path: Path) -> None:
    for name, content in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert found_in(tmp_path) == []


def test_each_identity_beside_what_is_passed_over_is_found(tmp_path: Path) -> None:
    """Not one may be missed here: each stands for a rule that lets something pass."""
    missed = []
    for number, plant in enumerate([*plants_under_claims(), *plants_in_own_files()]):
        folder = tmp_path / str(number)
        folder.mkdir()
        plant.write(folder)
        if not found_in(folder):
            missed.append(plant.place)
    assert missed == []


@pytest.mark.parametrize("name", OWN)
def test_the_same_bytes_under_another_name_are_judged_like_any_text(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(OWN[name])
    assert found_in(tmp_path)


def test_nothing_is_found_in_what_the_options_retain(tmp_path: Path) -> None:
    dataset = claiming()
    dataset.StudyDate, dataset.ContentTime, dataset.StationName = "20140302", "101523.25", "CT_7"
    dataset.DeviceSerialNumber, dataset.ReceiveCoilName, dataset.PatientSize = "35135", "KHQ8", "1.7"
    dataset.SoftwareVersions, dataset.ManufacturerModelName = ["453561454581", "2010/06/30", "syngo"], "Ingenia 4711"
    dataset.AdditionalPatientHistory, dataset.ConversionType, dataset.BodyPartExamined = "Thorax", "WSD", "CSPINE"
    siemens = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    siemens.add_new(0x0C, "IS", "1000")
    siemens.add_new(0x0E, "FD", [0.1, 0.2, 0.97])
    dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(
        0x39, "IS", ["1000001000", "335544320", "0", "0"]
    )
    put_csa(dataset, plain_csa())
    save(dataset, tmp_path / "IM-0001.dcm")
    assert found_in(tmp_path) == []


def test_without_the_claim_the_device_is_found(tmp_path: Path) -> None:
    dataset = clean_dicom()
    dataset.StationName, dataset.DeviceSerialNumber, dataset.ReceiveCoilName = "CT_7", "35135", "KHQ8"
    dataset.SoftwareVersions, dataset.AdditionalPatientHistory = "453561454581", "Thorax"
    save(dataset, tmp_path / "IM-0001.dcm")
    assert sorted(finding.kind for finding in found_in(tmp_path)) == ["device", "device", "element", "number", "words"]


def test_forms_of_private_elements_are_those_of_pydicom() -> None:
    """Its dictionary comes from elsewhere; it does not know all of them."""
    told = {}
    for (creator, group, element), form in known_forms().items():
        entry = private_dictionaries.get(creator, {}).get(f"{group:04x}xx{element:02x}")
        if entry is not None:
            told[creator, group, element] = (form.vr, entry[0])
    assert len(told) > 50
    assert {key: vrs for key, vrs in told.items() if vrs[0] != vrs[1]} == {}


def test_what_removal_keeps_of_private_elements_is_known_to_the_checker() -> None:
    """Two tables from the standard, made apart: a row that only one of them has is a slip in the other."""
    ours = {(f"{group:04x}xx{element:02x}", creator): form for (creator, group, element), form in known_forms().items()}
    theirs = {key: spec.vr for key, spec in safe_private().items()}
    assert {key: form.vr for key, form in ours.items()} == theirs
    assert known_forms()["SIEMENS MR HEADER", 0x0019, 0x0E] == Form("FD", 3, 3)


def test_a_csa_header_is_plain_to_the_last_byte() -> None:
    header = plain_csa()
    assert is_plain_csa(header)
    assert is_plain_csa(header + bytes(4))
    letters = [at for at in range(len(header)) if is_plain_csa(header[:at] + b"A" + header[at + 1 :])]
    assert letters == []
    digits = [at for at in range(len(header)) if is_plain_csa(header[:at] + b"7" + header[at + 1 :])]
    value = header.index(b"1000")
    assert set(digits) <= set(range(value, value + 5))
    assert not any(is_plain_csa(header[:end]) for end in range(len(header) - 8))


def test_every_choice_of_every_key_is_known_in_settings(tmp_path: Path) -> None:
    """A folder that was made with identity=remove names nobody by that."""
    choices = {(key, choice) for verb in VERBS.values() for key, choice in choices_of(verb.load())}
    choices |= {("identity", mode) for mode in MODES} | {("layout", layout) for layout in LAYOUTS}
    choices |= {("precision", precision) for precision in ("auto", *PRECISIONS)}
    assert {("tilt", "resample"), ("format", "nnunet"), ("identity", "remove"), ("text", "blank")} <= choices
    folder = tmp_path / ".hydra"
    folder.mkdir()
    (folder / "config.yaml").write_text("".join(f"{key}: {choice}\n" for key, choice in sorted(choices)))
    (folder / "overrides.yaml").write_text("".join(f"- {key}={choice}\n" for key, choice in sorted(choices)))
    assert found_in(tmp_path) == []
    (folder / "config.yaml").write_text("identity: ottilie\n")
    assert found_in(tmp_path)


def choices_of(function: Callable[..., object]) -> Iterator[tuple[str, str]]:
    """The names of a function's parameters with the texts that their types allow, those of dataclasses too."""
    for name, kind in get_type_hints(function).items():
        for part in (kind, *get_args(kind)):
            if name != "return" and get_origin(part) is Literal:
                yield from ((name, str(choice)) for choice in get_args(part))
            elif name != "return" and dataclasses.is_dataclass(part):
                yield from choices_of(part)  # type: ignore[arg-type]


def test_every_reason_that_is_written_down_is_known(tmp_path: Path) -> None:
    """refused.jsonl of a folder of cases is among its files: a sentence of medsynth's names nobody."""
    reasons = [text for path in sorted(Path(medsynth.__file__).parent.rglob("*.py")) for text in reasons_in(path)]
    assert len(reasons) > 80
    strange = {}
    for reason in reasons:
        said, _, way_out = reason.partition("; ")
        (tmp_path / "refused.jsonl").write_text(
            json.dumps({"case": "c0123456789abcdef", "reason": said, "way_out": way_out}) + "\n"
        )
        if found_in(tmp_path):
            strange[reason] = found_in(tmp_path)
    assert strange == {}


def reasons_in(path: Path) -> Iterator[str]:
    """The sentences of the errors that end one case, a number where they have a value."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in ("UnreadableError", "GateError")
            and node.args
        ):
            parts = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
            yield " 4 ".join(part.value for part in parts if isinstance(part.value, str))
