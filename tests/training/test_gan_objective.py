"""The GAN's losses where theory knows them: closed forms, and the Dirac-GAN's circles."""

import math

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.training.gan_augmentation import disturbed, moved
from medsynth.training.gan_objective import GanObjective, gradient_penalty, relativistic_loss


@pytest.mark.parametrize("sides", [(6,), (5, 4), (3, 4, 2)])
def test_the_penalty_of_a_quadratic_discriminator_on_gaussians(sides):
    """D = x'Ax/2 + b'x has the gradient Ax + b; over N(0, s^2) its square is s^2 |A|^2 + |b|^2 (A symmetric)."""
    generator = torch.Generator().manual_seed(1)
    size = math.prod(sides)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    a, b = a + a.T, torch.randn(size, generator=generator, dtype=torch.float64)
    x = (0.7 * torch.randn(40_000, *sides, generator=generator, dtype=torch.float64)).requires_grad_()
    flat = x.flatten(1)
    penalty = gradient_penalty(((flat @ a) * flat).sum(1) / 2 + flat @ b, x)
    assert torch.allclose(penalty, (flat @ a + b).square().sum(1))
    assert penalty.mean().item() == pytest.approx(0.49 * a.square().sum().item() + b.square().sum().item(), rel=0.02)


def test_the_penalty_teaches_the_discriminator():
    """d/dA of |A x|^2 / 2 is A x x': the penalty is differentiable by the weights."""
    weight = torch.tensor([[1.0, 2.0], [2.0, -1.0]], requires_grad=True)
    x = torch.tensor([[0.5, -1.0]], requires_grad=True)
    gradient_penalty((x @ weight * x).sum(1) / 2, x).sum().backward()
    by_hand = torch.tensor([[1.0, 2.0], [2.0, -1.0]]) @ x[0]
    outer = torch.outer(by_hand, x[0].detach())
    assert torch.allclose(weight.grad, outer + outer.T)


def test_the_loss_of_a_pair():
    high, low = torch.tensor([3.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 1.0])
    assert torch.allclose(relativistic_loss(high, low), torch.log(1 + torch.exp(-(high - low))))
    assert relativistic_loss(low, low).tolist() == pytest.approx([math.log(2)] * 3)


def dirac(gamma: float, steps: int = 3000, rate: float = 0.1) -> list[float]:
    """The Dirac-GAN (Mescheder et al. 2018): real data at 0, made at theta, D = psi x; distance from its equilibrium.

    It starts near by, where only what is linear counts: of the relativistic loss further away a part of the order of
    the distance's square pulls inwards too.
    """
    theta, psi = torch.tensor([[0.05]], requires_grad=True), torch.tensor(0.05, requires_grad=True)
    far = []
    for _ in range(steps):
        real, made = torch.zeros(1, 1, requires_grad=True), theta.detach().requires_grad_()
        of_real, of_made = (psi * x[:, 0] for x in (real, made))
        loss = relativistic_loss(of_real, of_made).sum()
        if gamma:
            loss = loss + gamma / 2 * (gradient_penalty(of_real, real) + gradient_penalty(of_made, made)).sum()
        (down,) = torch.autograd.grad(loss, psi)
        with torch.no_grad():
            psi -= rate * down
        (turn,) = torch.autograd.grad(relativistic_loss(psi.detach() * theta[:, 0], torch.zeros(1)).sum(), theta)
        with torch.no_grad():
            theta -= rate * turn
        far.append(math.hypot(theta.item(), psi.item()))
    return far


def test_the_dirac_gan_circles_without_penalties_and_converges_with_them():
    start = math.hypot(0.05, 0.05)
    assert min(dirac(0.0)[-1000:]) > 0.8 * start
    assert dirac(0.2)[-1] < 1e-3 * start


def test_rates_go_along_a_half_cosine_and_stand():
    objective = GanObjective(settle=0.5)
    assert objective.rates(0, 100) == (2e-4, 0.9, 1e-3)
    assert objective.rates(25, 100) == pytest.approx((1.25e-4, 0.945, 5.5e-4))
    assert objective.rates(50, 100) == objective.rates(99, 100) == pytest.approx((5e-5, 0.99, 1e-4))


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": 0}, {"gamma": -1}, {"beta2_end": 1}, {"settle": 0}, {"ema": 0.3}, {"validation_draws": 0},
     {"label_weight": 0}, {"augment": 1.1}, {"drop_condition": -0.1}, {"drop_each": {"class": 2}}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(MedsynthError, match="objective"):
        GanObjective(**wrong)


@pytest.mark.parametrize("sides", [(16, 12), (8, 12, 10)])
def test_what_the_discriminator_sees_is_disturbed_by_number_and_passes_gradients(sides):
    x = torch.randn(6, 2, *sides, requires_grad=True)
    whole = disturbed(x, 1.0, 0, range(6), "D real")
    assert torch.equal(whole[2:4], disturbed(x[2:4], 1.0, 0, [2, 3], "D real"))
    assert not torch.equal(whole, disturbed(x, 1.0, 0, range(6), "D made"))
    assert disturbed(x, 0.0, 0, range(6), "D real") is x
    empty = (whole == 0).float().mean().item()
    assert 0.02 < empty < 0.5
    (gradient,) = torch.autograd.grad(whole.sum(), x)
    assert gradient.sum().item() == pytest.approx(x.numel() * (1 - empty), rel=1e-3)
    touched = sum(not torch.equal(a, b) for a, b in zip(disturbed(x, 0.3, 0, range(6), "D real"), x, strict=True))
    assert 0 < touched < 6


def test_a_move_continues_the_border():
    x = torch.arange(6.0).reshape(1, 2, 3)
    assert moved(x, [0, 1]).tolist() == [[[0, 0, 1], [3, 3, 4]]]
    assert moved(x, [-1, -2]).tolist() == [[[5, 5, 5], [5, 5, 5]]]
