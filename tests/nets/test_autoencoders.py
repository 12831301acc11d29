"""Haar: exact, orthonormal, and white noise stays white."""

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.nets.autoencoders import Haar, Identity


@pytest.mark.parametrize("spatial", [(8, 12), (8, 4, 12)])
@pytest.mark.parametrize("levels", [1, 2])
def test_haar_inverts_exactly(spatial, levels):
    haar = Haar(levels)
    x = torch.randn(2, 3, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = haar.encode(x)
    rank = len(spatial)
    assert z.shape == (2, 3 * 2 ** (rank * levels), *(side // 2**levels for side in spatial))
    assert z.shape[1] == haar.latent_channels(3, rank)
    assert (haar.decode(z) - x).abs().max() < 1e-14
    assert z.pow(2).sum().item() == pytest.approx(x.pow(2).sum().item(), rel=1e-12)


def test_haar_bands_mean_what_they_say():
    haar = Haar()
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    mean, across, down, both = haar.encode(x)[0, :, 0, 0].tolist()
    assert mean == pytest.approx((1 + 2 + 3 + 5) / 2)
    assert across == pytest.approx((1 - 2 + 3 - 5) / 2)
    assert down == pytest.approx((1 + 2 - 3 - 5) / 2)
    assert both == pytest.approx((1 - 2 - 3 + 5) / 2)


def test_channels_stay_together_band_by_band():
    haar = Haar()
    x = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 3.0)])[None]
    assert haar.encode(x)[0, :2, 0, 0].tolist() == pytest.approx([2.0, 6.0])


def test_white_noise_stays_white():
    z = Haar().encode(torch.randn(1024, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1)))
    flat = z.transpose(0, 1).flatten(1)
    assert torch.allclose(torch.corrcoef(flat), torch.eye(8), atol=0.03)
    assert torch.allclose(flat.std(1), torch.ones(8), atol=0.03)


def test_odd_sizes_are_refused():
    with pytest.raises(MedsynthError, match="does not divide by 4"):
        Haar(2).encode(torch.zeros(1, 1, 6, 8))


def test_identity():
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(Identity().decode(Identity().encode(x)), x)
