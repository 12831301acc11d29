"""Nothing that was planted in a source is left in the cases that ingest identity=remove writes."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from medsynth.data.dicom_file import quiet
from tests.identity.clean_files import clean_nifti, packed
from tests.identity.planting import Planter, found_in, planted_file
from tests.ingest.sources import cases, run


def all_bytes(folder: Path) -> bytes:
    """Names of the files and what is in them, packed and unpacked."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(path.relative_to(folder).as_posix().encode())
        if path.is_file():
            content = path.read_bytes()
            parts += [content, gzip.decompress(content)] if path.suffix == ".gz" else [content]
    return b"\n".join(parts)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_dicom_full_of_tokens(name: str, tmp_path: Path) -> None:
    with quiet():
        content, tokens = planted_file(pydicom.dcmread(get_testdata_file(name)))
    (tmp_path / "s" / tokens[0].decode()).mkdir(parents=True)
    (tmp_path / "s" / tokens[0].decode() / f"{tokens[1].decode()}.dcm").write_bytes(content)
    assert len(set(found_in(content, tokens))) >= 200
    run(tmp_path / "s", tmp_path / "out", identity="remove")
    assert [record.identity for record in cases(tmp_path / "out")] == ["cleared"]
    assert found_in(all_bytes(tmp_path / "out"), tokens) == []
    sources = b"".join(path.read_bytes() for path in (tmp_path / "keys" / "sources").iterdir())
    assert found_in(sources, tokens) != []  # the search finds tokens where they are: in the private list
    for path in (tmp_path / "keys").rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o077 == 0


def test_nifti_and_a_table_full_of_tokens(tmp_path: Path) -> None:
    planter = Planter()
    for number in range(3):
        image = clean_nifti(
            descrip=planter.text(), aux_file=planter.text(20), db_name=planter.text(17), intent_name=planter.text(15)
        )
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", planter.text()))
        np.asanyarray(image.dataobj)[0, 0, number] += 1
        path = tmp_path / "s" / planter.text().decode() / f"{planter.text().decode()}.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(
            packed(image.to_bytes() + planter.text(), name=planter.text().decode(), comment=planter.text())
        )
        path.with_name("x.json").write_text(json.dumps({"PatientName": planter.text().decode()}))
    rows = [
        f"{path},{planter.text().decode()},Dr. {planter.text().decode()},{planter.date().decode()},7"
        for path in (tmp_path / "s").rglob("*.nii.gz")
    ]
    (tmp_path / "s" / "table.csv").write_text("\n".join(["image,patient,comment,day,stage", *rows]) + "\n")
    run(tmp_path / "s" / "table.csv", tmp_path / "out", identity="remove")
    records = cases(tmp_path / "out")
    assert [record.identity for record in records] == ["cleared"] * 3
    assert [dict(record.attributes) for record in records] == [{"stage": 7}] * 3
    before = b"".join(gzip.decompress(path.read_bytes()) for path in (tmp_path / "s").rglob("*.nii.gz"))
    assert len(found_in(before, planter.tokens)) == 3 * 6
    assert found_in(all_bytes(tmp_path / "out"), planter.tokens) == []
