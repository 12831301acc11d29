"""Files as medsynth writes them, and identities in them where anybody may write, or where the file is no valid one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medsynth.files import sha256_json
from medsynth.geometry import Geometry
from medsynth.identity.picture_text import MarkerPolicy
from medsynth.records import CaseRecord, Channel, SampleRecord
from tests.identity.clean_files import AFFINE
from tests.identity.planted_files import Plant

HASH, PATIENT = "5" * 64, "p0123456789abcdef"


def case() -> dict[str, Any]:
    """A record as ingest writes it."""
    channel = Channel(path="volumes/c0123456789abcdef/image.nii.gz", kind="image", units="arbitrary", sha256=HASH)
    return CaseRecord(
        id="c0123456789abcdef",
        patient="p0123456789abcdef",
        patient_source="presumed",
        identity="trusted",
        channels={"image": channel},
        geometry=Geometry((3, 4, 5), AFFINE),
        labels={1: "liver"},
        attributes={"class": "normal"},
        licence="CC BY 4.0",
    ).to_json()


def sample() -> dict[str, Any]:
    """A record as generate writes it."""
    channel = Channel(path="volumes/000007_image.nii.gz", kind="image", units="arbitrary", sha256=HASH)
    return SampleRecord(
        id="s000007",
        index=7,
        seed=83749201,
        condition={"class": "normal"},
        sampler={"name": "dpmpp_2m", "grid": "karras", "rho": 7.0, "steps": 20, "weights": "best", "ema": None},
        channels={"image": channel},
        geometry=Geometry((3, 4, 5), AFFINE),
        checkpoint=HASH,
        identity="trusted",
        overrides=("identity=trust",),
    ).to_json()


STAMP: dict[str, Any] = {
    "schema": "medsynth.out/1", "medsynth": "0.1.0", "verb": "generate", "sweep": False,
    "config": {"sampler.grid": "karras", "seed": 83749201, "plan.share": 0.5, "condition": None},
    "inputs": {"run": HASH, "parents": None},
}  # fmt: skip
SETTINGS = "sampler:\n  grid: karras\n  rho: 7.0\nrun: <path>\nseed: 83749201\ncondition: null\n"
JOURNAL = [{"schema": "medsynth.ingest/2", "settings": HASH, "key": HASH, "source": HASH}]
NOTE = ["name", "(0008,0090)", "0123456789ab", "removed"]
_FOUND = {
    "case": "c0123456789abcdef",
    "kind": "name",
    "place": "file name",
    "mark": "0123456789ab",
    "became": "refused",
}
_TEXT = {**_FOUND, "case": "c0123456789abcdef-2", "kind": "text", "place": "slices 0-15 from I to S", "mark": ""}
CLEARANCE: dict[str, Any] = {
    "schema": "medsynth.clearance/1", "medsynth": "0.1.0", "identity": "check", "text": "refuse", "faces": "blank",
    "markers": MarkerPolicy().to_json(), "known": 12, "allow": 0, "cases": {"cleared": 1, "trusted": 0, "unknown": 0},
    "refused": 1, "content": [HASH], "counts": {"name": 1, "face": 1}, "findings": [_FOUND, _TEXT],
}  # fmt: skip
REFUSED = {"case": "c0123456789abcdef", "reason": "slices differ by 4.00 degrees", "way_out": "exclude the case"}


def whole(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the content hash that fits."""
    plain = {key: value for key, value in record.items() if key != "sha256"}
    return {**plain, "sha256": sha256_json(plain)}


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def journal(record: dict[str, Any] | None, reason: str = "") -> bytes:
    """progress.jsonl with one case."""
    row = {"case": "c0123456789abcdef", "fingerprint": HASH, "outcome": [record, HASH, HASH, reason, "", [NOTE]]}
    return lines(*JOURNAL, row)


OWN = {
    "cases.jsonl": lines(case()),
    "samples.jsonl": lines(sample()),
    "progress.jsonl": journal(case()),
    "refused.jsonl": lines(REFUSED),
    "identity.json": json.dumps(CLEARANCE, indent=2).encode(),
    "medsynth.json": json.dumps(STAMP, indent=2).encode(),
    ".hydra/config.yaml": SETTINGS.encode(),
    ".hydra/overrides.yaml": b"- run=<path>\n- sampler=heun\n- seed=83749201\n- +plan.share=0.5\n",
}
"""Files of medsynth's own that name nobody."""


def plants_in_own_files() -> Iterator[Plant]:
    """Each in one file, which is valid but for what is planted, or not valid at all."""
    config, spoilt = STAMP["config"], {**case(), "attributes": {"class": "normal", "index": 2}}
    grid = {**case(), "geometry": {**case()["geometry"], "index": 83749201}}
    # fmt: off
    for place, name, content in (
        ("an attribute", "cases.jsonl", _case({"attributes": {"class": "Ottilie"}})),
        ("a medsynth word as an attribute", "cases.jsonl", _case({"attributes": {"doctor": "Karras"}})),
        ("an attribute's name", "cases.jsonl", _case({"attributes": {"Thandiwe": 1}})),
        ("a number as an attribute", "cases.jsonl", _case({"attributes": {"index": 83749201}})),
        ("a label", "cases.jsonl", _case({"labels": {"1": "Quandt"}})),
        ("a licence", "cases.jsonl", _case({"licence": "ask Dr. Voss"})),
        ("an id", "cases.jsonl", _case({"id": "MRN83749201"})),
        ("a patient key", "cases.jsonl", _case({"patient": "MRN83749201"})),
        ("a channel", "cases.jsonl", _case({"channels": {"ottilie": case()["channels"]["image"]}})),
        ("a path", "cases.jsonl", _moved("volumes/voss_ada/image.nii.gz")),
        ("a field more", "cases.jsonl", lines({**case(), "seed": 83749201})),
        ("a field more in the grid", "cases.jsonl", lines(grid)),
        ("a hash that does not fit", "cases.jsonl", lines({**spoilt, "id": "s83749201"})),
        ("a line beside valid ones", "cases.jsonl", lines(case(), {"id": "c0123456789abcdef", "who": "Ottilie"})),
        ("a name twice", "cases.jsonl", lines(case()).replace(b'"split"', b'"licence": "Ottilie", "split"')),
        ("a condition", "samples.jsonl", _sample({"condition": {"class": "Ottilie"}})),
        ("an id that is not its index", "samples.jsonl", _sample({"id": "s83749201"})),
        ("a sampler", "samples.jsonl", _sample({"sampler": {"grid": "Voss"}})),
        ("a setting that is none", "samples.jsonl", _sample({"sampler": {"ottilie": 1}})),
        ("an override", "samples.jsonl", _sample({"overrides": ["identity=Ottilie"]})),
        ("a parent", "samples.jsonl", _sample({"parents": ["Voss^Ada"], "patient": PATIENT})),
        ("the journal's case", "progress.jsonl", journal(whole({**case(), "attributes": {"class": "Ottilie"}}))),
        ("the journal's reason", "progress.jsonl", journal(None, "slices of Ottilie")),
        ("the journal's note", "progress.jsonl", journal(None).replace(b"(0008,0090)", b"Ottilie")),
        ("a place", "identity.json", _clearance(place="slices of Ottilie")),
        ("a mark", "identity.json", _clearance(mark="Ottilie")),
        ("a kind", "identity.json", _clearance(kind="Ottilie")),
        ("a fate", "identity.json", _clearance(became="Ottilie")),
        ("a case of the clearance", "identity.json", _clearance(case="MRN83749201")),
        ("a field more in a finding", "identity.json", _clearance(who="Ottilie")),
        ("a field more in the clearance", "identity.json", json.dumps({**CLEARANCE, "who": "Ottilie"}).encode()),
        ("a number in the clearance", "identity.json", json.dumps({**CLEARANCE, "known": 83749201}).encode()),
        ("the clearance elsewhere", "data/other.json", json.dumps(CLEARANCE).encode()),
        ("an age above 90", "cases.jsonl", _case({"identity": "cleared", "attributes": {"age": 93}})),
        ("an age of 90 that nothing cleared", "cases.jsonl", _case({"attributes": {"age": 90}})),
        ("a reason", "refused.jsonl", lines({**REFUSED, "reason": "slices of Voss^Ada"})),
        ("a word of reasons elsewhere", "cases.jsonl", _case({"attributes": {"class": "ruled"}})),
        ("a refused case", "refused.jsonl", lines({**REFUSED, "case": "MRN83749201"})),
        ("a setting", "medsynth.json", _stamp({"config": {**config, "condition": "Ottilie"}})),
        ("a medsynth word elsewhere", "medsynth.json", _stamp({"config": {"licence": "Karras"}})),
        ("a setting's name", "medsynth.json", _stamp({"config": {"ottilie": 1}})),
        ("a number in the stamp", "medsynth.json", _stamp({"config": {"count": 83749201}})),
        ("a field more in the stamp", "medsynth.json", _stamp({"mrn": 83749201})),
        ("an input", "medsynth.json", _stamp({"inputs": {"run": "Ottilie"}})),
        ("resolved settings", ".hydra/config.yaml", SETTINGS.replace("null", "Ottilie").encode()),
        ("a comment in settings", ".hydra/config.yaml", (SETTINGS + "count: 4 # for Dr. Voss\n").encode()),
        ("a path in settings", ".hydra/config.yaml", SETTINGS.replace("<path>", "/home/quandt/run").encode()),
        ("a number in settings", ".hydra/config.yaml", (SETTINGS + "count: 83749201\n").encode()),
        ("overrides", ".hydra/overrides.yaml", b"- licence=Ottilie\n"),
        ("a medsynth word in overrides", ".hydra/overrides.yaml", b"- licence=karras\n"),
        ("settings at another place", "data/config.yaml", SETTINGS.encode()),
    ):
        # fmt: on

        def write(folder: Path, name: str = name, content: bytes = content) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

        yield Plant(f"{place} in {name}", write)


def _moved(path: str) -> bytes:
    channel = {**case()["channels"]["image"], "path": path}
    return _case({"channels": {"image": channel}})


def _clearance(**changes: str) -> bytes:
    return json.dumps({**CLEARANCE, "findings": [{**CLEARANCE["findings"][0], **changes}]}).encode()


def _case(changes: dict[str, Any]) -> bytes:
    return lines(whole({**case(), **changes}))


def _sample(changes: dict[str, Any]) -> bytes:
    return lines(whole({**sample(), **changes}))


def _stamp(changes: dict[str, Any]) -> bytes:
    return json.dumps({**STAMP, **changes}).encode()
