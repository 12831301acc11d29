"""A style says how an image looks and nothing of where its structures lie."""

import pytest
import torch
from torch.nn import functional as F

from medsynth.models.conditioner import Conditioner
from medsynth.models.style import OCTAVES, QUANTILES, style_of, style_width

CONTRAST, SHARPNESS = slice(0, len(QUANTILES)), slice(len(QUANTILES), len(QUANTILES) + OCTAVES)


def picture(*shape, seed=0):
    """Smooth blobs and a little noise in [-1, 1]; wraps around."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    axes = torch.meshgrid(*[torch.fft.fftfreq(side) for side in shape], indexing="ij")
    far = sum(axis.square() for axis in axes)
    smooth = torch.fft.ifftn(torch.fft.fftn(noise) * torch.exp(-far * 200)).real
    image = 0.5 * smooth / smooth.abs().max() + 0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(9))
    return image[None]


@pytest.mark.parametrize("shape", [(64, 48), (24, 32, 20)])
def test_where_a_structure_lies_changes_nothing(shape):
    image = picture(*shape)
    style = style_of(image)
    assert style.shape == (style_width(1),)
    for axis, side in enumerate(shape):
        torch.testing.assert_close(style_of(image.roll(side // 3, 1 + axis)), style, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(style_of(image.flip(1 + axis)), style, rtol=1e-3, atol=1e-3)


def test_another_scan_of_the_same_look_is_nearer_than_another_look():
    one, other = style_of(picture(64, 64)), style_of(picture(64, 64, seed=1))
    noisy = picture(64, 64) + 0.2 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(2))
    assert (one - other).norm() < 0.5 * (one - style_of(noisy)).norm()


@pytest.mark.parametrize("shape", [(64, 64), (24, 24, 24)])
def test_contrast_blur_and_noise_change_what_they_should(shape):
    image = picture(*shape)
    style = style_of(image)
    faint = style_of(image / 4)
    assert (faint[CONTRAST] - style[CONTRAST] / 4).abs().max() < 1e-6
    power = torch.log10(torch.tensor(1 / 16)) / 2
    assert torch.allclose(faint[SHARPNESS] - style[SHARPNESS], power, atol=0.05)
    mean = [F.avg_pool2d, F.avg_pool3d][len(shape) - 2]
    blurred = style_of(mean(image, 3, 1, 1))
    assert blurred[SHARPNESS][0] < style[SHARPNESS][0] - 0.3
    assert (blurred[CONTRAST] - style[CONTRAST]).abs().max() < 0.1
    noisy = style_of(image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(3)))
    assert noisy[SHARPNESS][0] > style[SHARPNESS][0] + 0.3
    assert noisy[SHARPNESS][3] - style[SHARPNESS][3] < 0.5 * (noisy[SHARPNESS][0] - style[SHARPNESS][0])
    assert (style_of((image + 0.3).clamp(-1, 1))[CONTRAST] - style[CONTRAST] - 0.3).abs().max() < 0.05


def test_octaves_hold_their_frequencies():
    """A wave of one frequency is in its own octave alone."""
    places = torch.arange(64)
    for octave, period in enumerate((3, 6, 12, 24)):
        cycles = round(64 / period)
        wave = torch.cos(2 * torch.pi * places * cycles / 64).expand(1, 64, 64)
        powers = style_of(wave)[SHARPNESS]
        assert powers.argmax() == octave
        assert powers.sort().values[-2] < powers.max() - 1


def test_power_does_not_depend_on_the_size():
    small, large = (torch.randn(1, side, side, generator=torch.Generator().manual_seed(1)) for side in (64, 256))
    torch.testing.assert_close(style_of(small)[SHARPNESS], style_of(large)[SHARPNESS], rtol=0, atol=0.05)


def test_quantiles_are_quantiles():
    ordered = torch.linspace(-1, 1, 101)[torch.randperm(101, generator=torch.Generator().manual_seed(1))][None, :, None]
    assert torch.allclose(style_of(ordered)[CONTRAST], torch.tensor(QUANTILES) * 2 - 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (7, 9, 11), (1, 1, 1), (2, 3, 1)])
def test_tiny_and_odd_sizes(shape):
    style = style_of(torch.rand(2, *shape))
    assert style.shape == (style_width(2),)
    assert style.isfinite().all()
    assert style.abs().max() < 4


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.3, 1.0])
def test_a_constant_image(value):
    style = style_of(torch.full((1, 16, 16), value))
    assert torch.allclose(style[CONTRAST], torch.tensor(value))
    assert torch.allclose(style[SHARPNESS], torch.tensor(-1.0 * 2 - 1), atol=0.1)


def test_every_image_channel_has_its_own():
    images = torch.cat([picture(16, 16), picture(16, 16, seed=1)])
    assert torch.equal(style_of(images), torch.cat([style_of(images[:1]), style_of(images[1:])]))
    assert style_of(images.to(torch.bfloat16)).dtype == torch.float32


def test_a_style_is_told_and_none_is_its_null():
    conditioner = Conditioner({"class": ["a"]}, style=style_width(1))
    style = style_of(picture(16, 16))
    vector = conditioner.vector({}, style)
    assert torch.equal(vector[conditioner.parts["style"]], torch.cat([torch.ones(1), style]))
    assert not conditioner.vector({}).any()
    assert not conditioner.vector({"style": "bright"}).any()  # an attribute of that name is another thing
