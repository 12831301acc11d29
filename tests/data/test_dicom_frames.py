"""What is decoded without pydicom's way about it is what pydicom decodes, bit for bit, or is left to it."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import compress
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from medsynth.data import dicom_pixels
from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import numbers, quiet, read_file
from medsynth.data.dicom_frames import Stored, jpeg_ls_frame, native_frame, plainly_stored, run_length_frame
from medsynth.data.dicom_pixels import in_units, stored_frames
from medsynth.errors import UnreadableError
from tests.data.test_dicom import CR, oblique, setting, write_series

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
KINDS = ["i1", "u1", "i2", "u2", "i4", "u4"]


def noise(kind, bits, shape=(48, 36)):
    """Values of that many bits, in runs and out of them."""
    kind = np.dtype(kind)
    low = -(2 ** (bits - 1)) if kind.kind == "i" else 0
    drawn = np.random.default_rng(0).integers(low, low + 2**bits, shape, dtype=np.int64)
    drawn[10:20] = drawn[10]
    drawn[15:17] = 1  # runs that go on over the end of a row
    return drawn.astype(kind)


def dataset_of(values, bits, frames=1):
    kind = values.dtype
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * kind.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(kind.kind == "i")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW" if kind.itemsize > 1 else "OB"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def by_pydicom(*_):
    raise AssertionError("left to pydicom")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_each_kind_is_decoded_as_pydicom_does(monkeypatch, kind, syntax):
    for spare in (0, 3):
        bits = 8 * np.dtype(kind).itemsize - spare
        if syntax.is_compressed and bits > 16:  # pydicom compresses no more
            continue
        dataset = dataset_of(noise(kind, bits), bits)
        if syntax.is_compressed:
            compress(dataset, syntax, generate_instance_uid=False)
        theirs = dataset.pixel_array
        with monkeypatch.context() as patch:
            patch.setattr(dicom_pixels, "_decoded_by_pydicom", by_pydicom)
            (found,) = stored_frames(dataset, [None])
        np.testing.assert_array_equal(found, theirs)
        assert found.dtype == theirs.dtype


def test_bits_that_are_not_stored_do_not_count():
    values = np.full((4, 6), 0x5FFF, np.uint16)
    for kind, expected in (("u2", 0xFFF), ("i2", -1)):
        dataset = dataset_of(values.view(kind), 12)
        np.testing.assert_array_equal(stored_frames(dataset, [None])[0], expected)
        np.testing.assert_array_equal(dataset.pixel_array, expected)


def test_frames_of_a_file_of_several():
    values = np.stack([noise("u2", 16), noise("u2", 16)[::-1], noise("u2", 16)[:, ::-1]])
    dataset = dataset_of(values, 16, frames=3)
    for one, other in zip(stored_frames(dataset, [2, 0, 2]), values[[2, 0, 2]], strict=True):
        np.testing.assert_array_equal(one, other)
    assert native_frame(dataset, plainly_stored(dataset), 3) is None


def test_pixels_that_are_not_all_there_are_left_to_pydicom():
    dataset = dataset_of(noise("u2", 16), 16)
    dataset.PixelData = dataset.PixelData[:-2]
    assert native_frame(dataset, plainly_stored(dataset), 0) is None
    dataset.PixelRepresentation = 2
    assert plainly_stored(dataset) is None


STORED = Stored(rows=2, columns=4, allocated=8, bits=8, signed=False)


def run_length(segment, count=1):
    return np.array([count, 64, *[0] * 14], "<u4").tobytes() + segment


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0", b"\0\0\0\0"])
@pytest.mark.parametrize("last", [0, 2])
def test_a_run_may_go_on_from_row_to_row_and_padding_may_follow(padding, last):
    segment = b"\xfb\x07\x01\x01" + bytes([last]) + padding
    np.testing.assert_array_equal(run_length_frame(run_length(segment), STORED).ravel(), [7] * 6 + [1, last])


@pytest.mark.parametrize(
    "frame",
    [
        run_length(b"\xfb\x07\x00\x01"),  # a pixel too few
        run_length(b"\xfb\x07\x05\x01\x02"),
        run_length(b"\xfb\x07\x01\x01"),  # a byte too few
        run_length(b"\xfb\x07\x01\x01\x02\x00\x09"),  # one too many
        run_length(b"\xfb\x07\xf0\x09"),  # a run over the end
        run_length(b"\xf9\x07" + b"\xff" * 8),
        run_length(b"\xf9\x07", count=2),
        b"",
    ],
)
def test_a_run_length_frame_of_too_few_or_too_many_pixels_is_no_frame(frame):
    with pytest.raises(ValueError, match=r"."):
        run_length_frame(frame, STORED)


def test_a_worn_run_length_frame_is_refused():
    """Bytes of 255 open to as many pixels as noise does, nearly: pydicom gives the picture and drops the rest."""
    dataset = dataset_of(noise("u2", 16, (64, 64)), 16)
    compress(dataset, RLELossless, generate_instance_uid=False)
    raw = bytearray(dataset.PixelData)
    raw[-3000:-8] = b"\xff" * 2992
    dataset.PixelData = bytes(raw)
    with quiet():
        assert (dataset.pixel_array[-1, -20:] & 255 == 255).all()
        with pytest.raises(UnreadableError, match="missing, cut short or broken"):
            stored_frames(dataset, [None])


def test_a_jpeg_ls_frame_of_another_size_is_no_frame():
    dataset = dataset_of(noise("u2", 16), 16)
    compress(dataset, JPEGLSLossless, generate_instance_uid=False)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    with pytest.raises(ValueError, match="another size"):
        jpeg_ls_frame(frame, Stored(36, 48, 16, 16, signed=False))


def test_padding_of_a_plain_radiograph(tmp_path):
    """Its pixels are a view of the file's bytes, which cannot be written to."""

    def plain(dataset, _):
        setting(PixelPaddingValue=0)(dataset, _)
        del dataset.RescaleSlope, dataset.RescaleIntercept

    stored = np.full((6, 5, 4), 300, np.int16)
    stored[0], stored[1] = 0, 40
    array = read_dicom(write_series(tmp_path / "s", oblique(0), stored, plain, CR)[:1]).array
    assert (array[:2] == 40).all()
    assert (array[2:] == 300).all()
    array[0] = 1


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2"])
@pytest.mark.parametrize("rescale", [(1.0, -1024.0), (2.0, 0.0), (-3.0, 40000.0), (1.0, -40000.0), (40000.0, 7.0)])
def test_a_whole_rescale_is_exact_in_the_small_type_too(kind, rescale):
    ends = np.iinfo(kind)
    for stored in (np.array([[ends.min, 0, ends.max]], kind), np.array([[0, 1, 100]], kind)):
        expected = stored.astype(np.int64) * int(rescale[0]) + int(rescale[1])
        np.testing.assert_array_equal(in_units(stored, rescale), expected)


def test_numbers_as_they_stand_in_the_file_are_those_of_pydicom():
    for name in ("MR_small.dcm", "CT_small.dcm", "MR_small_implicit.dcm", "rtdose_1frame.dcm"):
        path = SHIPPED / name
        with quiet():
            ours, theirs = read_file(path), pydicom.dcmread(path)
            keywords = [e.keyword for e in theirs if e.VR in ("DS", "IS", "FD", "US") and e.keyword and e.VM]
            for keyword in keywords:
                value = theirs[keyword].value
                value = [] if value is None else value if isinstance(value, pydicom.multival.MultiValue) else [value]
                assert numbers(ours, keyword) == tuple(map(float, value))
        assert len(keywords) > 10
