"""Whether a folder names anyone: every file of it, its name, its header and its bytes. Nothing is changed.

What is not understood is a finding. The checker knows nothing of what may have removed identities before it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from medsynth.errors import MedsynthError, UsageError
from medsynth.files import write_json
from medsynth.identity import check_tables
from medsynth.identity.byte_text import is_wordy, runs
from medsynth.identity.check_dicom import check_dicom, dicom_text, is_dicom
from medsynth.identity.check_faces import faces_in_nifti, faces_in_series
from medsynth.identity.check_names import check_names
from medsynth.identity.check_nifti import check_nifti, nifti_text, open_gzip
from medsynth.identity.check_pictures import check_picture
from medsynth.identity.check_pixels import PixelCheck
from medsynth.identity.check_report import REPORT_FILE, Checked, Report, owners_of, report_of
from medsynth.identity.export_names import EXPORT_FILE, SENT_FILE
from medsynth.identity.finding import Finding, Findings, Marker, plain
from medsynth.identity.known_identifiers import KnownIdentifiers, read_list
from medsynth.identity.own_datasets import check_dataset_json, check_dataset_readme, check_dataset_table
from medsynth.identity.own_exports import check_export, check_sent
from medsynth.identity.own_records import check_clearance, check_own_lines
from medsynth.identity.own_settings import STAMP_FILE, check_settings, check_stamp, is_settings
from medsynth.identity.picture_text import MarkerPolicy, TextFinder
from medsynth.identity.shapes import judge, shapes

Look = Callable[[str, Any], None]
_TEXT = (".txt", ".md", ".yaml", ".yml", ".bval", ".bvec", ".bvals", ".bvecs", ".bidsignore")
_PICTURES = (".png", ".jpg", ".jpeg")
_LARGEST = 16 * 2**30


class Checker:
    """Checks files one by one.

    Args:
        known: identifiers to be searched for in all bytes.
        allowed: texts that are said to be fine, whatever their shape.
        marker: makes the marks; a new one when None.
        pixels: looks for text in pictures; None does not. Its `finish` has to be asked after the last file.
        faces: whether to look for faces in volumes that are one file.
    """

    def __init__(
        self,
        known: KnownIdentifiers | None = None,
        allowed: frozenset[str] = frozenset(),
        marker: Marker | None = None,
        pixels: PixelCheck | None = None,
        faces: bool = True,
    ) -> None:
        self._faces = faces
        self._known = known or KnownIdentifiers(())
        self._allowed = frozenset(plain(text) for text in allowed)
        self._marker = marker or Marker()
        self._pixels = pixels

    def file(self, path: Path, name: PurePosixPath, number: int = 0) -> Checked:
        """Check one file.

        Args:
            path: where it lies.
            name: its path below the folder that is checked; every part of it is judged.
            number: of the file, for its findings.
        """
        findings = Findings(self._marker, number, self._allowed)
        check_names(name, findings)
        if path.is_symlink():
            findings.add_all(judge(str(path.readlink()).replace("_", " ").replace("/", " ")), "link")
        if path.is_dir() and not path.is_symlink():
            return Checked("folder", list(findings), "")
        try:
            if not path.is_file() or path.stat().st_size > _LARGEST:  # who reads a pipe waits for ever
                raise OSError
            content = path.read_bytes()
        except OSError:
            findings.add("unread", "file")
            return Checked("unread", list(findings), "")
        seen: list[Finding] = []
        try:
            kind, opened, text = _check_content(path, content, findings, self._look(number, seen))
        except Exception:  # parsers fed with any bytes fail in any way: what was not seen is a finding
            findings.add("unread", "file")
            kind, opened, text = "unread", b"", b""
        self._search_known({"bytes": content, "opened bytes": opened}, text, name, findings)
        if self._faces and kind == "nifti":
            faces_in_nifti(path, findings)
        return Checked(kind, [*findings, *seen], hashlib.sha256(content).hexdigest())

    def _search_known(self, places: Mapping[str, bytes], text: bytes, name: PurePosixPath, findings: Findings) -> None:
        """Known identifiers in bytes as they are, in text where its letters are of another set, and in the path."""
        if not len(self._known):
            return
        path, met = str(name).encode("utf-8", "replace"), set()
        for place, searched in {**places, "path": path}.items():
            for _, identifier in self._known.find(searched):
                findings.add("known", place, identifier)
                met.add(identifier)
        for place, searched in (("text", text), ("path", path)):
            further = {identifier for _, identifier in self._known.find(searched)} - met
            for identifier in sorted(further.union(self._known.find_in_text(searched))):
                findings.add("known", place, identifier)

    def _look(self, number: int, seen: list[Finding]) -> Look:
        """What a format's check calls with its pixels; findings go to `seen`."""

        def look(kind: str, pixels: Any) -> None:
            if self._pixels is not None:
                looks: Mapping[str, Callable[[Any, int], list[Finding]]] = {
                    "dicom": self._pixels.dicom,
                    "nifti": self._pixels.nifti,
                    "picture": self._pixels.picture,
                }
                seen.extend(looks[kind](pixels, number))

        return look


def check(
    folder: Path,
    out: Path | None = None,
    *,
    known: Path | None = None,
    allow: Path | None = None,
    text: str = "look",
    faces: str = "look",
    progress: bool = True,
) -> Report:
    """Check every file below a folder, and its name.

    Args:
        folder: is only read.
        out: new folder for identity.json; None writes nothing.
        known: file with identifiers that must not occur, one a line.
        allow: file with texts that are no findings, one a line.
        text: "look" for text in pictures, or "skip"; then the report says that pixels were not looked at.
        faces: "look" for faces of heads in MR and CT, or "skip".
        progress: show a bar.

    Raises:
        MedsynthError: `folder` is no folder or empty, `out` lies inside it, a list cannot be read, or the detector of
            text is not installed.
        UsageError: `text` or `faces` is neither.
    """
    for name, chosen in (("text", text), ("faces", faces)):
        if chosen not in ("look", "skip"):
            raise UsageError(f"{name} is look or skip")
    if not folder.is_dir():
        raise MedsynthError(f"folder names no folder: {folder}")
    if out is not None and out.resolve().is_relative_to(folder.resolve()):
        raise MedsynthError("out lies inside folder, and what is checked is not changed; choose an out beside it")
    identifiers = KnownIdentifiers(read_list(known) if known else ())
    pixels = PixelCheck(_finder() if text == "look" else None)
    allowed = frozenset(read_list(allow) if allow else ())
    checker = Checker(identifiers, allowed, pixels=pixels, faces=faces == "look")
    paths = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise MedsynthError(f"{folder} holds no file: name the folder that is to be checked")
    checked = []
    for number, path in enumerate(_tracked(paths, progress)):
        checked.append(checker.file(path, PurePosixPath(path.relative_to(folder).as_posix()), number))
    for late in pixels.finish():
        checked[late.file].findings.append(late)
    if faces == "look":
        dicom = [(number, path) for number, path in enumerate(paths) if checked[number].format == "dicom"]
        for finding in faces_in_series(dicom):
            checked[finding.file].findings.append(finding)
    report = report_of(checked, owners_of(folder, paths), known=len(identifiers), text=text, unlooked=pixels.unlooked)
    if out is not None:
        write_json(out / REPORT_FILE, report.content)
    return report


def _finder() -> TextFinder:
    try:
        return TextFinder(MarkerPolicy())
    except MedsynthError as error:
        raise MedsynthError(f"{error}, or leave pixels out with text=skip") from None


class _Content(NamedTuple):
    """A format's name, the bytes that a packed file opens to, and those of it that are text and no pixels."""

    kind: str
    opened: bytes = b""
    text: bytes = b""


def _check_content(path: Path, content: bytes, findings: Findings, look: Look) -> _Content:
    """Check by format."""
    name = path.name.lower()
    if not content:
        return _Content("empty")
    if is_dicom(content):
        dataset, opened = check_dicom(path, content, findings)
        if dataset is not None:
            look("dicom", dataset)
        return _Content("dicom", opened, dicom_text(dataset) if dataset is not None else b"")
    if name.endswith((".nii", ".nii.gz", ".hdr")):
        opened = check_nifti(path, content, findings)
        look("nifti", opened)
        return _Content("nifti", opened if opened is not content else b"", nifti_text(opened))
    if content.startswith((b"\x89PNG", b"\xff\xd8\xff")) or name.endswith(_PICTURES):
        opened = check_picture(content, findings)
        look("picture", content)
        return _Content("picture", opened)
    if (name == STAMP_FILE and check_stamp(content, findings)) or (
        is_settings(PurePosixPath(path)) and check_settings(content, findings)
    ):
        return _Content("json" if name == STAMP_FILE else "text", text=content)
    readers: tuple[tuple[tuple[str, ...], str, Callable[[], bool]], ...] = (
        (
            (".json",),
            "json",
            lambda: (
                (name == REPORT_FILE and check_clearance(content, findings))
                or (name == EXPORT_FILE and check_export(content, findings))
                or (name == SENT_FILE and check_sent(content, findings))
                or check_dataset_json(name, content, findings)
                or check_tables.check_json(content, findings)
            ),
        ),
        (
            (".jsonl",),
            "json",
            lambda: check_own_lines(content, findings) or check_tables.check_json(content, findings, lines=True),
        ),
        (
            (".csv", ".tsv"),
            "table",
            lambda: (
                check_dataset_table(name, content, findings)
                or check_tables.check_table(content, findings, name.endswith(".tsv"))
            ),
        ),
        (
            _TEXT,
            "text",
            lambda: (
                (name == "readme.md" and check_dataset_readme(content, findings))
                or check_tables.check_text(content, findings)
            ),
        ),
    )
    for suffixes, kind, read in readers:
        if name.endswith(suffixes):
            if not read():
                _search(content, findings)
            return _Content(kind, text=content)
    findings.add("unread", "format")
    opened = open_gzip(content, findings) if content[:2] == b"\x1f\x8b" else b""
    _search(opened or content, findings)
    return _Content("unknown", opened)


def _search(content: bytes, findings: Findings) -> None:
    """Shapes in a file of which nothing else is understood."""
    for _, text in runs(content, 6):
        if is_wordy(text):
            findings.add_all(shapes(text), "bytes")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):  # its name may name somebody all the same
                yield path
            yield from _files(path)
        else:  # a link to a folder cannot be read as a file, which is a finding
            yield path


def _tracked(paths: list[Path], progress: bool) -> Iterator[Path]:
    if not progress:
        yield from paths
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(paths, description="check", console=Console(stderr=True), transient=True)
