"""Small scans for the identity gate, and what it says of them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry

QUICK = {"text": "allow"}


def clearance(out: Path) -> dict:
    return json.loads((out / "identity.json").read_text())


def scans(folder: Path, count: int = 2, name: str = "case{}") -> Path:
    for k in range(count):
        geometry = Geometry.centred((12, 10, 8), (1.0, 1.5, 2.0), centre=(k, 0, 0))
        array = np.random.default_rng([k, len(name)]).normal(size=(12, 10, 8)).astype(np.float32)
        write_nifti(folder / "images" / f"{name.format(k)}.nii.gz", array, geometry)
    return folder


def with_table(folder: Path, header: str, *rows: str) -> Path:
    scans(folder, len(rows))
    lines = [f"images/case{number}.nii.gz,{row}" for number, row in enumerate(rows)]
    (folder / "table.csv").write_text("\n".join([f"image,{header}", *lines]) + "\n")
    return folder / "table.csv"


def radiograph(path: Path, text: str = "", seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:1:320j, -1:1:320j]
    picture = Image.fromarray((120 * np.exp(-(rows**2 + columns**2)) + rng.normal(40, 6, rows.shape)).astype(np.uint8))
    if text:
        ImageDraw.Draw(picture).text((14, 12), text, fill=250, font=ImageFont.load_default(24))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path
