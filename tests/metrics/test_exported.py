"""What a .pt2 file may do: be a network, and nothing else."""

import contextlib
import pickle
import zipfile

import pytest
import torch
from torch import nn

from medsynth.errors import MedsynthError
from medsynth.files import sha256_file
from medsynth.metrics.exported import load_exported


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)
        )
        self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)

    def forward(self, x):
        return self.layers(x).flatten(2).mean(2) * self.scale


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.pt2"
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(net, (torch.rand(2, 1, 16, 16),), dynamic_shapes=batch), path)
    return path


def changed(path, target, change):
    """A copy of the archive with one part changed, or added."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(parts)).partition("/")[0]
    parts[f"{folder}/{target}"] = change(parts.get(f"{folder}/{target}", b""))
    copy = path.with_name("changed.pt2")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return copy


def test_the_network_comes_back(net, exported):
    network, digest = load_exported(exported)
    for batch in (1, 2, 5):
        x = torch.rand(batch, 1, 16, 16)
        torch.testing.assert_close(network(x), net(x))
    assert digest == sha256_file(exported)
    assert not any(weight.requires_grad for weight in network.parameters())


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def edit(old, new):
    def change(content, mark):
        assert old in content.decode()
        return content.decode().replace(old, new.replace("MARK", str(mark))).encode()

    return change


RELU = "torch.ops.aten.relu.default"
CHANGES = {
    "pickled inputs": ("data/sample_inputs/model.pt", lambda content, mark: pickle.dumps(Bomb(mark))),
    "pickled weights": ("data/weights/model_weights_config.json", edit('"use_pickle": false', '"use_pickle": true')),
    "pickled object": ("data/constants/model_constants_config.json", edit("tensor_0", "opaque_obj_0")),
    "library": ("data/aotinductor/model/net.so", lambda content, mark: b"ELF"),
    "guards": ("models/model.json", edit('"guards_code": []', "\"guards_code\": [\"open('MARK', 'w')\"]")),
    "size": ("models/model.json", edit("Symbol('s", "open('MARK', 'w') or Symbol('s")),
    "writing operator": ("models/model.json", edit(RELU, "torch.ops.aten.save.default")),
    "foreign operator": ("models/model.json", edit(RELU, "torch.ops.other.relu.default")),
    "function": ("models/model.json", edit(RELU, "os.system")),
    "class": ("models/model.json", edit('\\"builtins.tuple\\"', '\\"torch.nn.Module\\"')),
}


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_else_is_read(name, exported, tmp_path):
    target, change = CHANGES[name]
    mark = tmp_path / "ran"
    with pytest.raises(MedsynthError, match="is not read"):
        load_exported(changed(exported, target, lambda content: change(content, mark)))
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_refused(net, tmp_path):
    torch.jit.trace(net, torch.rand(1, 1, 16, 16)).save(tmp_path / "net.pt")
    with pytest.raises(MedsynthError, match="TorchScript"):
        load_exported(tmp_path / "net.pt")


def test_damaged_and_missing_files_are_one_line(exported, tmp_path):
    (tmp_path / "cut.pt2").write_bytes(exported.read_bytes()[:3000])
    for name in ("cut.pt2", "none.pt2"):
        with pytest.raises(MedsynthError, match=name):
            load_exported(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
def test_torch_alone_would_run_it(exported, tmp_path):
    """The control: what is refused above is a danger."""
    mark = tmp_path / "ran"
    target, change = CHANGES["pickled inputs"]
    with contextlib.suppress(Exception):
        torch.export.load(changed(exported, target, lambda content: change(content, mark)))
    assert mark.exists()
