"""Does the identity gate of ingest let real scans through that name nobody, and nothing through that does.

`python benchmarks/gate.py DATA` reads the folder of real scans that MEDSYNTH_TEST_DATA names, and ingests hippocampi,
radiographs and heads three times: as they are with identity=check, with one identity planted in each file with
identity=check (the bad case: all have to be refused), and those with identity=remove, after which what was planted is
searched for as bytes and the cases are ingested again with identity=check. DICOM series are ingested as they came.
"""

import argparse
import gzip
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from medsynth.errors import MedsynthError
from medsynth.ingest.run import ingest

NAME = "Quandt Ottilie 17.01.2023"
_TOKENS = (b"ottilie", b"quandt", b"17.01.2023")


class Source(NamedTuple):
    """Scans of one kind, and how an identity is planted in the file of a number: each function writes the file anew."""

    name: str
    files: Sequence[Path]
    plants: Sequence[Callable[[Path, Path], None]]
    modality: str | None


def in_description(source: Path, target: Path) -> None:
    """NIfTI's descrip."""
    image = nib.load(source)
    image.header["descrip"] = NAME.encode()
    nib.save(image, target)


def in_extension(source: Path, target: Path) -> None:
    """A NIfTI extension."""
    image = nib.load(source)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", NAME.encode()))
    nib.save(image, target)


def in_gzip_name(source: Path, target: Path) -> None:
    """The name that gzip keeps."""
    with target.open("wb") as file, gzip.GzipFile("quandt_ottilie.nii", "wb", fileobj=file) as packed:
        packed.write(gzip.decompress(source.read_bytes()))


def in_file_name(source: Path, target: Path) -> None:
    """The name of the file."""
    shutil.copy(source, target.with_name(f"quandt_ottilie_{target.name}"))


def in_comment(source: Path, target: Path) -> None:
    """A JPEG comment."""
    Image.open(source).save(target, "JPEG", quality=95, comment=NAME.encode())


def in_picture(source: Path, target: Path) -> None:
    """Drawn into a radiograph, enlarged to 256 x 256: letters of 14 pixels."""
    picture = Image.open(source).convert("L").resize((256, 256))
    ImageDraw.Draw(picture).text((8, 200), NAME, fill=255, font=ImageFont.load_default(14))
    picture.save(target, "JPEG", quality=95)


def some(files: Sequence[Path], count: int) -> list[Path]:
    """Files at even distances."""
    return [files[index] for index in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]


def sources(data: Path, count: int) -> list[Source]:
    """The three kinds."""
    volumes = (in_description, in_extension, in_gzip_name, in_file_name)
    pictures = sorted((data / "chest_xray").glob("*/*.jp*g"))
    heads = [path for path in sorted((data / "heads").glob("*/*.nii.gz")) if path.name != "ch2bet.nii.gz"]
    return [
        Source(
            "hippocampi, MR", some(sorted((data / "hippocampus" / "images").glob("*.nii.gz")), count), volumes, "MR"
        ),
        Source("radiographs", some(pictures, count), (in_comment, in_picture, in_file_name), None),
        Source("heads, MR", heads, volumes, "MR"),
    ]


def outcome(source: Path, out: Path, **settings: object) -> tuple[int, int, int]:
    """Cases that were cleared, that the gate refused, and that were refused for other reasons."""
    try:
        ingest(source, out, key=out.with_suffix(".key"), progress=False, **settings)  # type: ignore[arg-type]
    except MedsynthError as error:
        if "can be taken" not in str(error):
            raise
    gate = json.loads((out / "identity.json").read_text())
    refused = out / "refused.jsonl"
    lines = len(refused.read_text().splitlines()) if refused.exists() else 0
    return gate["cases"]["cleared"], gate["refused"], lines - gate["refused"]


def plain_folder(source: Source, folder: Path) -> Path:
    """Copies under names that say nothing: what the files themselves hold is asked."""
    for number, path in enumerate(source.files):
        target = folder / _place(source, number)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def planted_folder(source: Source, folder: Path) -> Path:
    """One identity in each."""
    for number, path in enumerate(source.files):
        target = folder / _place(source, number)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.plants[number % len(source.plants)](path, target)
    return folder


def left_in(folder: Path) -> int:
    """Planted words in the bytes and names below the folder, packed and unpacked."""
    found = 0
    for path in folder.rglob("*"):
        content = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        content += gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else b""
        found += sum(token in content.lower() for token in _TOKENS)
    return found


def _place(source: Source, number: int) -> str:
    return f"normal/person{number}.jpg" if source.modality is None else f"images/case{number}.nii.gz"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--count", type=int, default=40, help="hippocampi and radiographs")
    arguments = parser.parse_args()
    console = Console(width=140)
    table = Table("scans", "ingest", "cleared", "refused by the gate", "by others", title="the identity gate")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for number, source in enumerate(sources(arguments.data, arguments.count)):
            plain = plain_folder(source, root / f"{number}" / "plain")
            planted = planted_folder(source, root / f"{number}" / "planted")
            asked = {"modality": source.modality, "patient_pattern": r"(?:case|person)(\d+)"}
            rows: list[tuple[str, Path, dict[str, object]]] = [
                ("as they are, identity=check", plain, {"identity": "check"}),
                ("bad case: one identity planted in each, identity=check", planted, {"identity": "check"}),
                (
                    "the planted ones, identity=remove text=blank faces=blank",
                    planted,
                    {"identity": "remove", "text": "blank", "faces": "blank"},
                ),
            ]
            for row, (what, folder, settings) in enumerate(rows):
                out = root / f"{number}" / f"out{row}"
                table.add_row(source.name, what, *map(str, outcome(folder, out, **settings, **asked)))
            console.print(f"{source.name}: planted words left after removal: {left_in(root / f'{number}' / 'out2')}")
            again = root / f"{number}" / "again" / "images"
            again.mkdir(parents=True)
            for index, path in enumerate(sorted((root / f"{number}" / "out2" / "volumes").rglob("image.nii.gz"))):
                shutil.copy(path, again / f"case{index}.nii.gz")
            checked = outcome(again.parent, root / f"{number}" / "out3", identity="check", modality=source.modality)
            table.add_row(source.name, "what removal wrote, identity=check", *map(str, checked))
        for what in ("check", "remove"):
            found = outcome(
                arguments.data / "dicom",
                root / f"dicom-{what}",
                layout="dicom",
                identity=what,
                faces="blank",
                text="blank",
            )
            table.add_row("DICOM series as they came", f"identity={what} text=blank faces=blank", *map(str, found))
    console.print(table)


if __name__ == "__main__":
    main()
