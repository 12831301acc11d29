"""MONAI loads the list and trains a step; every reader sees the same voxels in the same place."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import DataLoader, Dataset, decollate_batch, load_decathlon_datalist
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImage,
    LoadImaged,
    MapLabelValued,
    NormalizeIntensityd,
    ResizeWithPadOrCropd,
)

from medsynth.data.nifti import read_nifti
from medsynth.ingest.layouts import find_cases
from tests.export.conftest import place
from tests.export.datasets.conftest import CHANNELS, SHAPE, content, go, picture, same, table

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")  # MONAI tries every reader it has
GREY = {"image": ("grey", None), "label": ("label", None)}
TWO = {"t1w": ("arbitrary", "MR"), "ct": ("HU", "CT"), "label": ("label", None)}
FORMS = [(place("oblique", SHAPE), CHANNELS), (place("axial", SHAPE), TWO), (picture(), GREY)]
IDS = ["3D", "two channels", "2D"]


@pytest.mark.parametrize("kind", ["monai", "decathlon"])
@pytest.mark.parametrize(("geometry", "channels"), FORMS, ids=IDS)
def test_monai_trains_a_step(make_pair, tmp_path, geometry, channels, kind):
    """Real and synthetic cases in one batch, with all that the list says of them."""
    folder = go(make_pair(geometry, channels), tmp_path / "out", kind)
    items = load_decathlon_datalist(folder / "dataset.json", True, "training")
    images = len(channels) - 1
    flat = geometry.rank == 2
    size = (8, 8) if flat else (8, 8, 8)
    transforms = Compose(
        [
            LoadImaged(["image", "label"]),
            EnsureChannelFirstd(["image", "label"]),
            NormalizeIntensityd("image", channel_wise=True),
            MapLabelValued("label", [0, 1, 4], [0, 1, 2]),
            ResizeWithPadOrCropd(["image", "label"], size),
        ]
    )
    torch.manual_seed(0)
    batch = next(iter(DataLoader(Dataset(items, transforms), batch_size=len(items), shuffle=False)))
    assert batch["image"].shape == (len(items), images, *size)
    network = UNet(len(size), images, 3, channels=(4, 8), strides=(2,))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    losses = []
    for _ in range(3):
        loss = loss_of(network(batch["image"].as_tensor()), batch["label"].as_tensor())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert len(decollate_batch(batch)) == len(items)
    if kind == "monai":
        assert set(batch["source"]) == {"real", "synthetic"}
        assert {one for one in batch["class"]} == {"a", "b"}


def test_the_lists_say_which_is_which(make_pair, tmp_path):
    pair = make_pair()
    derived = pair.derive(0, pair.case("train"))
    folder = go(pair, tmp_path / "out", "monai")
    first, *_ = load_decathlon_datalist(folder / "dataset.json", True, "training")
    assert {key: first[key] for key in ("case", "source", "patient", "verdict", "parents", "class")} == {
        "case": "s000000",
        "source": "synthetic",
        "patient": derived.patient,
        "verdict": "not audited",
        "parents": pair.case("train").sha256,
        "class": "a",
    }
    assert "age" not in first  # samples have none
    real = load_decathlon_datalist(folder / "dataset.json", True, "test")[0]
    assert (real["source"], real["verdict"], real["parents"]) == ("real", "none", "none")
    line = table(folder)[pair.case("test").id]
    assert (line["source"], line["split"], line["verdict"], line["age"]) == ("real", "test", "", str(line["age"]))
    described = content(folder)
    assert {key: len(described[key]) for key in ("training", "validation", "test")} == {
        "training": 4 + 2 * len(pair.patients("train")),
        "validation": 4,
        "test": 4,
    }
    assert {item["source"] for item in described["validation"] + described["test"]} == {"real"}


@pytest.mark.parametrize("text", ["..", "images", "../../etc", ".", "dataset.csv", ""])
def test_a_condition_is_never_taken_for_a_path(make_pair, tmp_path, text):
    """MONAI joins what exists to the list's folder: such a text is in the table alone."""
    pair = make_pair()
    for number in range(4):
        pair.change(number, condition={"class": text, "dose": 2.5})
    folder = go(pair, tmp_path / "out", "monai", real=None)
    items = load_decathlon_datalist(folder / "dataset.json", True, "training")
    assert [(item.get("class"), item["dose"]) for item in items] == [(None, 2.5)] * 4
    assert table(folder)["s000000"]["class"] == text


@pytest.mark.parametrize("kind", ["monai", "decathlon"])
@pytest.mark.parametrize(("geometry", "channels"), FORMS, ids=IDS)
def test_all_readers_agree(make_pair, tmp_path, geometry, channels, kind):
    pair = make_pair(geometry, channels)
    folder = go(pair, tmp_path / "out", kind)
    images = [name for name in channels if name != "label"]
    for number, name in enumerate(sorted(images)):
        ours = read_nifti(pair.samples / "volumes" / f"000001_{name}.nii.gz")
        path = folder / (f"images/s000001_{name}.nii.gz" if kind == "monai" else "imagesTr/s000001.nii.gz")
        part = (..., number) if kind == "decathlon" and len(images) > 1 else ...
        image = nib.load(path)
        assert same(np.asanyarray(image.dataobj)[part], ours.array)
        assert np.abs(image.affine - ours.geometry.affine).max() < 1e-5
        itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert same((itk[number] if part is not ... else itk).T, ours.array)
        loaded = LoadImage(image_only=True)(path)
        assert same(np.asarray(loaded)[part], ours.array.astype(np.float32))
        if geometry.rank == 3:
            assert np.abs(np.asarray(loaded.affine) - ours.geometry.affine).max() < 1e-4
    assert find_cases(folder, layout="decathlon").layout == "decathlon"


def test_classification_needs_no_label_map(make_pair, tmp_path):
    pair = make_pair(picture(), {"image": ("grey", None)})
    folder = go(pair, tmp_path / "out", "monai")
    items = load_decathlon_datalist(folder / "dataset.json", False, "training")
    batch = next(iter(DataLoader(Dataset(items, LoadImaged("image")), batch_size=len(items))))
    assert batch["image"].shape == (len(items), 9, 8)
    assert set(batch["class"]) == {"a", "b"}
