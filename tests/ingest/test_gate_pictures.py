"""The identity gate and what voxels show: text that is burned in, and faces."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.identity.faces import Face
from medsynth.identity.picture_text import TextFinder
from medsynth.identity.volume_text import find_text
from tests.data.test_dicom import oblique, values, write_series
from tests.ingest.gated import clearance, radiograph, scans
from tests.ingest.sources import cases, refusals, run


def test_text_in_a_picture_is_refused_blanked_or_allowed(tmp_path):
    for number in range(5):
        radiograph(tmp_path / "s" / "normal" / f"person{number}.png", "VOSS 03.05.1961" if number == 4 else "", number)
    run(tmp_path / "s", tmp_path / "refused", identity="check")
    (refused,) = refusals(tmp_path / "refused")
    assert refused["reason"].startswith("text is burned into its picture")
    run(tmp_path / "s", tmp_path / "allowed", identity="check", text="allow")
    assert {record.identity for record in cases(tmp_path / "allowed")} == {"trusted"}
    run(tmp_path / "s", tmp_path / "blanked", identity="remove", text="blank")
    records = cases(tmp_path / "blanked")
    assert {record.identity for record in records} == {"cleared"}
    (case,) = {found["case"] for found in clearance(tmp_path / "blanked")["findings"] if found["became"] == "blanked"}
    written = nib.load(tmp_path / "blanked" / "volumes" / case / "image.nii.gz").get_fdata()
    before = np.asarray(Image.open(tmp_path / "s" / "normal" / "person4.png")).T
    changed = written != before
    assert 0.02 < changed.mean() < 0.2
    assert changed[:, :60].sum() == changed.sum()
    assert written[:, :60].max() < 200  # the letters were 250


def test_text_in_slices_of_a_volume_is_found_and_blanked(tmp_path):
    rng = np.random.default_rng(1)
    picture = np.asarray(Image.open(radiograph(tmp_path / "text.png", "VOSS 1961")))
    slices = rng.normal(60, 5, (128, 128, 9)).astype(np.int16)
    slices[:, :, 4] = picture[:128, :128].T[:, :]
    geometry = Geometry((128, 128, 9), np.diag([-1.0, -1.0, 3.0, 1.0]))  # rows to the back, columns to the left
    write_nifti(tmp_path / "s" / "images" / "case0.nii.gz", slices, geometry)
    with pytest.raises(MedsynthError, match="text is burned into its picture"):
        run(tmp_path / "s", tmp_path / "refused", identity="check")
    run(tmp_path / "s", tmp_path / "out", identity="remove", text="blank")
    written = nib.load(next((tmp_path / "out").rglob("image.nii.gz"))).get_fdata()
    changed = written != slices
    assert changed[:, :, 4].any()
    assert not changed[:, :, [0, 8]].any()
    assert not changed[:, 60:].any()


def test_what_no_slice_shows_alone_is_no_text(tmp_path):
    """Strokes of one text in different slices, as anatomy may lie: only their projection looks like text."""
    letters = np.asarray(Image.open(radiograph(tmp_path / "text.png", "VOSS 1961")))[:128, :128].T > 200
    slices = np.random.default_rng(2).normal(60, 5, (128, 128, 16)).astype(np.int16)
    for number in range(16):
        slices[:, :, number][letters & (np.indices(letters.shape).sum(0) % 16 == number)] = 250
    finder = TextFinder()
    assert finder.find(slices.max(2).T)
    assert find_text(slices, Geometry(slices.shape, np.diag([-1.0, -1.0, 3.0, 1.0])), finder) == []


def test_text_in_a_label_map_is_found(tmp_path):
    """A label map may be a scan that lies in the wrong folder."""
    picture = np.asarray(Image.open(radiograph(tmp_path / "text.png", "VOSS 1961")))
    drawn = np.zeros((128, 128, 3), np.uint8)
    drawn[:, :, 1] = picture[:128, :128].T > 190
    geometry = Geometry((128, 128, 3), np.diag([-1.0, -1.0, 3.0, 1.0]))
    noise = np.random.default_rng(0).normal(60, 5, drawn.shape).astype(np.float32)
    write_nifti(tmp_path / "s" / "images" / "case0.nii.gz", noise, geometry)
    write_nifti(tmp_path / "s" / "labels" / "case0.nii.gz", drawn, geometry)
    with pytest.raises(MedsynthError, match="text is burned into its picture"):
        run(tmp_path / "s", tmp_path / "refused", identity="check")
    run(tmp_path / "s", tmp_path / "out", identity="remove", text="blank")
    written = nib.load(next((tmp_path / "out").rglob("label.nii.gz"))).get_fdata()
    assert written.sum() < 0.1 * drawn.sum()


def test_a_face_is_refused_blanked_or_allowed(tmp_path, monkeypatch):
    """The finder itself has tests of its own; here every volume shows one until it is blanked."""
    face = Face(why="seen", millilitres=300.0, planes=((0.0, 1.0, 0.0, 3.0),))
    monkeypatch.setattr(
        "medsynth.ingest.looks.find_face", lambda array, geometry, modality: face if modality != "CT" else None
    )
    monkeypatch.setattr("medsynth.ingest.looks.blank_face", lambda array, geometry, face: array * 0)
    source = scans(tmp_path / "s", 1)
    with pytest.raises(MedsynthError, match="it may show a face: tissue lies where the face is"):
        run(source, tmp_path / "refused", identity="check", modality="MR")
    run(source, tmp_path / "ct", identity="check", modality="CT")
    run(source, tmp_path / "allowed", identity="check", faces="allow", modality="MR")
    assert [record.identity for record in cases(tmp_path / "allowed")] == ["trusted"]
    assert clearance(tmp_path / "allowed")["findings"][0]["became"] == "allowed"
    geometry = Geometry.centred((12, 10, 8), (1.0, 1.5, 2.0), centre=(0, 0, 0))
    write_nifti(source / "labels" / "case0.nii.gz", np.arange(960).reshape(12, 10, 8), geometry)
    with pytest.raises(MedsynthError, match="it may show a face"):  # a scan among the label maps
        run(source, tmp_path / "label", identity="check", modality="CT")
    (source / "labels" / "case0.nii.gz").unlink()
    run(source, tmp_path / "blanked", identity="remove", faces="blank", modality="MR")
    assert [record.identity for record in cases(tmp_path / "blanked")] == ["cleared"]
    assert not nib.load(next((tmp_path / "blanked").rglob("image.nii.gz"))).get_fdata().any()


def test_a_face_that_cannot_be_placed_is_refused_and_not_blanked(tmp_path, monkeypatch):
    monkeypatch.setattr("medsynth.ingest.looks.find_face", lambda *_: Face(why="cut"))
    with pytest.raises(MedsynthError, match="may show a face that cannot be blanked: a head without its top"):
        run(scans(tmp_path / "s", 1), tmp_path / "out", identity="remove", faces="blank")
    (refused,) = refusals(tmp_path / "out")
    assert "faces=allow" in refused["way_out"]
    assert clearance(tmp_path / "out")["counts"] == {"face": 1}


def test_what_cannot_be_looked_at_is_refused(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("medsynth.ingest.looks.find_text", broken)
    with pytest.raises(MedsynthError, match="could not be looked at"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert clearance(tmp_path / "out")["counts"] == {"unseen": 2}


def test_without_a_detector_it_does_not_begin(tmp_path, monkeypatch):
    def missing(*_: object) -> None:
        raise MedsynthError("text in pictures needs text-detection")

    monkeypatch.setattr("medsynth.ingest.looks.TextFinder", missing)
    monkeypatch.setattr("medsynth.ingest.looks._finder", missing)
    with pytest.raises(MedsynthError, match="text-detection"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert not (tmp_path / "out").exists()
    run(tmp_path / "s", tmp_path / "out", identity="check", text="allow")


def test_a_detector_that_is_broken_does_not_begin(tmp_path, monkeypatch):
    class Broken:
        def find(self, _picture: np.ndarray) -> list:
            raise ImportError

    monkeypatch.setattr("medsynth.ingest.looks._finder", Broken)
    with pytest.raises(MedsynthError, match="is installed and does not work"):
        run(scans(tmp_path / "s"), tmp_path / "out", identity="check")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keyword", "key", "said"),
    [("BurnedInAnnotation", "text", "burned-in text"), ("RecognizableVisualFeatures", "faces", "who it is")],
)
def test_what_a_file_says_to_show_and_nobody_finds_is_no_pass(tmp_path, keyword, key, said):
    def declared(dataset, number):
        setattr(dataset, keyword, "YES" if number == 2 else "NO")

    write_series(tmp_path / "s", oblique(0), values(), declared)
    for choice in ("refuse", "blank"):
        with pytest.raises(MedsynthError, match=f"its file says that it shows {said}, and none was found"):
            run(tmp_path / "s", tmp_path / choice, identity="remove", **{key: choice})
        assert [found["kind"] for found in clearance(tmp_path / choice)["findings"]] == ["declared"]
    run(tmp_path / "s", tmp_path / "allow", identity="remove", **{key: "allow"})
    assert [record.identity for record in cases(tmp_path / "allow")] == ["trusted"]
