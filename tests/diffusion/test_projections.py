"""What an estimate gets wrong outside of a mask is taken off inside of it, near the edge alone."""

import math

import pytest
import torch

from medsynth.diffusion.projections import keep_outside


def half(*spatial):
    """A mask of everything from the middle of the first axis on."""
    mask = torch.zeros(1, 1, *spatial, dtype=torch.bool)
    mask[:, :, spatial[0] // 2 :] = True
    return mask


def white(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spatial", [(16, 12), (16, 8, 6)])
def test_an_offset_goes_at_the_edge_and_stays_far_inside(spatial):
    known, mask = white(0, 2, 3, *spatial), half(*spatial)
    found = keep_outside(known, mask, reach=1.5)(known + 0.7) - known
    inside = found[:, :, 8:]
    assert (found[:, :, :8] == 0).all()
    weights = torch.exp(-(torch.arange(-3.0, 4.0, dtype=torch.float64) ** 2) / 4.5)
    # Of the known, in the rows 1, 2 and 3 away from it.
    shares = [float(weights[4 + into :].sum() / weights.sum()) for into in range(3)]
    for into, share in enumerate(shares):
        torch.testing.assert_close(inside[:, :, into], torch.full_like(inside[:, :, into], 0.7 * (1 - share / 0.5)))
    torch.testing.assert_close(inside[:, :, 3:], torch.full_like(inside[:, :, 3:], 0.7))


def test_every_axis_is_as_good_as_the_first():
    known, mask, z = white(15, 1, 1, 16, 8, 6), half(16, 8, 6), white(16, 1, 1, 16, 8, 6)
    found = keep_outside(known, mask, reach=1.5)(z)
    for axis in (3, 4):
        turned = keep_outside(known.transpose(2, axis), mask.transpose(2, axis), reach=1.5)(z.transpose(2, axis))
        torch.testing.assert_close(turned.transpose(2, axis), found)


def test_it_is_an_affine_projection_that_keeps_the_known_to_the_bit():
    known, mask = white(1, 1, 2, 12, 12), torch.rand(1, 2, 12, 12, generator=torch.Generator().manual_seed(2)) > 0.5
    project = keep_outside(known, mask, reach=1.5)
    one, two = white(3, 4, 2, 12, 12), white(4, 4, 2, 12, 12)
    assert torch.equal(project(one)[:, ~mask[0]], known[:, ~mask[0]].expand(4, -1))
    torch.testing.assert_close(project(project(one)), project(one))
    torch.testing.assert_close(project(0.3 * one + 0.7 * two), 0.3 * project(one) + 0.7 * project(two))
    assert torch.equal(project(known.clone()), known)


def test_what_the_known_holds_inside_the_mask_is_not_looked_at():
    known, mask = white(5, 1, 1, 12, 12), half(12, 12)
    other = torch.where(mask, math.nan, known)
    z = white(6, 1, 1, 12, 12)
    assert torch.equal(keep_outside(known, mask, reach=1.5)(z), keep_outside(other, mask, reach=1.5)(z))


def test_without_a_reach_the_estimate_stays_and_a_reach_below_0_is_refused():
    known, mask, z = white(7, 1, 1, 8, 8), half(8, 8), white(8, 1, 1, 8, 8)
    assert torch.equal(keep_outside(known, mask)(z), torch.where(mask, z, known))
    for reach in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="0 or more voxels"):
            keep_outside(known, mask, reach=reach)


def test_a_mask_without_the_axes_of_the_estimate_is_refused_where_it_has_a_reach():
    """Their first two are no places: its share of the neighbourhood would not be smoothed."""
    known, mask, z = white(11, 8, 8), half(8, 8)[0, 0], white(12, 1, 1, 8, 8)
    assert torch.equal(keep_outside(known, mask)(z), torch.where(mask, z, known))
    with pytest.raises(ValueError, match="all 4 axes"):
        keep_outside(known, mask, reach=1.5)(z)
    assert keep_outside(known, mask[None, None], reach=1.5)(z).shape == z.shape


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_estimate_keeps_its_type(kind):
    known, mask, z = white(13, 1, 1, 8, 8), half(8, 8), white(14, 1, 1, 8, 8).to(kind)
    found = keep_outside(known, mask, reach=1.5)(z)
    assert found.dtype == kind
    assert torch.equal(found[~mask], known.to(kind)[~mask])


def test_beside_a_known_voxel_the_estimate_comes_nearer_to_the_best_there_is():
    """Pairs of unit variance and correlation 0.9, both seen through noise by the denoiser, one of them known."""
    sigma, rho = 0.5, 0.9
    law = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    data = white(9, 20000, 2) @ torch.linalg.cholesky(law).T
    noisy = data + sigma * white(10, 20000, 2)
    estimate = noisy @ torch.linalg.inv(law + sigma**2 * torch.eye(2, dtype=torch.float64)) @ law
    mask = torch.tensor([[[False, True]]])

    def error(reach):
        free = keep_outside(data[:, None], mask, reach)(estimate[:, None])[:, 0, 1]
        return float((free - data[:, 1]).square().mean())

    best = 1 / (1 / (1 - rho**2) + 1 / sigma**2)  # of the regression on the known one and the noisy free one
    assert 0.97 * best < error(1.5) < error(0.0)
    assert error(1.5) - best < 0.5 * (error(0.0) - best)
