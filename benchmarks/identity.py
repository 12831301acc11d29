"""What does the checker say of what removal leaves, and of what medsynth writes?

`python benchmarks/identity.py [DATA] [--cases CASES] [--samples SAMPLES] [--without tokens,...]` prints one table. DATA
is the folder of real scans (default: MEDSYNTH_TEST_DATA). Parts, each with what must pass and what must not:

plants   one identity a file, at places of every kind, removal off; then the same files without it
tokens   a thousand tokens in each of real files: seen by the checker alone; left in the bytes after removal
keep     elements of geometry, rescale, acquisition and what the options retain: do they survive, are they findings
table    PS3.15 Table E.1-1 against dicom-anonymizer's
folders  DATA/dicom after removal, cases and samples as medsynth writes them (made small where they are not given);
         then one identity in each file
dciodvfy errors after removal that were not there before (Debian package dicom3tools)
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.identity_folders import made_folders, planted_copies, removed_files, spoilt
from medsynth.data.dicom_file import quiet
from medsynth.errors import MedsynthError
from medsynth.identity.check import check
from medsynth.identity.confidentiality import find_attribute
from medsynth.identity.known_identifiers import KnownIdentifiers
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.identity.clean_files import clean_dicom, clean_nifti, packed, save
from tests.identity.planted import plants
from tests.identity.planted_claims import claiming
from tests.identity.planted_own import OWN
from tests.identity.planting import found_in, planted_file
from tests.identity.seen import findings_of, judged_values, kept_values, unseen
from tests.identity.test_confidentiality import theirs
from tests.identity.test_removal_series import errors_of
from tests.identity.test_removal_tokens import PYDICOM, REAL, first_file

KEY = bytes(range(32))
PARTS = ("plants", "tokens", "keep", "table", "folders", "dciodvfy")
# Parts of the identities in `plants` that name somebody wherever they stand.
NAMES = (
    "Quandt",
    "Ottilie",
    "Voss^Ada",
    "Thandiwe",
    "Siobhan",
    "Kenji",
    "Yamashita",
    "83749201",
    "5528190",
    "4482-119",
)
# What Retain Device Identity leaves as it is (PS3.15 E.3.8), whatever it holds.
RETAINED = ("SerialNumber", "ModelName", "StationName", "CoilName", "SoftwareVersions")


class Row(NamedTuple):
    """A line of the table: what was looked at, how many, how many of them, the bar, and whether it is met."""

    what: str
    of: int
    count: int
    bar: str
    met: bool


def share(what: str, of: int, count: int, least: float | None = None, most: float | None = None) -> Row:
    """A row whose bar is a share."""
    bar = f">= {least:.0%}" if least is not None else f"<= {most:.0%}"
    value = count / max(of, 1)
    return Row(what, of, count, bar, of > 0 and (value >= least if least is not None else value <= (most or 0)))


def of_plants(work: Path) -> Iterator[Row]:
    """Plants by kind of place; what they stand in without them; the DICOM ones after removal."""
    kinds: dict[str, list[bool]] = {}
    left = refused = dicom = after = retained = 0
    known = KnownIdentifiers(NAMES)
    for number, plant in enumerate(plants()):
        folder = work / "plants" / str(number)
        folder.mkdir(parents=True)
        with quiet():
            plant.write(folder)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in paths]
        found = any(findings_of(path, name) for path, name in zip(paths, names, strict=True))
        kinds.setdefault(_kind(names[0], plant.place), []).append(found)
        if names == ["IM-0001.dcm"]:
            done = remove_from_file(RemovalTask(paths[0], work / "plants_out" / str(number), KEY))
            dicom, refused = dicom + 1, refused + (done.path is None)
            if done.path is not None:
                written = work / "plants_out" / str(number) / done.path
                if any(keyword in plant.place for keyword in RETAINED):
                    retained += 1
                    continue
                left += bool(known.find(written.read_bytes()) or known.find(done.path.encode()))
                after += any(finding.kind != "declared" for finding in findings_of(written, done.path))
    for kind, hits in sorted(kinds.items()):
        yield share(f"plants: {kind}", len(hits), sum(hits), least=0.99)
    every = [hit for hits in kinds.values() for hit in hits]
    yield share("plants: all", len(every), sum(every), least=0.99)
    looked = dicom - refused - retained
    yield Row("plants in DICOM where an option retains what stands there", dicom, retained, "none", True)
    yield share("the other plants in DICOM after removal: left as bytes", looked, left, most=0)
    yield share("the other plants in DICOM after removal: files with a finding", looked, after, most=0.01)
    yield share("plants in DICOM that removal refused", dicom, refused, most=0.05)
    clean = list(_clean_files(work / "clean"))
    hits = sum(bool(findings_of(path, name)) for path, name in clean)
    yield share("control: the same kinds of file without a plant, with a finding", len(clean), hits, most=0)


def _kind(name: str, place: str) -> str:
    if name != "IM-0001.dcm":
        return "medsynth's own files" if name in OWN or name.startswith("data/") else name.rpartition(".")[2] + " files"
    if "claimed" in place:
        return "DICOM that claims all options"
    if place.startswith(("private", "CSA", "name in a safe")):
        return "DICOM, private"
    return "DICOM, elements by VR and depth" if place.endswith(" deep") else "DICOM, around and beside elements"


def _clean_files(folder: Path) -> Iterator[tuple[Path, str]]:
    for name, content in OWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        yield folder / name, name
    for name, dataset in (("IM-0001.dcm", clean_dicom()), ("IM-0002.dcm", claiming())):
        yield save(dataset, folder / name), name
    (folder / "volume.nii.gz").write_bytes(packed(clean_nifti().to_bytes()))
    yield folder / "volume.nii.gz", "volume.nii.gz"


def of_tokens(data: Path, work: Path) -> Iterator[Row]:
    """Tokens in files of pydicom and DATA: seen, left, and what is found after removal."""
    planted = missed = left = after = files = seen = 0
    for path in [*(Path(get_testdata_file(name)) for name in PYDICOM), *(first_file(data / one) for one in REAL)]:
        with quiet():
            content, tokens = planted_file(pydicom.dcmread(path))
        target = work / "planted.dcm"
        target.write_bytes(content)
        planted, missed, files = planted + len(set(tokens)), missed + len(unseen(target, tokens)), files + 1
        done = remove_from_file(RemovalTask(target, work / "tokens_out", KEY))
        if done.path is None:
            left += len(set(tokens))
            continue
        written = work / "tokens_out" / done.path
        syntax = pydicom.dcmread(written, stop_before_pixels=True).file_meta.TransferSyntaxUID
        left += len(found_in(written.read_bytes(), tokens)) if not syntax.is_compressed else len(set(tokens))
        after += sum(finding.kind != "declared" for finding in findings_of(written, done.path))
        shutil.copy(target, work / "copy.dcm")
        seen += len(found_in((work / "copy.dcm").read_bytes(), tokens)) > 0
    yield share(f"tokens in {files} files, removal off: seen by the checker", planted, planted - missed, least=0.99)
    yield share("tokens after removal, uncompressed: left as bytes", planted, left, most=0)
    yield Row("the same files after removal: findings, of words above all", files, after, "none", True)
    yield share("control: files before removal in which the search sees tokens", files, seen, least=0.9)


def of_keep_list(pairs: list[tuple[Path, Path]]) -> Iterator[Row]:
    """The keep-list before and after removal; the bad case has a name in its texts."""
    total = same = touched = 0
    false, before, named = [0, 0], [0, 0], [0, 0]
    for source, written in pairs:
        with quiet():
            one, other = (pydicom.dcmread(path, stop_before_pixels=True) for path in (source, written))
            old = {path: value for path, value in kept_values(one) if not path.endswith("SpecificCharacterSet")}
            new = dict(kept_values(other))
            total, same = total + len(old), same + sum(new.get(path) == value for path, value in old.items())
            for counts, dataset in ((before, one), (false, other)):
                judged = [bool(findings) for _, findings in judged_values(dataset)]
                counts[0], counts[1] = counts[0] + len(judged), counts[1] + sum(judged)
            touched += any(findings for _, findings in judged_values(other))
            spoiled = [bool(findings) for _, findings in judged_values(other, "Quandt^Ottilie")]
            named[0], named[1] = named[0] + len(spoiled), named[1] + sum(spoiled)
    yield Row("keep-list: elements that removal leaves as they are", total, same, "none", True)
    yield share("keep-list after removal: elements with a false finding", *false, most=0.01)
    yield share("keep-list after removal: files with a false finding", len(pairs), touched, most=0.01)
    yield share("control: keep-list after removal, a name in each of its texts: found", *named, least=0.99)
    yield share("keep-list before removal, little claimed: elements with a finding", *before, most=0.01)


def of_table() -> Iterator[Row]:
    """Table E.1-1, row by row; the bad case is the table moved by one row."""
    try:
        actions = theirs()
    except BaseException as error:  # pytest says so by an exception that is none of Python's
        print(f"table: {error}")
        return
    rows = {tag: find_attribute(pydicom.tag.Tag(tag[0], tag[1])) for tag in actions}
    agree = sum(row is not None and row.basic == actions[tag] for tag, row in rows.items())
    yield share("table: rows that agree with dicom-anonymizer's", len(actions), agree, least=1)
    moved = dict(zip(actions, [*list(actions.values())[1:], "X"], strict=True))
    agree = sum(row is not None and row.basic == moved[tag] for tag, row in rows.items())
    yield Row("control: its rows moved by one: agree", len(moved), agree, "< 100%", agree < len(moved))


def of_folders(folders: dict[str, Path], work: Path) -> Iterator[Row]:
    """Findings in folders that name nobody, pixels apart; the bad case has one identity in every file."""
    for what, folder in folders.items():
        report = check(folder, text="skip", faces="skip", progress=False).content
        findings = sum(report["counts"].values())
        yield share(f"{what}, {report['files']} files: findings", report["files"], findings, most=0)
        planted = [findings_of(path, name) for path, name in planted_copies(folder, work / "planted" / what)]
        yield share(
            f"control: {what}, one identity in each file: found", len(planted), sum(map(bool, planted)), least=1
        )


def of_dciodvfy(pairs: list[tuple[Path, Path]], work: Path) -> Iterator[Row]:
    """Errors of the validator that a file had not before removal; the bad case lacks an element."""
    if shutil.which("dciodvfy") is None:
        print("dciodvfy: the program is missing (Debian package dicom3tools)")
        return
    first = {written.parent: (source, written) for source, written in reversed(pairs)}  # one file a series
    worse = spoiled = 0
    for source, written in first.values():
        before = set(errors_of(source))
        worse += bool(set(errors_of(written)) - before)
        spoiled += bool(set(errors_of(spoilt(written, work / "spoilt"))) - before)
    yield share("dciodvfy: a file of each series, with errors that it had not before", len(first), worse, most=0)
    yield share("control: the same without Rows", len(first), spoiled, least=1)


def rows(chosen: argparse.Namespace, work: Path) -> Iterator[Row]:
    """All parts that are asked for, in their order."""
    wanted = [part for part in PARTS if part not in chosen.without.split(",")]
    removed = work / "removed"
    pairs = removed_files(chosen.data / "dicom", removed, KEY) if {"keep", "folders", "dciodvfy"} & {*wanted} else []

    def folders() -> Iterator[Row]:
        cases, samples = chosen.cases, chosen.samples
        if cases is None or samples is None:
            made = made_folders(work / "made")
            cases, samples = cases or made[0], samples or made[1]
        yield from of_folders({"DATA/dicom removed": removed, "cases": cases, "samples": samples}, work)

    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "plants": lambda: of_plants(work),
        "tokens": lambda: of_tokens(chosen.data, work),
        "keep": lambda: of_keep_list(pairs),
        "table": of_table,
        "folders": folders,
        "dciodvfy": lambda: of_dciodvfy(pairs, work),
    }
    for part in wanted:
        yield from parts[part]()


def main() -> int:
    """Print the table; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("MEDSYNTH_TEST_DATA"))
    parser.add_argument("--cases", type=Path, help="folder that ingest wrote")
    parser.add_argument("--samples", type=Path, help="folder that generate wrote")
    parser.add_argument("--without", default="", help=f"parts to leave out: {', '.join(PARTS)}")
    chosen = parser.parse_args()
    if chosen.data is None or not Path(chosen.data).is_dir():
        raise MedsynthError("name the folder of real scans")
    table = Table("what", "of", "count", "share", "bar", "")
    missed = 0
    with tempfile.TemporaryDirectory() as work:
        for row in rows(chosen, Path(work)):
            missed += not row.met
            ratio = f"{row.count / max(row.of, 1):.2%}"
            verdict = "" if row.bar == "none" else "met" if row.met else "missed"
            table.add_row(row.what, str(row.of), str(row.count), ratio, row.bar, verdict)
    Console(width=140).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedsynthError as error:
        print(f"identity: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
