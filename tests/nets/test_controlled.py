"""ControlNet: nothing changes before the first step, the base never changes, and everything else learns."""

import copy
import itertools

import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.models.averages import update_average
from medsynth.nets.controlled import Controlled
from medsynth.nets.unet import UNet

SMALL = {"vector": 3, "tokens": 5, "features": (8, 16), "attention": (False, True), "head_channels": 8}
SMALL |= {"norm_groups": 4, "views": 2}
RANKS = pytest.mark.parametrize("rank", [2, 3])
SPATIAL = pytest.mark.parametrize("spatial", [0, 1])
NOISE = torch.tensor([3.0, 500.0])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def finished(rank: int, spatial: int = 0, **changed: object) -> UNet:
    """A base as training leaves it: no weight is zero."""
    base = UNet(rank, 2, spatial=spatial, **{**SMALL, **changed})
    with torch.no_grad():
        for number, weight in enumerate(base.parameters()):
            weight.copy_(random(*weight.shape, seed=number) * 0.2)
    return base


def controlled(base: UNet, rank: int, spatial: int = 0) -> Controlled:
    network = Controlled(rank, 2, spatial=spatial, control=2, **SMALL)
    network.start_from(base.state_dict())
    return network


def asked(rank: int, spatial: int = 0) -> tuple[torch.Tensor, Condition]:
    sides = (4, 6, 8)[:rank]
    picture = random(2, spatial + 2, *sides, seed=3)
    return random(2, 4, *sides), Condition(random(2, 3, seed=1), random(2, 4, 5, seed=2), picture)


def step(network: Controlled, seen: torch.Tensor, condition: Condition, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    (network(seen, NOISE, condition) - 1).square().mean().backward()
    optimiser.step()


@RANKS
@SPATIAL
def test_before_the_first_step_the_answer_is_the_bases(rank, spatial):
    base, (seen, condition) = finished(rank, spatial), asked(rank, spatial)
    own = condition._replace(spatial=condition.spatial[:, :spatial] if spatial else None)
    assert torch.equal(controlled(base, rank, spatial)(seen, NOISE, condition), base(seen, NOISE, own))


@RANKS
@SPATIAL
def test_training_leaves_the_base_and_changes_the_answer(rank, spatial):
    base, (seen, condition) = finished(rank, spatial), asked(rank, spatial)
    network = controlled(base, rank, spatial).train()
    before = network(seen, NOISE, condition)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    step(network, seen, condition, optimiser)
    after = network(seen, NOISE, condition)
    assert (after - before).abs().max() > 1e-3
    for _ in range(2):  # the picture passes two convolutions that begin at zero: each step wakes what is before one
        step(network, seen, condition, optimiser)
    trainable = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    dead = [name for name, weight in trainable.items() if weight.grad is None or not weight.grad.any()]
    assert dead == []
    assert not any(name.startswith("unet.") for name in trainable)
    kept, first = network.state_dict(), base.state_dict()
    assert all(torch.equal(kept[name], first[name]) for name in first)


@RANKS
@SPATIAL
def test_every_channel_of_the_picture_is_followed(rank, spatial):
    """At first the base's own alone, then also those of the branch."""
    network, (seen, condition) = controlled(finished(rank, spatial), rank, spatial), asked(rank, spatial)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for steps in (0, 3):
        for _ in range(steps):
            step(network, seen, condition, optimiser)
        picture = condition.spatial.clone().requires_grad_()
        network(seen, NOISE, condition._replace(spatial=picture)).square().sum().backward()
        followed = picture.grad.abs().transpose(0, 1).flatten(1).amax(dim=1) > 1e-4
        assert followed.tolist() == [True] * spatial + [steps > 0] * 2


@RANKS
def test_no_picture_is_a_picture_of_zeros(rank):
    network, (seen, condition) = controlled(finished(rank), rank), asked(rank)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        step(network, seen, condition, optimiser)
    null = network(seen, NOISE, condition._replace(spatial=None))
    zeros = network(seen, NOISE, condition._replace(spatial=torch.zeros_like(condition.spatial)))
    assert torch.equal(null, zeros)
    assert (null - network(seen, NOISE, condition)).abs().max() > 1e-4


def test_the_branch_starts_as_the_bases_encoder():
    base, network = finished(2), controlled(finished(2), 2)
    own, theirs = network.branch.state_dict(), base.unet.state_dict()
    shared = own.keys() & theirs.keys()
    assert theirs.keys() - shared == {name for name in theirs if name.startswith(("up_blocks.", "out."))}
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    new = {name for name in own.keys() - shared if not name.startswith("controlnet_cond_embedding.conv_in")}
    assert new
    assert not any(own[name].any() for name in new)


@pytest.mark.parametrize("changed", [{"features": (16, 16)}, {"vector": 4}, {"tokens": 0}, {"res_blocks": 2}])
def test_another_networks_weights_are_refused_and_nothing_changes(changed):
    network = controlled(finished(2), 2)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(MedsynthError, match="init_from: that run's network is not the one to be controlled"):
        network.start_from(finished(2, **changed).state_dict())
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_an_average_of_the_weights_keeps_the_base():
    network = controlled(finished(2), 2)
    average = copy.deepcopy(network)
    with torch.no_grad():
        for weight in network.branch.parameters():
            weight.add_(1)
    for decay in (0.999, 0.6, 0.3):
        update_average(average, network, decay)
    pairs = zip(average.unet.parameters(), network.unet.parameters(), strict=True)
    assert all(torch.equal(kept, weight) for kept, weight in pairs)
    assert not all(itertools.starmap(torch.equal, zip(average.parameters(), network.parameters(), strict=True)))


def test_it_is_made_again_from_its_record_and_refuses_no_control():
    network = controlled(finished(2), 2)
    values = {name: value for name, value in network.spec.items() if name != "_target_"}
    assert network.spec["_target_"] == "medsynth.nets.controlled.Controlled"
    again = Controlled(**values)
    again.load_state_dict(network.state_dict())
    seen, condition = asked(2)
    assert torch.equal(again(seen, NOISE, condition), network(seen, NOISE, condition))
    with pytest.raises(MedsynthError, match="needs a spatial condition"):
        Controlled(2, 2, control=0)
