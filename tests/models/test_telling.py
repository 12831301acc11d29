"""What a model is told of a sample: given parts, words, a style, and the null of all."""

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.layout import Given
from medsynth.models.model import DiffusionModel
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet
from tests.models.told import GIVEN, layout, model, told
from tests.words import Letters


def test_given_parts_lie_side_by_side_and_missing_ones_are_not_there():
    assert GIVEN.parts == {"pet": slice(0, 1), "organs": slice(1, 4)}
    assert GIVEN.channels == 4
    label = torch.rand(3, 8, 8)
    channels, present = told(organs=label)
    assert torch.equal(channels[1:], label)
    assert not channels[:1].any()
    assert present.tolist() == [False, True]
    channels, present = told()
    assert channels.shape == (4, 8, 8)
    assert not channels.any()
    assert not present.any()
    assert Given().tell((8, 8)).channels.shape == (0, 8, 8)


@pytest.mark.parametrize(
    "parts",
    [{"pet": torch.zeros(1, 8, 1)}, {"pet": torch.zeros(8, 8)}, {"organs": torch.zeros(1, 8, 8)}, {"x": torch.ones(1)}],
)
def test_given_parts_of_another_shape_are_refused(parts):
    with pytest.raises(MedsynthError, match=r"the model is given pet, organs, on a grid of \[8, 8\]"):
        told(**parts)


@pytest.mark.parametrize("name", ["", "../x", "a b", 3, None])
def test_names_of_given_images_are_tokens(name):
    with pytest.raises(MedsynthError, match="a channel's name"):
        Given(images={name: "HU"})


def test_nothing_given_has_the_name_of_something_else():
    with pytest.raises(MedsynthError, match="two channels of a sample have one name"):
        layout(given=Given(images={"ct": "HU"}))
    for name in ("age", "style", "text"):
        with pytest.raises(MedsynthError, match=f"{name} is given and a condition too"):
            model(given=Given(images={name: "HU"}))


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("autoencoder", [Identity(), Haar(1), Haar(2)])
def test_what_is_given_goes_through_the_autoencoder_with_a_plane_for_each_part(autoencoder, rank):
    made = model(autoencoder, rank, augmentation=0)
    torch.manual_seed(0)
    given = torch.randn(2, 4, *made.layout.grid.shape)
    present = torch.tensor([[True, True], [False, True]])
    spatial = made.tell(torch.zeros(2, made.conditioner.width), torch.zeros(2, 5, 4), given, present).spatial
    assert spatial is not None
    widths = [autoencoder.latent_channels(width, rank) for width in (1, 3)]
    assert spatial.shape == (2, sum(widths) + 2, *made.latent_shape[1:])
    pet, pet_there, organs, organs_there = spatial.split([widths[0], 1, widths[1], 1], dim=1)
    gain = autoencoder.stride ** (rank / 2)
    torch.testing.assert_close(autoencoder.decode(pet[:1] * gain), given[:1, :1], rtol=0, atol=1e-5)
    torch.testing.assert_close(autoencoder.decode(organs * gain), given[:, 1:], rtol=0, atol=1e-5)
    assert not pet[1].any()
    assert pet_there[0].eq(1).all()
    assert pet_there[1].eq(0).all()
    assert organs_there.eq(1).all()
    # In units of one voxel: a constant stays what it is, in the coarsest band.
    flat = made.tell(torch.zeros(2, made.conditioner.width), torch.zeros(2, 5, 4), torch.full_like(given, 0.5), present)
    assert flat.spatial[0, 0].allclose(torch.tensor(0.5))


def test_a_given_part_that_is_zero_is_another_thing_than_none():
    made = model()
    there, not_there = (made.condition([Asked(given=one)]).spatial for one in (told(pet=torch.zeros(1, 8, 8)), told()))
    assert (there != not_there).any()
    assert not not_there.any()
    assert torch.equal(made.condition([Asked()]).spatial, not_there)


def test_a_model_without_parts_tells_none():
    bare = DiffusionModel(layout(given=Given()), Haar(), UNet(2, 4, features=(8, 8), head_channels=8), Conditioner())
    condition = bare.condition([Asked(), Asked()])
    assert condition.vector is None
    assert condition.tokens is None
    assert condition.spatial is None
    assert not bare.conditional
    assert model().conditional


def test_texts_are_embedded_once_each_and_lie_in_vector_and_tokens():
    made = model()
    made.embed = Letters()
    sentences = ["a cab", None, "b", "a cab", "None"]
    condition = made.condition([Asked({} if said is None else {"text": said}) for said in sentences])
    assert made.embed.heard == ["a cab", "b", "None"]
    part = condition.vector[:, made.conditioner.parts["text"]]
    for row, said in enumerate(sentences):
        if said is None:
            assert not condition.tokens[row].any()
            assert not part[row].any()
            continue
        tokens, pooled = Letters()([said])
        assert torch.equal(condition.tokens[row], tokens[0])
        assert torch.equal(part[row], torch.cat([torch.ones(1), pooled[0]]))
    assert not condition.vector[:, -made.augmentation :].any()  # an unaugmented sample


def test_the_null_is_nothing_at_all_whatever_is_asked():
    made = model()
    asked = Asked({"class": "a", "age": 3, "text": "a"}, torch.ones(11), told(pet=torch.ones(1, 8, 8)))
    null = made.condition([asked, asked], dropped=True)
    full = made.condition([asked, asked])
    empty = made.condition([Asked(), Asked()])
    for name in ("vector", "tokens", "spatial"):
        assert not getattr(null, name).any(), name
        assert getattr(full, name).any(), name
        assert torch.equal(getattr(null, name), getattr(empty, name)), name


def test_a_style_fills_its_part_of_the_vector():
    made = model()
    style = torch.linspace(-1, 1, 11)
    vector = made.condition([Asked(style=style)]).vector[0]
    place = made.conditioner.parts["style"]
    assert torch.equal(vector[place], torch.cat([torch.ones(1), style]))
    vector[place] = 0
    assert not vector.any()


def test_a_text_without_an_encoder_and_words_that_are_none():
    made = model()
    made.embed = None
    with pytest.raises(MedsynthError, match="load the run with load_run"):
        made.condition([Asked({"text": "a"})])
    for wrong in ("", "  ", 3, True):
        with pytest.raises(MedsynthError, match="condition text is a sentence"):
            made.sample(1, condition={"text": wrong})
    # What is known of a scan is told where it says something.
    assert made.conditioner.known({"text": " "}) == {}
    assert made.conditioner.known({"text": 3}) == {}
    assert made.conditioner.known({"text": "a"}) == {"text": "a"}
