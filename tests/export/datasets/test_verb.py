"""The verb: each format, twice the same bytes, and what it refuses."""

import json

import nibabel
import numpy as np
import pytest

from medsynth.cli.main import main
from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError
from medsynth.export.datasets.settings import DatasetSettings
from medsynth.export.run import export
from medsynth.files import sha256_file
from medsynth.records import Channel
from tests.export.conftest import place
from tests.export.datasets.conftest import SHAPE, content, go, table

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


@pytest.mark.parametrize(
    ("kind", "channels", "options", "said"),
    [
        ("bids", {"image": ("arbitrary", "MR")}, {}, "nothing tells which kind of image BIDS may call it"),
        ("bids", MR, {"suffix": {"t2w": "T2w"}}, "dataset.suffix names t2w; the images are t1w"),
        ("nnunet", {"t1w": ("arbitrary", "MR")}, {}, "nnU-Net trains on label maps"),
        ("decathlon", {"t1w": ("arbitrary", "MR")}, {}, "the Decathlon is of label maps"),
        ("nnunet", MR, {"patients": 3}, "folds need real cases of two training patients"),
    ],
)
def test_what_the_format_cannot_take_is_refused_before_the_bar_and_the_first_file(
    make_pair, tmp_path, kind, channels, options, said, monkeypatch
):
    pair = make_pair(place("oblique", SHAPE), channels, **{key: options[key] for key in options if key == "patients"})
    monkeypatch.setattr("medsynth.export.datasets.run.progress_bar", lambda _: pytest.fail("the bar was shown"))
    settings = DatasetSettings(suffix=options.get("suffix"))
    with pytest.raises(MedsynthError, match=said):
        go(pair, tmp_path / "out", kind, dataset=settings)
    assert not (tmp_path / "out").exists()


def test_dicom_takes_no_real_cases(make_pair, tmp_path):
    pair = make_pair()
    with pytest.raises(MedsynthError, match="real and uncleared belong to a data set"):
        export(pair.samples, tmp_path / "out", real=pair.cases, unaudited="i_accept", progress=False)


@pytest.mark.parametrize("kind", ["dicom", *KINDS])
def test_what_a_kill_left_is_no_case(make_pair, tmp_path, kind):
    """nnU-Net takes every file of its ending in imagesTr for one."""
    pair = make_pair(place("oblique", SHAPE), MR)
    given = {"format": kind, "unaudited": "i_accept", "progress": False}
    export(pair.samples, tmp_path / "out", **given)
    before = bytes_of(tmp_path / "out")
    some = next(iter(sorted((tmp_path / "out").rglob("*.dcm" if kind == "dicom" else "*.nii.gz"))))
    (some.parent / ".partial-0123456789abcdef.nii.gz").write_bytes(b"half")
    export(pair.samples, tmp_path / "out", **given)
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("kind", ["dicom", *KINDS])
def test_files_of_another_export_are_refused(make_pair, tmp_path, kind):
    """A sample that was flagged since must not lie among those that passed."""
    pair, other = make_pair(place("oblique", SHAPE), MR), make_pair(place("oblique", SHAPE), MR, count=2, name="two")
    given = {"format": kind, "unaudited": "i_accept", "progress": False}
    export(pair.samples, tmp_path / "out", **given)
    with pytest.raises(MedsynthError, match=rf"{kind} in out holds \d+ files that this export did not write"):
        export(other.samples, tmp_path / "out", **given)


def test_an_attribute_does_not_take_the_column_of_a_path(make_pair, tmp_path):
    pair = make_pair(place("oblique", SHAPE), MR)
    pair.change(0, condition={"path_t1w": "elsewhere", "age": 3})
    for kind in ("nnunet", "monai"):
        line = table(go(pair, tmp_path / kind, kind, real=None))["s000000"]
        assert line["path_t1w"].endswith(".nii.gz")
        assert json.loads(line["attributes"])["path_t1w"] == "elsewhere"


def test_many_labels_of_far_values_become_consecutive(make_pair, tmp_path):
    """A table as long as the largest value would not fit into memory."""
    pair = make_pair(place("oblique", SHAPE), MR, count=1)
    labels = {0: "background", **{7 * n: f"part {n}" for n in range(1, 300)}, 2_000_000_000: "far"}
    array = np.resize(np.array(sorted(labels), dtype=np.int32), SHAPE)
    write_nifti(pair.samples / "volumes" / "many.nii.gz", array, pair.records()[0].geometry)
    digest = sha256_file(pair.samples / "volumes" / "many.nii.gz")
    many = Channel(path="volumes/many.nii.gz", kind="label", units="label", sha256=digest)
    pair.change(0, channels={**pair.records()[0].channels, "label": many}, labels=labels)
    folder = go(pair, tmp_path / "out", "nnunet", real=None)
    found = np.asarray(nibabel.load(folder / "labelsTr" / "s000000.nii.gz").dataobj)
    np.testing.assert_array_equal(found, np.searchsorted(sorted(labels), array))
    written = content(folder)
    assert written["label_mapping"]["2000000000"] == 300
    assert sorted(written["labels"].values()) == list(range(301))
    kept = go(pair, tmp_path / "out2", "monai", real=None) / "labels" / "s000000.nii.gz"
    np.testing.assert_array_equal(np.asarray(nibabel.load(kept).dataobj), array)
