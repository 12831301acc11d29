"""Pixels after removal: the same to a reader, nothing beside them, and black where boxes are."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian

from medsynth.data.dicom_file import quiet
from medsynth.errors import UnreadableError
from medsynth.identity.pixels import Box, blank, clean_pixels
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.removal import remove_identity

NAMES = Pseudonymiser(bytes(32))
FILES = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "liver_1frame.dcm", "liver_expb_1frame.dcm", "image_dfl.dcm",
    "examples_palette.dcm", "examples_jpeg2k.dcm", "examples_overlay.dcm", "rtdose.dcm", "rtdose_expb.dcm",
    "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm",
]  # fmt: skip


def read(name: str) -> pydicom.FileDataset:
    with quiet():
        return pydicom.dcmread(get_testdata_file(name))


@pytest.mark.parametrize("name", FILES)
def test_a_reader_sees_the_same_pixels(name: str) -> None:
    source = read(name)
    with quiet():
        result = remove_identity(source, NAMES)
        assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        before, after = pixel_array(source), pixel_array(result)  # colour as RGB
    np.testing.assert_array_equal(after, before)


def sixteen(values: np.ndarray, stored: int, signed: int = 0) -> pydicom.FileDataset:
    source = read("CT_small.dcm")
    source.Rows, source.Columns = values.shape
    source.BitsStored, source.HighBit, source.PixelRepresentation = stored, stored - 1, signed
    source.PixelData = values.astype("<u2").tobytes()
    return source


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_that_are_not_stored_are_cleared(signed: int) -> None:
    rng = np.random.default_rng(0)
    secret = sixteen(rng.integers(0, 2**16, (8, 8)), 12, signed)
    plain = sixteen(np.frombuffer(secret.PixelData, "<u2").reshape(8, 8) & 0x0FFF, 12, signed)
    assert secret.PixelData != plain.PixelData
    results = [remove_identity(one, NAMES) for one in (secret, plain)]
    assert results[0].PixelData == results[1].PixelData
    with quiet():
        np.testing.assert_array_equal(results[0].pixel_array, secret.pixel_array)


def test_an_overlay_in_the_upper_bits_is_gone() -> None:
    overlay = np.zeros((8, 8), np.uint16)
    overlay[2:5] = 1
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    result = remove_identity(sixteen(values | overlay << 15, 12), NAMES)
    np.testing.assert_array_equal(np.frombuffer(result.PixelData, "<u2").reshape(8, 8), values)


def test_bytes_behind_the_last_pixel_are_cut() -> None:
    source = sixteen(np.arange(63).reshape(7, 9), 16)
    whole = source.PixelData
    source.PixelData += b"Zq0001Wkjx"
    assert remove_identity(source, NAMES).PixelData == whole
    source.PixelData = whole[:-2]
    with pytest.raises(UnreadableError, match="cut short"):
        remove_identity(source, NAMES)


@pytest.mark.parametrize(("photometric", "black"), [("MONOCHROME2", -7), ("MONOCHROME1", 90)])
def test_boxes_become_black(photometric: str, black: int) -> None:
    source = sixteen(np.arange(-7, 91).reshape(7, 14), 16, signed=1)
    source.PhotometricInterpretation = photometric
    before = source.pixel_array.copy()
    result = remove_identity(
        source, NAMES, boxes=[Box(left=3, top=1, width=4, height=2), Box(12, 5, 9, 9), Box(-2, -2, 3, 3)]
    )
    after = result.pixel_array
    inside = np.zeros((7, 14), bool)
    inside[1:3, 3:7] = inside[5:, 12:] = inside[0, 0] = True
    assert (after[inside] == black).all()
    np.testing.assert_array_equal(after[~inside], before[~inside])


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd_big_endian.dcm"])
def test_boxes_in_colour(name: str) -> None:
    source = read(name)
    with quiet():
        plain = remove_identity(source, NAMES).pixel_array
        result = remove_identity(source, NAMES, boxes=[Box(0, 0, 2, 1)]).pixel_array
    assert (result[..., 0, :2, :] == 0).all()
    assert plain[..., 0, :2, :].any()
    np.testing.assert_array_equal(result[..., 1:, :, :], plain[..., 1:, :, :])


def test_boxes_of_one_frame_leave_the_others() -> None:
    frames = np.ones((3, 4, 5, 1))
    blank(frames, [Box(1, 1, 2, 2, frame=1)], (0,))
    assert frames.sum() == 60 - 4
    assert (frames[1, 1:3, 1:3] == 0).all()


def test_boxes_that_cannot_be_blanked_refuse_the_file() -> None:
    for name in ("liver_1frame.dcm", "SC_ybr_full_422_uncompressed.dcm"):
        with pytest.raises(UnreadableError, match="cannot be blanked"):
            remove_identity(read(name), NAMES, boxes=[Box(0, 0, 2, 2)])


def test_pixels_without_a_decoder_are_refused() -> None:
    source = read("CT_small.dcm")
    source.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG-2
    with pytest.raises(UnreadableError):
        remove_identity(source, NAMES)


def test_floats_are_cut_and_blanked() -> None:
    source = read("CT_small.dcm")
    del source.PixelData
    values = np.linspace(-3, 5, source.Rows * source.Columns, dtype="<f4")
    source.FloatPixelData = values.tobytes() + b"Zq0001Wkjx"
    clean_pixels(source, [Box(1, 0, 2, 1)])
    after = np.frombuffer(source.FloatPixelData, "<f4")
    assert len(after) == len(values)
    assert (after[1:3] == -3).all()
    np.testing.assert_array_equal(after[3:], values[3:])


def test_burned_in_text_of_a_real_image_goes(test_data: Path) -> None:
    folder = test_data / "phi/presidio"
    path = sorted(folder.glob("*.dcm"))[0]
    with quiet():
        source = pydicom.dcmread(path)
        frame = source.pixel_array
        box = Box(0, 0, frame.shape[1] // 2, 200)
        result = remove_identity(source, NAMES, boxes=[box])
    assert len(np.unique(frame[:200, : box.width])) > 1
    assert len(np.unique(result.pixel_array[:200, : box.width])) == 1
    np.testing.assert_array_equal(result.pixel_array[200:], frame[200:])


def test_a_frame_that_would_open_to_gigabytes_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in colour, where a pixel has three samples."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("medsynth.identity.pixels.decompress", opened)
    for name in ("693_J2KI.dcm", "SC_rgb_gdcm_KY.dcm"):
        dataset = read(name)
        (frame, *_) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        lying = bytearray(frame)
        at = lying.index(b"\xff\x4f\xff\x51") + 2
        lying[at + 6 : at + 14] = lying[at + 22 : at + 30] = (30_000).to_bytes(4) * 2
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(lying)])
        with quiet(), pytest.raises(UnreadableError, match="opens to 30000x30000 pixels"):
            clean_pixels(dataset)
