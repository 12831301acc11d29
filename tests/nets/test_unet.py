"""The network with conditions: attention as the formula says, nulls that are zeros, padding that says nothing."""

import pytest
import torch
from monai.networks.nets import DiffusionModelUNet

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.tokens import TokenAttention
from medsynth.nets.unet import UNet

SMALL = {"features": (8, 16), "attention": (False, True), "head_channels": 8, "norm_groups": 4}
RANKS = pytest.mark.parametrize("rank", [2, 3])
NOISE = torch.tensor([3.0, 500.0])


def trained(network: torch.nn.Module) -> torch.nn.Module:
    """As if trained: no weight is zero, nothing is hidden behind a convolution that begins at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return network.double()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(rank: int, channels: int = 2, seed: int = 0) -> torch.Tensor:
    return random(2, channels, *(4, 6, 8)[:rank], seed=seed)


@RANKS
def test_without_tokens_it_is_monais_network_in_a_frame(rank):
    torch.manual_seed(5)
    plain = DiffusionModelUNet(
        rank, 2, 4, 1, (8, 16), (False, True), norm_num_groups=4, num_head_channels=8, use_flash_attention=True
    )
    torch.manual_seed(5)
    network = UNet(rank, 2, **SMALL)
    theirs, own = plain.state_dict(), network.unet.state_dict()
    assert list(theirs) == list(own)
    assert all(torch.equal(theirs[name], own[name]) for name in own)
    trained(plain), trained(network)
    x = grid(rank)
    shift, gain = plain(x, NOISE).chunk(2, dim=1)
    torch.testing.assert_close(network(x, NOISE, Condition()), shift + gain * x, rtol=1e-10, atol=1e-10)


def test_attention_is_a_softmax_over_the_tokens_and_one_row_of_zeros():
    layer = trained(TokenAttention(hidden_size=6, num_heads=2, context_input_size=3))
    x, tokens = random(2, 5, 6), random(2, 4, 3, seed=1)
    tokens[1, 2:] = 0  # padding: not even heard as a row of zeros
    expected = torch.zeros(2, 5, 6, dtype=torch.float64)
    for sample in range(2):
        rows = tokens[sample] if sample == 0 else tokens[sample, :2]
        for head in (slice(0, 3), slice(3, 6)):
            query, key, value = (
                (part @ layer.get_submodule(name).weight.T)[:, head]
                for part, name in ((x[sample], "to_q"), (rows, "to_k"), (rows, "to_v"))
            )
            share = (query @ key.T / 3**0.5).exp()
            expected[sample, :, head] = share @ value / (1 + share.sum(dim=1, keepdim=True))
    expected = expected @ layer.out_proj.weight.T + layer.out_proj.bias
    torch.testing.assert_close(layer(x, context=tokens), expected, rtol=1e-12, atol=1e-12)


@RANKS
def test_a_sentence_means_the_same_however_far_it_is_padded(rank):
    network, x = trained(UNet(rank, 2, tokens=3, **SMALL)), grid(rank)
    tokens = random(2, 4, 3, seed=1)
    tokens[0, 1:] = 0  # one word
    padded = torch.cat([tokens, torch.zeros(2, 7, 3)], dim=1)
    answer = network(x, NOISE, Condition(tokens=padded))
    torch.testing.assert_close(answer, network(x, NOISE, Condition(tokens=tokens)), rtol=1e-11, atol=1e-11)
    alone = network(x[:1], NOISE[:1], Condition(tokens=tokens[:1, :1]))
    torch.testing.assert_close(answer[:1], alone, rtol=1e-11, atol=1e-11)
    assert (answer - network(x, NOISE, Condition(tokens=padded.flip(0)))).abs().max() > 1e-3


@RANKS
def test_no_condition_is_zeros_of_each_part(rank):
    network, x = trained(UNet(rank, 2, vector=3, spatial=2, tokens=5, **SMALL)), grid(rank)
    null = network(x, NOISE, Condition())
    for length in (1, 4):
        zeros = Condition(torch.zeros(2, 3), torch.zeros(2, length, 5), torch.zeros_like(x))
        assert torch.equal(null, network(x, NOISE, zeros))
    asked = Condition(random(2, 3, seed=1), random(2, 4, 5, seed=2), grid(rank, seed=3))
    for name in Condition._fields:
        part = getattr(asked, name)
        one = network(x, NOISE, Condition(**{name: part}))
        assert (one - null).abs().amax(dim=tuple(range(1, x.ndim))).min() > 1e-3, name
        mixed = part.clone()
        mixed[0] = 0  # dropped for one sample of a batch
        torch.testing.assert_close(network(x, NOISE, Condition(**{name: mixed}))[0], null[0], rtol=1e-11, atol=1e-11)


@RANKS
def test_a_single_token_teaches_every_weight(rank):
    """Without the row of zeros a single token would have all of the softmax, and queries and keys no gradient."""
    network, x = trained(UNet(rank, 2, vector=3, tokens=5, **SMALL)), grid(rank)
    network(x, NOISE, Condition(random(2, 3), random(2, 1, 5))).square().sum().backward()
    dead = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert dead == []


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("vector", torch.zeros(2, 4)),
        ("tokens", torch.zeros(2, 3, 6)),
        ("tokens", torch.zeros(2, 5)),
        ("spatial", torch.zeros(2, 2, 4, 8)),
        ("spatial", torch.zeros(1, 2, 4, 6)),
    ],
)
def test_a_condition_of_another_width_is_refused(part, value):
    network = UNet(2, 2, vector=3, spatial=2, tokens=5, **SMALL)
    with pytest.raises(MedsynthError, match=f"{part} condition of shape .* takes \\[2, "):
        network(grid(2).float(), NOISE, Condition(**{part: value}))
    with pytest.raises(MedsynthError, match=f"{part} condition of shape .* takes none"):
        UNet(2, 2, **SMALL)(grid(2).float(), NOISE, Condition(**{part: value}))
