"""The verb: each format, twice the same bytes, and what it refuses."""

import json

import pytest

from medsynth.cli.main import main
from medsynth.errors import MedsynthError
from medsynth.export.run import export
from tests.export.conftest import place
from tests.export.datasets.conftest import SHAPE

KINDS = ["nnunet", "decathlon", "bids", "monai"]
MR = {"t1w": ("arbitrary", "MR"), "label": ("label", None)}


def bytes_of(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_verb(make_pair, tmp_path, kind, capsys):
    pair, out = make_pair(place("oblique", SHAPE), MR), tmp_path / "out"
    words = ["export", f"format={kind}", f"samples={pair.samples}", f"real={pair.cases}", "progress=false"]
    assert main([*words, f"out={out}"]) == 1
    assert "no audit covers these samples" in capsys.readouterr().err
    assert not out.exists()
    words += ["unaudited=i_accept", "dataset.name=Mine", "dataset.folds=2"]
    assert main([*words, f"out={out}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("train: 12 real, 4 synthetic; ")
    assert "4 went out without a passed audit, and say so" in said
    before = bytes_of(out)
    assert not any(b"/samples" in content or str(tmp_path).encode() in content for content in before.values())
    listed = json.loads(before[next(path for path in before if path.name == "export.json")])
    assert {entry["path"] for entry in listed["files"]} == {path.as_posix() for path in before if path.parts[0] == kind}
    assert (listed["format"], listed["settings"]["name"], listed["left_out"].get("flagged by the audit")) == (
        kind, "Mine", None,
    )  # fmt: skip
    next(iter(out.rglob("*.nii.gz"))).unlink()
    (out / "export.json").unlink()
    assert main([*words, f"out={out}"]) == 0
    assert bytes_of(out) == before
    assert main([*words, f"out={tmp_path / 'again'}"]) == 0
    assert bytes_of(tmp_path / "again") == before
    assert main([*words, "dataset.number=7", f"out={out}"]) == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [(["format=nifti"], 2), (["dataset.number=0"], 1), (["dataset.colour=1"], 2), (["uncleared=yes"], 1)],
)
def test_the_verb_refuses_words(make_pair, tmp_path, words, status):
    pair = make_pair()
    given = ["export", f"samples={pair.samples}", f"out={tmp_path / 'out'}", "unaudited=i_accept", "format=monai"]
    assert main([*given[: -1 if words[0].startswith("format") else None], *words]) == status
    assert not (tmp_path / "out").exists()


def test_dicom_takes_no_real_cases(make_pair, tmp_path):
    pair = make_pair()
    with pytest.raises(MedsynthError, match="real and uncleared belong to a data set"):
        export(pair.samples, tmp_path / "out", real=pair.cases, unaudited="i_accept", progress=False)
