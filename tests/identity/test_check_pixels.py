"""The checker and the removal at work on pixels: where text is, what could not be seen, and what nobody looked at."""

import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, SecondaryCaptureImageStorage, UltrasoundImageStorage

from medsynth.cli.main import main
from medsynth.data.dicom_file import quiet
from medsynth.errors import UnreadableError, UsageError
from medsynth.identity.check import check
from medsynth.identity.check_pixels import PixelCheck, _nifti_sides
from medsynth.identity.dicom_text import frames, is_slice, spacing_of, text_boxes
from medsynth.identity.picture_text import TextFinder
from medsynth.identity.removal_files import remove_from_tree
from medsynth.identity.text_planes import planes
from tests.identity.clean_files import clean_dicom, save
from tests.identity.test_picture_text import tissue, write

pytest.importorskip("rapidocr_onnxruntime")


@pytest.fixture(scope="module")
def finder() -> TextFinder:
    return TextFinder()


def dicom(*pictures: np.ndarray, uid: int = 1001) -> FileDataset:
    dataset = clean_dicom()
    stored = np.stack(pictures)
    dataset.Rows, dataset.Columns = stored.shape[1:3]
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{uid}"
    if len(pictures) > 1:
        dataset.NumberOfFrames = str(len(pictures))
    dataset.PixelData = stored.astype("<u2").tobytes()
    return dataset


def projections(image: nib.Nifti1Image) -> list[tuple[str, np.ndarray, tuple[float, float]]]:
    """Place, picture and spacing of each."""
    return [
        (side.said(numbers), plane, side.spacing_mm)
        for side in _nifti_sides(image.to_bytes())
        for numbers, plane in planes(side.slices, 0, side.group)
    ]


def text_of(report) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["place"], one["files"]) for one in report.content["findings"]]


def test_text_in_one_slice_of_a_series_is_found_in_its_file(tmp_path: Path) -> None:
    for number in range(6):
        picture = tissue((100, 128), number)
        save(
            dicom(write(picture, "DOE^JOHN") if number == 4 else picture, uid=number + 1), tmp_path / f"IM-{number}.dcm"
        )
    report = check(tmp_path, progress=False)
    assert text_of(report) == [("text", "frame 0", "4")]
    assert (report.exit_code, report.content["clean"]) == (1, False)
    assert "DOE" not in json.dumps(report.content)


@pytest.mark.parametrize(
    ("change", "sliced"),
    [
        ({}, True),
        ({"SOPClassUID": UltrasoundImageStorage, "Modality": "US"}, False),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, False),
        ({"Modality": "OT"}, False),
        ({"ConversionType": "WSD"}, False),
        ({"BurnedInAnnotation": "YES"}, False),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, False),
        ({"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"]}, False),
        ({"PhotometricInterpretation": "RGB"}, False),
    ],
)
def test_only_slices_as_scanners_make_them_are_projected(change: dict, sliced: bool) -> None:
    dataset = clean_dicom()
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    assert is_slice(dataset) == sliced


def test_frames_of_ultrasound_are_looked_at_one_by_one(finder: TextFinder) -> None:
    dataset = dicom(*(tissue((100, 128), number) for number in range(3)), write(tissue((100, 128)), "03.09.1962"))
    dataset.SOPClassUID, dataset.Modality = UltrasoundImageStorage, "US"
    looks = PixelCheck(finder)
    assert [(one.kind, one.place, one.file) for one in looks.dicom(dataset, 5)] == [("text", "frame 3", 5)]
    assert [(box.frame, box.top < 60) for box in text_boxes(dataset)] == [(3, True)]
    assert looks.finish() == []


def test_pixels_that_cannot_be_seen_are_a_finding(finder: TextFinder) -> None:
    looks = PixelCheck(finder)
    cut = dicom(tissue())
    cut.PixelData = cut.PixelData[:100]
    packed = dicom(tissue())
    packed.file_meta.TransferSyntaxUID = JPEG2000Lossless
    huge = dicom(tissue())
    huge.Rows = huge.Columns = 60000
    for broken in (cut, packed, huge):
        with pytest.raises(UnreadableError):
            list(frames(broken))
        assert [(one.kind, one.place) for one in looks.dicom(broken, 0)] == [("unseen", "pixels")]
    icon = dicom(tissue())
    icon.IconImageSequence = [pydicom.Dataset()]
    assert [one.place for one in looks.dicom(icon, 0)] == ["icon"]
    assert [one.kind for one in looks.picture(b"\x89PNG\r\n\x1a\n", 0)] == ["unseen"]
    assert [one.kind for one in looks.nifti(b"\x5c\x01\0\0", 0)] == ["unseen"]
    del icon.PixelData, icon.IconImageSequence
    assert looks.dicom(icon, 0) == []


@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "S"), ("S", "R", "A"), ("P", "I", "L")])
@pytest.mark.parametrize("frame_count", [1, 3])
def test_text_in_a_slice_of_a_nifti_is_found_however_it_lies(finder, codes: tuple, frame_count: int) -> None:
    """Written on an axial slice as it is shown: rows to the back, columns to the left."""
    volume = np.stack([tissue((100, 128), seed).T for seed in range(5)], axis=-1)
    clean = nib.Nifti1Image(volume.astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]))
    volume[..., 3] = write(volume[..., 3].T, "DOE^JOHN").T
    image = nib.Nifti1Image(volume.astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]))
    found = []
    for one in (image, clean):
        start = nib.orientations.axcodes2ornt("LPS")
        turned = one.as_reoriented(nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes)))
        if frame_count > 1:
            series = np.stack(
                [
                    clean.as_reoriented(
                        nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
                    ).get_fdata()
                ]
                * (frame_count - 1)
                + [turned.get_fdata()],
                -1,
            )
            turned = nib.Nifti1Image(series.astype(np.float32), turned.affine)
        found.append([(f.kind, f.place) for f in PixelCheck(finder).nifti(turned.to_bytes(), 0)])
    assert found == [[("text", "slices 0-4 from I to S")], []]


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SRA", "PIL"])
def test_planes_of_a_nifti_lie_as_they_are_shown(codes: str) -> None:
    volume = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)  # to the left, back and head
    turn = nib.orientations.ornt_transform(*(nib.orientations.axcodes2ornt(one) for one in ("LPS", codes)))
    image = nib.Nifti1Image(volume, np.diag([-1.0, -2.0, 3.0, 1.0])).as_reoriented(turn)
    found = {place: (picture, spacing) for place, picture, spacing in reversed(projections(image))}
    expected = {
        "slices 0-10 from I to S": (volume.max(2).T, (2.0, 1.0)),
        "slices 0-9 from A to P": (volume.max(1).T[::-1], (3.0, 1.0)),
        "slices 0-8 from R to L": (volume.max(0).T[::-1], (3.0, 2.0)),
    }
    assert found.keys() == expected.keys()
    for place, (picture, spacing) in expected.items():
        np.testing.assert_array_equal(found[place][0], picture)
        assert found[place][1] == pytest.approx(spacing)


def test_slices_of_a_nifti_are_projected_in_small_groups() -> None:
    image = nib.Nifti1Image(np.zeros((17, 18, 20), np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert {place for place, _, _ in projections(image)} == {
        "slices 0-15 from I to S",
        "slices 16-19 from I to S",
        "slices 0-17 from A to P",
        "slices 0-16 from R to L",
    }


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16"])
def test_text_in_pictures_of_every_mode_is_found(finder: TextFinder, mode: str) -> None:
    grey = write(tissue(), "DOE^JOHN").astype(np.uint8)
    if mode == "RGBA":  # written in nothing but the transparency
        image = Image.fromarray(np.dstack([np.zeros((*grey.shape, 3), np.uint8), grey]))
    elif mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 16)
    else:
        image = Image.fromarray(grey).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    assert [(one.kind, one.place) for one in PixelCheck(finder).picture(file.getvalue(), 0)] == [("text", "frame 0")]


def test_skipped_pixels_make_no_clean_report(tmp_path: Path) -> None:
    save(dicom(write(tissue(), "DOE^JOHN")), tmp_path / "scans" / "IM-0001.dcm")
    report = check(tmp_path / "scans", text="skip", progress=False)
    assert (report.content["clean"], report.exit_code) == (None, 0)
    assert report.content["text"]["files_not_looked_at"] == 1
    assert "pixels of 1 not looked at" in report.summary
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "notes.txt").write_text("Thorax\n")
    assert check(tmp_path / "tables", text="skip", progress=False).content["clean"] is True
    with pytest.raises(UsageError, match="look or skip"):
        check(tmp_path / "scans", text="maybe", progress=False)


def test_without_the_detector_the_command_stops_with_the_way_out(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("medsynth.identity.text_model.find_spec", lambda name: None)
    save(dicom(tissue()), tmp_path / "scans" / "IM-0001.dcm")
    assert main(["check", f"folder={tmp_path / 'scans'}", f"out={tmp_path / 'out'}", "progress=false"]) == 1
    said = capsys.readouterr().err
    assert "[text-detection]" in said
    assert "text=skip" in said
    assert not (tmp_path / "out" / "identity.json").exists()
    assert main(["check", f"folder={tmp_path / 'scans'}", "text=skip", "progress=false"]) == 0


def test_spacing_that_is_none_is_none() -> None:
    dataset = clean_dicom()
    assert spacing_of(dataset) == (0.7421875, 0.7421875)
    dataset.PixelSpacing = ["0", "1"]
    assert spacing_of(dataset) is None


@pytest.mark.data
def test_after_removal_no_text_is_found_in_real_scans(test_data: Path, tmp_path: Path) -> None:
    files = [
        test_data / "phi" / name for name in ("presidio/2_ORIGINAL.dcm", "deid_data_ultrasound/GREYSCALE_IMAGE.dcm")
    ]
    with quiet():
        assert all(text_boxes(pydicom.dcmread(path)) for path in files)
        assert text_boxes(pydicom.dcmread(test_data / "phi/presidio/RGB_ORIGINAL.dcm")) == []
    report = remove_from_tree(files, tmp_path / "out", bytes(32), find_boxes=text_boxes)
    assert (report.written, report.refused) == (2, {})
    counts = check(tmp_path / "out", progress=False).content["counts"]
    assert {"text", "unseen"}.isdisjoint(counts)
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert pydicom.dcmread(path).BurnedInAnnotation == "NO"
