"""Files made to do harm end by themselves, in little time and memory; padding is no image."""

import struct
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from medsynth.data import dicom_file
from medsynth.data.codestreams import coded_size, require_run_length
from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.errors import UnreadableError
from medsynth.geometry import Geometry
from tests.data.test_dicom import CR, MR, oblique, setting, values, write_series


def with_frame(path, forge):
    """Write the one compressed frame of a file anew."""
    with quiet():
        dataset = pydicom.dcmread(path)
        (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([forge(bytearray(frame))])
        dataset.save_as(path)


SHAPE = (40, 36, 4)  # the encoder of JPEG 2000 wants some pixels


def large(folder):
    return write_series(folder, Geometry.centred(SHAPE, (1, 1, 2)), values(np.uint16, shape=SHAPE))


def packed(folder, syntax):
    paths = large(folder)
    for path in paths:
        dataset = pydicom.dcmread(path)
        compress(dataset, syntax)
        dataset.save_as(path)
    return paths


def larger(frame, side=30_000):
    """A frame whose own header says that it is that large."""
    at = frame.find(b"\xff\x51")
    if at == 2:
        frame[at + 6 : at + 14] = frame[at + 22 : at + 30] = struct.pack(">II", side, side)
    else:
        at = frame.index(b"\xff\xf7")
        frame[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(frame)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_what_a_frame_says_of_its_size_is_true(tmp_path, syntax):
    paths = packed(tmp_path / "s", syntax)
    plain = read_dicom(large(tmp_path / "p"))
    assert np.array_equal(read_dicom(paths).array, plain.array)
    (frame,) = pydicom.encaps.generate_frames(pydicom.dcmread(paths[0]).PixelData, number_of_frames=1)
    if syntax != RLELossless:
        assert coded_size(frame) == (36, 40, 1)
        assert coded_size(frame[:8]) is None


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_frame_that_would_open_to_gigabytes_is_not_opened(tmp_path, syntax):
    paths = packed(tmp_path / "s", syntax)
    with_frame(paths[1], larger)
    with pytest.raises(UnreadableError, match=r"opens to 30000x30000 pixels of 1 samples, the file says 36x40 of 1"):
        read_dicom(paths)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_frame_cut_short_in_a_whole_file_is_refused(tmp_path, syntax):
    """Decoders of JPEG fill up what is missing, without a word."""
    paths = packed(tmp_path / "s", syntax)
    whole = paths[1].read_bytes()
    for cut in (2, 20, 400):
        paths[1].write_bytes(whole)
        with_frame(paths[1], lambda frame, cut=cut: bytes(frame).rstrip(b"\0")[:-cut])
        with pytest.raises(UnreadableError, match="missing, cut short or broken"):
            read_dicom(paths)


def test_a_run_length_frame_longer_than_its_pixels_is_not_opened(tmp_path):
    paths = packed(tmp_path / "s", RLELossless)
    with_frame(paths[0], lambda frame: bytes(frame) + b"\x81\x00" * 5_000)
    with pytest.raises(UnreadableError, match="larger than its pixels"):
        read_dicom(paths)
    # The worst that honest packing makes of noise: a byte more for each 128, and a header for each frame.
    require_run_length(bytes(64 + 2 * (2**16 + 2**9)), 2 * 2**16)


def inserted(path, blob):
    """Elements after the SOP Instance UID."""
    raw = path.read_bytes()
    start = raw.index(b"\x08\x00\x18\x00UI")
    end = start + 8 + struct.unpack("<H", raw[start + 6 : start + 8])[0]
    path.write_bytes(raw[:end] + blob + raw[end:])


ITEM, ITEM_END, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
OPEN = b"\xff\xff\xff\xff"
SEQUENCE = b"\x08\x00\x40\x11SQ\0\0"  # Referenced Image Sequence


def nested(depth):
    body = b""
    for _ in range(depth):
        body = SEQUENCE + OPEN + ITEM + OPEN + body + ITEM_END + END
    return body


def test_sequences_nested_without_end_end_the_file_and_not_the_run(tmp_path):
    paths = write_series(tmp_path / "s", oblique(0), values())
    whole = paths[0].read_bytes()
    inserted(paths[0], nested(20))
    read_dicom(paths)
    for depth in (400, 20_000):
        paths[0].write_bytes(whole)
        inserted(paths[0], nested(depth))
        with pytest.raises(UnreadableError, match="cut short or is no DICOM"):
            read_dicom(paths)


def test_a_header_of_millions_of_items_is_not_read_to_its_end(tmp_path, monkeypatch):
    """Sixteen bytes of an item take a kilobyte of memory."""
    paths = write_series(tmp_path / "s", oblique(0), values())
    whole = paths[0].read_bytes()
    inserted(paths[0], SEQUENCE + OPEN + (ITEM + bytes(4)) * 20_000 + END)
    assert read_dicom(paths).array.shape == (6, 5, 4)
    monkeypatch.setattr(dicom_file, "_MOST_READS", 20_000)
    with pytest.raises(UnreadableError, match="larger than that of any image"):
        read_dicom(paths)
    paths[0].write_bytes(whole)
    assert read_dicom(paths).array.shape == (6, 5, 4)
    monkeypatch.setattr(dicom_file, "_LARGEST_HEADER", 300)
    with quiet(), pytest.raises(UnreadableError, match="larger than that of any image"):
        read_header(paths[0])


BOMB = """
import resource, sys
from pathlib import Path
from medsynth.data.dicom import read_dicom
from medsynth.errors import UnreadableError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_dicom(sorted(Path(sys.argv[1]).iterdir()))
except UnreadableError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_bomb_takes_a_few_megabytes(tmp_path):
    paths = packed(tmp_path / "s", JPEG2000Lossless)
    with_frame(paths[0], larger)
    done = subprocess.run([sys.executable, "-c", BOMB, str(tmp_path / "s")], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100


# padding


@pytest.mark.parametrize(
    ("kind", "padding", "expected"),
    [
        (np.int16, {"PixelPaddingValue": -2000}, -1000),
        (np.int16, {"PixelPaddingValue": 63536}, -1000),  # the same bits without a sign
        (np.int16, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1000}, -900),
        (np.uint16, {"PixelPaddingValue": 0}, 5),
        (np.int16, {}, -2000),
        (np.int16, {"PixelPaddingValue": 77}, -2000),
    ],
)
def test_padding_becomes_the_lowest_value_of_the_image(tmp_path, kind, padding, expected):
    stored = np.full((6, 5, 4), 200, kind)
    ends = (-2000, -1000, -900) if kind is np.int16 else (0, 5, 6)
    stored[0], stored[1], stored[2, 0, 2] = ends
    paths = write_series(tmp_path / "s", oblique(0), stored)
    for path in paths:
        dataset = pydicom.dcmread(path)
        for name, value in padding.items():
            # Written as what it is taken for: US or SS by its sign.
            dataset.add_new(name, "SS" if value < 0 else "US", value)
        dataset.save_as(path)
    array = read_dicom(paths).array + 1024
    assert array.min() == expected
    assert (array[0] == expected).all()
    assert array[2, 0, 2] == max(expected, ends[2])
    assert (array[3:] == 200).all()


def test_padding_of_a_radiograph_is_as_dark_as_its_darkest_pixel(tmp_path):
    def turned(dataset, k):
        dataset.PhotometricInterpretation, dataset.PixelPaddingValue = "MONOCHROME1", 0
        dataset.BitsStored, dataset.HighBit = 12, 11
        del dataset.RescaleSlope, dataset.RescaleIntercept

    stored = np.full((6, 5, 4), 3000, np.uint16)
    stored[0], stored[1] = 0, 4000
    array = read_dicom(write_series(tmp_path / "s", oblique(0), stored, turned, CR)[:1]).array
    assert (array[:2] == 95).all()
    assert (array[2:] == 1095).all()


def test_an_image_of_padding_alone_stays_as_it_is(tmp_path):
    paths = write_series(tmp_path / "s", oblique(0), np.zeros((6, 5, 4), np.int16), setting(PixelPaddingValue=0), MR)
    assert (read_dicom(paths).array == 0).all()


@pytest.mark.parametrize("change", [{"Rows": 1}, {"Columns": 2}, {"BitsAllocated": 8}])
def test_pixels_that_the_header_does_not_name_are_not_left_out_without_a_word(tmp_path, change):
    paths = write_series(tmp_path / "s", oblique(0), values(), setting(**change))
    with pytest.raises(UnreadableError, match=r"more pixels than its rows, columns and frames say|pixels are missing"):
        read_dicom(paths)
