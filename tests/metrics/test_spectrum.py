import numpy as np
import pytest
from scipy import ndimage

from medsynth.metrics.spectrum import radial_log_spectrum


@pytest.mark.parametrize(("shape", "spacing"), [((64, 48), (1.0, 1.0)), ((24, 32, 16), (0.8, 1.2, 2.5))])
@pytest.mark.parametrize("hann", [True, False])
def test_white_noise_is_flat_at_its_variance(shape, spacing, hann):
    noise = np.random.default_rng(0).normal(0, 3, (120, *shape))
    found = radial_log_spectrum(noise, spacing, hann=hann)
    kept = slice(2 if hann else 0, None)  # under a window, taking the mean away reaches the two lowest rings
    np.testing.assert_allclose((10**found.log_power).mean(0)[kept], 9, rtol=0.12)


def test_parseval():
    """Without a window the mean power over all coefficients is the variance."""
    image = np.random.default_rng(1).normal(size=(1, 32, 32))
    power = np.abs(np.fft.fftn(image[0] - image.mean())) ** 2 / image.size
    assert power.mean() == pytest.approx(image.var())
    found = radial_log_spectrum(image, (1, 1), hann=False)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    ring = power[(radius * 32 + 0.5).astype(int) == 5].mean()
    assert 10 ** found.log_power[0, 4] == pytest.approx(ring)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wave_peaks_at_its_physical_frequency_whatever_the_spacing(axis):
    shape, spacing, wanted = (48, 40, 24), (0.7, 1.0, 1.6), 0.2  # cycles per mm
    place = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    found = radial_log_spectrum(np.cos(2 * np.pi * wanted * place[axis])[None], spacing)
    step = np.diff(found.frequencies).mean()
    assert found.frequencies[found.log_power[0].argmax()] == pytest.approx(wanted, abs=step)


def test_blur_follows_the_gaussian_transfer_function():
    noise = np.random.default_rng(2).normal(size=(8, 64, 64))
    blurred = np.stack([ndimage.gaussian_filter(image, 1 / 0.5, mode="wrap") for image in noise])
    sharp, soft = (radial_log_spectrum(x, (0.5, 0.5), hann=False) for x in (noise, blurred))
    expected = -2 * (np.pi * sharp.frequencies) ** 2 * 2 * np.log10(np.e)
    low = sharp.frequencies < 0.4
    np.testing.assert_allclose((soft.log_power - sharp.log_power).mean(0)[low], expected[low], atol=0.12)


def test_a_constant_image_lies_on_the_floor():
    found = radial_log_spectrum(np.full((1, 16, 16), 7.3), (1, 1), floor=1e-9)
    np.testing.assert_allclose(found.log_power, -9)
