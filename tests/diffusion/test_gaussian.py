"""The Gaussian prior against closed forms, and against EDM where it has no modes."""

import itertools
import math

import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.gaussian import GaussianPrior, _drawn, from_coarse, most_modes, to_coarse
from medsynth.diffusion.grids import karras_grid
from medsynth.diffusion.parametrisations import Edm, denoised
from medsynth.diffusion.samplers import heun
from medsynth.errors import MedsynthError

SIDES = {2: (8, 4), 3: (4, 6, 2)}


def silent(seen, c_noise, condition):
    return torch.zeros_like(seen[:, : seen.shape[1] // 2])


def population(count, shape, stds, seed=0):
    """Around a mean map, three broad patterns of known size and white noise of a size by channel."""
    generator = torch.Generator().manual_seed(seed)
    # The same patterns and the same map for every seed of the draws.
    fixed = torch.Generator().manual_seed(99)
    patterns = torch.linalg.qr(torch.randn(math.prod(shape), 3, generator=fixed)).Q.T.reshape(3, *shape)
    mean = torch.randn(*shape, generator=fixed)
    weights = torch.randn(count, 3, generator=generator) * torch.tensor([30.0, 20.0, 10.0])
    noise = torch.randn(count, *shape, generator=generator)
    noise = noise * torch.tensor(stds).reshape(-1, *(1,) * (len(shape) - 1))
    return mean + torch.einsum("bk,k...->b...", weights, patterns) + noise


@pytest.mark.parametrize("rank", [2, 3])
def test_without_modes_it_is_edm(rank):
    """Karras et al. 2022, Table 1: c_skip = s^2 / (sigma^2 + s^2), c_out = sigma s / sqrt(sigma^2 + s^2)."""
    prior = GaussianPrior(2, SIDES[rank])
    std = torch.tensor([0.5, 2.0])
    z = torch.randn(4000, 2, *SIDES[rank]) * std.reshape(2, *(1,) * rank)
    moments = prior.fit(iter(z.split(500)), range(4000))
    assert moments.std.tolist() == pytest.approx(std.tolist(), rel=0.02)
    x, sigma = torch.randn(3, 2, *SIDES[rank]), torch.tensor([0.1, 1.0, 30.0])
    s, level = moments.std.float().reshape(1, 2, *(1,) * rank), sigma.reshape(3, *(1,) * (rank + 1))
    assert torch.allclose(prior.mean(x, sigma), s**2 / (level**2 + s**2) * x, rtol=1e-5)
    assert torch.allclose(prior.std(sigma, rank + 2), level * s / (level**2 + s**2).sqrt(), rtol=1e-5)


@pytest.mark.parametrize(("rank", "factor"), [(2, 1), (3, 1), (2, 2), (3, 2)])
def test_its_mean_is_the_best_linear_denoiser(rank, factor, monkeypatch):
    """Against m + S (S + sigma^2)^-1 (x - m), S dense, where the spread apart from the modes is one number."""
    monkeypatch.setattr("medsynth.diffusion.gaussian._factor", lambda width, shape, least: factor)
    shape = (2, *SIDES[rank])
    prior = GaussianPrior(2, shape[1:], modes=3).double()
    z = population(200, shape, [0.3, 0.7]).double()
    centre = prior.fit(iter([z]), range(200)).mean.reshape(2, *(1,) * rank)
    prior.coarse_std.fill_(0.6)
    prior.fine_std.fill_(0.6 if factor == 1 else 0.2)
    size = math.prod(shape)
    unit = torch.eye(size, dtype=torch.float64)
    rows = from_coarse(prior.modes, factor).reshape(3, size)
    assert torch.allclose(rows @ rows.T, torch.eye(3, dtype=torch.float64), atol=1e-5)
    onto = from_coarse(to_coarse(unit.reshape(size, *shape), factor), factor).reshape(size, size)
    covariance = 0.36 * onto + prior.fine_std[0] ** 2 * (unit - onto)
    covariance = covariance + rows.T @ ((prior.variances - 0.36)[:, None] * rows)
    mean = from_coarse(prior.mean_map[None], factor).reshape(size)
    x = (z[:5] - centre) + torch.randn(5, *shape, dtype=torch.float64)
    for level in (0.1, 3.0, 50.0):
        filtered = covariance @ torch.linalg.inv(covariance + level**2 * unit)
        expected = mean + (x.reshape(5, size) - mean) @ filtered.T
        got = prior.mean(x, torch.full((5,), level, dtype=torch.float64))
        assert torch.allclose(got.reshape(5, size), expected, atol=1e-4)


@pytest.mark.parametrize("factor", [1, 2])
def test_its_std_is_its_error_on_fresh_data(factor, monkeypatch):
    monkeypatch.setattr("medsynth.diffusion.gaussian._factor", lambda width, shape, least: factor)
    shape = (2, 8, 8)
    prior = GaussianPrior(2, shape[1:], modes=3)
    centre = prior.fit(iter(population(2000, shape, [0.3, 0.7], seed=1).split(100)), range(2000)).mean
    fresh = population(2000, shape, [0.3, 0.7], seed=2) - centre.float().reshape(2, 1, 1)
    for level in (0.1, 1.0, 5.0, 100.0):
        sigma = torch.full((2000,), level)
        error = prior.mean(fresh + level * torch.randn(fresh.shape), sigma) - fresh
        assert torch.allclose(error.square().mean((0, 2, 3)).sqrt(), prior.std(sigma, 4)[0].flatten(), rtol=0.05)


def test_modes_tell_what_channels_alone_do_not():
    """At high noise the sum over the image still tells the patterns: the error falls far below EDM's."""
    shape, level = (2, 8, 8), 4.0
    z = population(500, shape, [0.3, 0.3])
    plain, knowing = GaussianPrior(2, shape[1:]), GaussianPrior(2, shape[1:], modes=3)
    centred = z - plain.fit(iter([z]), range(500)).mean.float().reshape(2, 1, 1)
    knowing.fit(iter([z]), range(500))
    sigma, noisy = torch.full((500,), level), centred + level * torch.randn(centred.shape)
    errors = [(prior.mean(noisy, sigma) - centred).square().mean().item() for prior in (plain, knowing)]
    assert errors[1] < 0.4 * errors[0]


def test_sampling_a_silent_network_draws_from_the_gaussian():
    """Heun with D = E[y | x] ends in samples with the prior's mean, and its standard deviation along every mode."""
    shape = (2, 8, 8)
    prior = GaussianPrior(2, shape[1:], modes=3)
    moments = prior.fit(iter([population(2000, shape, [0.3, 0.7])]), range(2000))
    grid = karras_grid(60, 0.002, 500.0)

    def denoise(x, sigma, condition):
        return denoised(silent, x, sigma, condition, Edm(prior, moments.std.float()))

    noise = torch.randn(1000, *shape, generator=torch.Generator().manual_seed(3)) * 500
    made = heun(denoise, noise, grid, Condition())
    along = (made - prior.mean_map).flatten(1) @ prior.modes.flatten(1).T
    assert torch.allclose(along.std(0), prior.variances.sqrt(), rtol=0.08)
    assert (along.mean(0).abs() < 4 * prior.variances.sqrt() / math.sqrt(1000)).all()
    rest = (made - prior.mean_map).flatten(1) - along @ prior.modes.flatten(1)
    assert rest.reshape(1000, *shape).square().sum((0, 2, 3)).div(1000 * 64).sqrt().tolist() == pytest.approx(
        [0.3, 0.7], rel=0.05
    )


def test_more_modes_than_samples_or_patterns_do_no_harm():
    prior = GaussianPrior(1, (4, 4), modes=8)
    z = torch.randn(2, 1, 4, 4)
    prior.fit(iter([torch.cat([z] * 64)]), range(128))
    assert torch.count_nonzero(prior.variances) == 1  # two scans, of 64 patients each
    assert torch.isfinite(prior.mean(z, torch.ones(2))).all()
    assert torch.isfinite(prior.std(torch.ones(2), 4)).all()


@pytest.mark.parametrize("sides", [(8, 4), (4, 8, 2)])
def test_coarse_grid_is_orthonormal(sides):
    x = torch.randn(2, 3, *sides, dtype=torch.float64)
    w = to_coarse(x, 2)
    assert w.shape == (2, 3, *(side // 2 for side in sides))
    assert torch.allclose(to_coarse(from_coarse(w, 2), 2), w)
    assert torch.allclose((w * w).sum(), (x * from_coarse(w, 2)).sum())


def test_large_volumes_are_measured_on_a_coarser_grid():
    assert GaussianPrior(8, (64, 64, 64), modes=2).factor == 1
    prior = GaussianPrior(8, (64, 64, 64), modes=4)
    assert prior.factor == 2
    assert prior.modes.shape == (4, 8, 32, 32, 32)
    with pytest.raises(MedsynthError, match="modes=64: too many"):
        GaussianPrior(64, (127, 127, 127), modes=64)


def striped(count):
    """Scans that differ along one broad pattern, and noise."""
    z = 0.1 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return z + torch.linspace(-1, 1, 8) * torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(1))


def seen_in(prior, picture):
    """Part of a picture's length that the modes span."""
    return ((prior.modes.flatten(1) @ picture.flatten()).norm() / picture.norm()).item()


def test_a_patient_whose_picture_the_modes_would_hold_is_left_out():
    """One patient with a large mark of its own: the mark would be the first mode, and stand in the mean map."""
    z, mark = striped(160), torch.zeros(1, 8, 8)
    mark[:, 2:4, 5:7] = 30
    z[6:8] += mark  # two scans of one patient
    prior = GaussianPrior(1, (8, 8), modes=5)
    prior.fit(iter([z]), [scan // 2 for scan in range(160)])
    assert seen_in(prior, mark) < 0.4
    assert prior.mean_map[0, 2:4, 5:7].abs().max() < 0.5
    z[40::2] += mark  # common to many, it is anatomy
    prior.fit(iter([z]), [scan // 2 for scan in range(160)])
    assert seen_in(prior, mark) > 0.95


def test_two_patients_do_not_hide_behind_each_other():
    """Marks that overlap turn the modes so that no mode is one patient's; their leverage still tells."""
    z, marks = striped(128), torch.zeros(2, 1, 8, 8)
    marks[0, :, 2:5, 2:5], marks[1, :, 3:6, 3:6] = 30, 30
    z[3] += marks[0]
    z[90] += marks[1]
    prior = GaussianPrior(1, (8, 8), modes=8)
    prior.fit(iter([z]), range(128))
    assert max(seen_in(prior, mark) for mark in marks) < 0.6


def test_one_sample_of_every_patient_comes_before_a_second(monkeypatch):
    monkeypatch.setattr("medsynth.diffusion.gaussian._MOST_SAMPLES", 50)
    owners, seen = [*[0] * 500, *range(1, 40)], []
    monkeypatch.setattr(GaussianPrior, "_fit_modes", lambda self, w, fine, owners: seen.extend(owners.tolist()))
    GaussianPrior(1, (4, 4), modes=2).fit(iter([torch.randn(539, 1, 4, 4)]), owners)
    assert len(seen) == 50
    assert set(seen) == set(range(40))


def test_memory_holds_as_many_samples_as_its_modes_need():
    """Else the modes' own bound would leave fewer of them than the patients carry."""
    for sides, channels in (((64, 64, 64), 1), ((80, 80, 80), 2), ((64, 64, 48), 8)):
        prior = GaussianPrior(channels, sides, modes=64)
        assert len(_drawn(range(2000), prior.mean_map.numel())) == 1024


def test_every_patient_counts_the_same():
    """A patient with most of the scans does not own the mean map."""
    z = striped(64)
    many = torch.cat([z, (z[:1] + 5).expand(300, 1, 8, 8)])
    prior = GaussianPrior(1, (8, 8), modes=2)
    mean = prior.fit(iter([many]), [*range(64), *[0] * 300]).mean
    apart = prior.mean_map + mean.float() - z.mean(0)
    assert apart.abs().max() < 0.2


def test_fewer_patients_than_a_mode_takes_leave_it_white():
    prior = GaussianPrior(1, (8, 8), modes=2)
    prior.fit(iter([striped(60)]), [scan // 4 for scan in range(60)])
    assert not prior.modes.any()
    assert not prior.mean_map.any()
    assert most_modes(15) == 0
    assert most_modes(136) == 8
    assert most_modes(10**6) == 64


def test_modes_span_the_rough_channels_alone():
    """Fine bands are where a scan is told from another: nothing of them is kept but their spread."""
    shape = (4, 8, 8)
    z = population(200, shape, [0.3] * 4)
    prior = GaussianPrior(4, shape[1:], modes=3, rough=2)
    assert prior.modes.shape == (3, 2, 8, 8)
    moments = prior.fit(iter([z]), range(200))
    centred = z - moments.mean.float().reshape(4, 1, 1)
    for level in (0.1, 3.0):
        sigma, noisy = torch.full((200,), level), centred + level * torch.randn(z.shape)
        gain = moments.std.float()[2:].reshape(2, 1, 1) ** 2
        got = prior.mean(noisy, sigma)
        assert torch.allclose(got[:, 2:], gain / (gain + level**2) * noisy[:, 2:], rtol=1e-4)
        error = (got - centred).square().mean((0, 2, 3)).sqrt()
        assert torch.allclose(error, prior.std(sigma, 4)[0].flatten(), rtol=0.06)


def test_sampling_starts_where_the_noisy_data_lies():
    """At a noise below the data's spread, N(0, sigma^2) would begin beside it."""
    shape, sigma = (2, 8, 8), 5.0
    prior = GaussianPrior(2, shape[1:], modes=3)
    prior.fit(iter([population(2000, shape, [0.3, 0.7])]), range(2000))
    x = prior.start(torch.randn(4000, *shape, generator=torch.Generator().manual_seed(5)), sigma)
    along = (x - prior.mean_map).flatten(1) @ prior.modes.flatten(1).T
    assert torch.allclose(along.std(0), (prior.variances + sigma**2).sqrt(), rtol=0.05)
    assert torch.allclose(x.mean(0), prior.mean_map, atol=0.8)


def test_of_many_samples_some_are_drawn_by_lot(monkeypatch):
    """Not at even distances: those would always meet the same slice of each volume."""
    monkeypatch.setattr("medsynth.diffusion.gaussian._MOST_SAMPLES", 10)
    z = torch.arange(100.0).reshape(100, 1, 1, 1) + torch.randn(100, 1, 4, 4)
    seen = []
    monkeypatch.setattr(GaussianPrior, "_fit_modes", lambda self, w, fine, owners: seen.append((w, owners)))
    moments = GaussianPrior(1, (4, 4), modes=2).fit(iter(z.split(7)), range(100))
    assert moments.mean.item() == pytest.approx(49.5, abs=0.2)
    drawn = seen[0][1].tolist()
    assert len(set(drawn)) == 10
    assert len({later - earlier for earlier, later in itertools.pairwise(sorted(drawn))}) > 3
    assert (seen[0][0] + moments.mean.float()).mean((1, 2, 3)).tolist() == pytest.approx(drawn, abs=1.5)
