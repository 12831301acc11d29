"""Values and windows: exact where they can be, within half a step where not; what a window shows."""

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut

from medsynth.data.phantom import make_scan
from medsynth.errors import MedsynthError
from medsynth.export.dicom_settings import KINDS, DicomSettings
from medsynth.export.dicom_values import decimal, decimal_string, stored, windows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 65535), (-32768, 32767), (-1024, 3071)])
def test_whole_numbers_are_exact(kind, low, high):
    values = np.array([low, 0, 7, high])
    found = stored(values, kind)
    assert found.exact
    np.testing.assert_array_equal(found.array * found.slope + found.intercept, values)


@pytest.mark.parametrize("kind", ["CT", "MR", "PT", "CR", "SC"])
@given(low=st.floats(-1e5, 1e5), width=st.floats(1e-6, 1e6))
@settings(max_examples=60, deadline=None)
def test_fractions_are_within_half_a_step(kind, low, width):
    values = np.linspace(low, low + width, 99) + width * 1e-4
    found = stored(values, kind)
    back = found.array.astype(float) * found.slope + found.intercept
    assert np.abs(back - values).max() <= 0.5001 * found.slope + 1e-9 * np.abs(values).max()
    assert decimal(found.slope) == found.slope
    assert decimal(found.intercept) == found.intercept
    assert kind != "PT" or found.intercept == 0


def test_a_constant_image_can_be_stored():
    for kind in ("MR", "PT"):
        found = stored(np.full((2, 2), 0.25, np.float32), kind)
        np.testing.assert_allclose(found.array * found.slope + found.intercept, 0.25, rtol=1e-4)
        assert windows(np.full((2, 2), 0.25), kind)[0].width > 0
    assert not stored(np.zeros((2, 2), np.float32), "PT").array.any()


def test_a_picture_of_two_values_is_black_and_white():
    for values in (np.array([0, 0, 1]), np.array([-3.5, -3.5, 2.0])):
        (found,) = windows(values, "MR")
        assert (found.centre - found.width / 2, found.centre + found.width / 2) == (values.min(), values.max())


def test_fractions_are_refused_for_dx():
    with pytest.raises(MedsynthError, match="DX cannot scale"):
        stored(np.array([0.5]), "DX")


@given(value=st.floats(-1e6, 1e6))
def test_decimal_strings_keep_to_sixteen_characters(value):
    dataset = Dataset()
    dataset.ImagePositionPatient = [decimal_string(round(value, 12))] * 3
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    assert len(str(dataset.ImagePositionPatient[0])) <= 16
    assert str(dataset.ImagePositionPatient[0]) not in ("-0", "-0.0")
    assert abs(float(dataset.ImagePositionPatient[0]) - value) <= 1e-8 * max(1, abs(value))


def shown(values, window, function="LINEAR"):
    """0 to 1 as a viewer shows it, by pydicom's own window."""
    dataset = Dataset()
    dataset.WindowCenter, dataset.WindowWidth = decimal_string(window.centre), decimal_string(window.width)
    dataset.VOILUTFunction = function
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 16, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    found = apply_voi_lut(np.asarray(values, dtype=np.float64), dataset)
    return (found - found.min()) / max(np.ptp(found), 1e-9)


def grey_levels(values, window):
    """Share of the body that is neither black nor white."""
    found = shown(values, window, "LINEAR_EXACT")
    return float(((found > 0.03) & (found < 0.97)).mean())


def test_the_first_window_shows_the_anatomy():
    """Of the torso phantom; the control is a window for something else."""
    scan = make_scan(0, 0, seed=1, shape=(48, 40, 12), spacing=(8.0, 8.0, 20.0))
    body = scan.ct > -300
    assert windows(scan.ct, "CT")[0].name == "SOFT TISSUE"
    assert grey_levels(scan.ct[body], windows(scan.ct, "CT")[0]) > 0.8
    assert grey_levels(scan.ct[body], windows(scan.mr, "MR")[0]) < 0.7
    assert grey_levels(scan.mr[body], windows(scan.mr, "MR")[0]) > 0.8
    assert grey_levels(20 * scan.mr[body], windows(scan.mr, "MR")[0]) < 0.5


def test_lungs_alone_do_not_come_out_black():
    lungs = np.linspace(-950, -500, 1000)
    assert windows(lungs, "CT")[0].name == "AUTOMATIC"
    assert grey_levels(lungs, windows(lungs, "CT")[0]) > 0.9


def test_a_picture_of_8_bits_is_shown_as_it_is():
    values = np.arange(256)
    np.testing.assert_allclose(shown(values, windows(values, "SC")[0]) * 255, values, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modality": {"image": "US"}},
        {"plane": "oblique"},
        {"compression": "zip"},
        {"date": "1900-01-01"},
        {"date": "19001301"},
        {"orientation": ("L", "down")},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(MedsynthError, match="dicom"):
        DicomSettings(**wrong)
