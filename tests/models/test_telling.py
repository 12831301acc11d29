"""What a model tells its network: what is given on the latents' grid, texts, and the null of each."""

import json
from dataclasses import replace

import pytest
import torch

from medsynth.errors import MedsynthError, RunError
from medsynth.geometry import Geometry
from medsynth.models import run as runs
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.layout import Given, ImageChannel, LabelChannel, Layout
from medsynth.models.model import DiffusionModel, told_channels, told_widths
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import RunInfo, load_run, save_run, save_weights
from medsynth.models.sampling import SamplingPlan
from medsynth.models.style import style_width
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet
from tests.words import TARGET, Letters

LABEL = LabelChannel(name="organs", values={0: "background", 1: "ball", 4: "core"}, reach=1.5)
GIVEN = Given(images=("pet",), label=LABEL)
INFO = RunInfo(cases_sha256="a" * 64, identity="cleared", training={"seed": 0})
ENCODER = Letters()
TEXT = {"spec": ENCODER.spec, "sha256": ENCODER.sha256, "width": ENCODER.width, "length": ENCODER.length}


def layout(rank=2, given=GIVEN):
    return Layout(
        images=(ImageChannel(name="ct", units="HU", low=-100, high=100, integer=True),),
        label=None,
        grid=Geometry.centred((8,) * rank, (1,) * rank),
        given=given,
    )


def model(autoencoder=None, rank=2, given=GIVEN, augmentation=2):
    autoencoder = autoencoder or Haar()
    torch.manual_seed(3)
    conditioner = Conditioner({"class": ["a", "b"]}, {"age": (50, 10)}, style_width(1), TEXT)
    form = layout(rank, given)
    network = UNet(
        rank,
        autoencoder.latent_channels(1, rank),
        views=2,
        vector=conditioner.width + augmentation,
        spatial=told_channels(form, autoencoder),
        tokens=4,
        features=(8, 8),
        head_channels=8,
        norm_groups=4,
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    made = DiffusionModel(form, autoencoder, network, conditioner, augmentation, ParametrisationPlan(modes=0))
    made.embed = Letters()
    made.fit_latents(iter([torch.randn(40, 1, *form.grid.shape)]), range(40))
    return made.eval()


def told(**parts):
    return GIVEN.tell((8, 8), parts)


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
        Given(images=(name,))


def test_nothing_given_has_the_name_of_something_else():
    with pytest.raises(MedsynthError, match="two channels of a sample have one name"):
        layout(given=Given(images=("ct",)))
    for name in ("age", "style", "text"):
        with pytest.raises(MedsynthError, match=f"{name} is given and a condition too"):
            model(given=Given(images=(name,)))


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


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ALLOWED_TARGETS", runs.ALLOWED_TARGETS | {TARGET})
    made = model()
    save_run(tmp_path / "run", made, INFO)
    save_weights(tmp_path / "run", "best", made, {"step": 3, "validation_loss": 0.5})
    return tmp_path / "run"


def test_a_run_is_loaded_with_all_it_can_be_told(run):
    loaded = load_run(run).model
    assert loaded.layout.given == GIVEN
    assert told_widths(loaded) == told_widths(model())
    asked = [Asked({"class": "b", "age": 61, "text": "a bad cab"}, torch.ones(11), told(pet=torch.ones(1, 8, 8)))]
    for one, other in zip(loaded.condition(asked), model().condition(asked), strict=True):
        assert torch.equal(one, other)
    plan = SamplingPlan(steps=2)
    first, again = (each.sample(1, condition={"text": "a"}, sampler=plan) for each in (loaded, model()))
    assert (first[0].images["ct"] == again[0].images["ct"]).all()


def test_the_encoder_is_read_when_a_text_is_asked_for_and_has_to_be_the_runs(run, monkeypatch):
    monkeypatch.setattr(Letters, "sha256", "c" * 64)
    loaded = load_run(run).model
    loaded.sample(1, sampler=SamplingPlan(steps=2), condition={"age": 40})
    with pytest.raises(RunError, match="other weights than the one the run was trained with"):
        loaded.sample(1, sampler=SamplingPlan(steps=2), condition={"text": "a"})


def altered(run, part, **changes):
    content = json.loads((run / "run.json").read_text())
    content[part] = {**content[part], **changes}
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize("target", ["medsynth.nets.text.HuggingFace", "os.system", "tests.words.other_weights", None])
def test_an_encoder_off_the_list_is_not_made(run, target):
    altered(run, "conditioner", text={**TEXT, "spec": {"_target_": target, "name": "owner/name", "download": True}})
    loaded = load_run(run).model
    with pytest.raises(RunError, match="allow-list"):
        loaded.condition([Asked({"text": "a"})])


@pytest.mark.parametrize(
    "text",
    [
        {**TEXT, "spec": {"_target_": "medsynth.nets.unet.UNet", "rank": 2, "channels": 1}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.autoencoders.Identity"}},
        {**TEXT, "spec": {**ENCODER.spec, "length": 9}},
        {**TEXT, "spec": {**ENCODER.spec, "more": 9}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.text.CachedHuggingFace", "name": "../../x"}},
        {**TEXT, "spec": {"_target_": "medsynth.nets.text.MiniLM", "length": 10**9}},
    ],
)
def test_another_thing_in_the_encoders_place_is_refused_when_a_text_is_asked(run, text):
    altered(run, "conditioner", text=text)
    loaded = load_run(run).model
    with pytest.raises(RunError):
        loaded.condition([Asked({"text": "a"})])


@pytest.mark.parametrize(
    "changes",
    [
        *({"style": style} for style in ("x", -1, 10**9, 12, 0, True, None, 1.5, [11])),
        *({"text": text} for text in ("x", 3, [], {}, {"width": 4}, None)),
        *({"text": {**TEXT, "width": wrong}} for wrong in ("x", 0, -4, 5, 10**9, None, True)),
        *({"text": {**TEXT, "length": wrong}} for wrong in ("x", 0, -4, 10**9, None, 2.5)),
        *({"text": {**TEXT, "sha256": wrong}} for wrong in (None, 3, [])),
        *({"text": {**TEXT, "spec": wrong}} for wrong in (None, 3, "os.system", [])),
        {"numbers": {"age": "ab"}},
        {"numbers": {"age": [1]}},
        {"numbers": {"age": [1, 0]}},
        {"numbers": {"age": [1, "nan"]}},
        {"numbers": {}},
        {"classes": {"class": ["a"]}},
        {"classes": {"text": ["a", "b"]}},
    ],
)
def test_altered_conditions_are_refused(run, changes):
    altered(run, "conditioner", **changes)
    with pytest.raises(RunError):
        load_run(run)


WRITTEN = GIVEN.to_json()


@pytest.mark.parametrize(
    "given",
    [
        *(None, 3, "x", [], {}, {**WRITTEN, "more": 1}),
        *(
            {**WRITTEN, "images": images}
            for images in (None, "pet", 3, {}, {"pet": 1}, [], ["pet", "mr"], ["pet", "pet"], ["ct"])
        ),
        *({**WRITTEN, "images": images} for images in ([None], [3], ["../pet"], ["age"], ["text"], ["organs"])),
        *({**WRITTEN, "label": label} for label in (None, 3, "x", [1], {"name": "organs"})),
        {**WRITTEN, "label": {**WRITTEN["label"], "values": {"0": "background", "1": "ball"}}},
        {**WRITTEN, "label": {**WRITTEN["label"], "values": {"0": "background", str(10**20): "x", "2": "y"}}},
        {**WRITTEN, "label": {**WRITTEN["label"], "reach": "far"}},
        {**WRITTEN, "label": {**WRITTEN["label"], "reach": float("inf")}},
    ],
)
def test_altered_given_parts_are_refused(run, given):
    altered(run, "layout", given=given)
    with pytest.raises(RunError):
        load_run(run)


def test_a_style_of_other_images_is_refused_though_the_network_takes_it(run):
    content = json.loads((run / "run.json").read_text())
    altered(run, "conditioner", style=22)
    altered(run, "network", vector=content["network"]["vector"] + 11)
    with pytest.raises(RunError, match="do not fit each other"):
        load_run(run)


def test_a_layout_with_given_parts_is_read_back():
    for given in (GIVEN, Given(), Given(label=LABEL), Given(images=("a", "b"))):
        one = layout(given=given)
        assert Layout.from_json(json.loads(json.dumps(one.to_json()))).to_json() == one.to_json()
        assert replace(one, given=Given()).to_json() == layout(given=Given()).to_json()
