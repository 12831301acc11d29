"""The way between model units and a scan's own, and layouts that mean nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.models.layout import ImageChannel, LabelChannel, Layout

GRID = Geometry.centred((4, 5, 6), (1, 2, 3))
CT = ImageChannel(name="ct", units="HU", low=-1000, high=500, modality="CT", integer=True)
MR = ImageChannel(name="mr", units="arbitrary", low=3.5, high=812.25, modality="MR")
LAYOUT = Layout(
    images=(CT, MR), label=LabelChannel(name="label", values={0: "background", 2: "liver", 300: "x"}), grid=GRID
)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    ct = rng.integers(-1000, 501, GRID.shape).astype(np.int16)
    mr = rng.uniform(3.5, 812.25, GRID.shape).astype(np.float32)
    return ct, mr, rng.choice([0, 2, 300], GRID.shape)


def test_there_and_back():
    ct, mr, label = arrays()
    x = LAYOUT.encode([ct, mr], label)
    assert x.shape == (LAYOUT.channels, *GRID.shape) == (5, 4, 5, 6)
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1
    decoded = LAYOUT.decode(x)
    assert np.array_equal(decoded.images["ct"], ct)
    assert decoded.images["ct"].dtype == np.int16
    assert np.abs(decoded.images["mr"] - mr).max() < 1e-3
    assert np.array_equal(decoded.label, label)


@pytest.mark.parametrize("reach", [0.0, 0.5, 2.0, 50.0])
def test_a_label_map_comes_back_exactly_whatever_the_reach(reach):
    layout = replace(LAYOUT, label=replace(LAYOUT.label, reach=reach))
    ct, mr, label = arrays(1)
    x = layout.encode([ct, mr], label)
    assert x[2:].abs().max() <= 1
    assert np.array_equal(layout.decode(x).label, label)
    assert Layout.from_json(layout.to_json()).label.reach == reach


def test_the_range_is_minus_one_to_one_and_beyond_is_clipped():
    layout = Layout(images=(CT,), label=None, grid=Geometry.centred((1, 5), (1, 1)))
    x = layout.encode([np.array([[-3000.0, -1000, -250, 500, 3000]])], None)
    assert x[0, 0].tolist() == [-1, -1, 0, 1, 1]
    beyond = layout.decode(torch.tensor([[[-5.0, -1, 0, 1, 5]]]))
    assert beyond.images["ct"].tolist() == [[-1000, -1000, -250, 500, 500]]
    assert beyond.label is None


def test_the_highest_label_wins():
    x = torch.zeros(5, *GRID.shape)
    x[2:, 0, 0, 0] = torch.tensor([-0.2, -0.1, -0.9])
    assert LAYOUT.decode(x).label[0, 0, 0] == 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 255, np.uint8), (-1, 255, np.int16), (0, 256, np.int16), (-1024, 3071, np.int16), (0, 60000, np.int32)],
)
def test_whole_numbers_fit_their_type(low, high, expected):
    layout = Layout(images=(replace(CT, low=low, high=high),), label=None, grid=Geometry.centred((1, 2), (1, 1)))
    decoded = layout.decode(torch.tensor([[[-1.0, 1.0]]])).images["ct"]
    assert decoded.dtype == expected
    assert decoded.tolist() == [[low, high]]


def test_json_and_back():
    again = Layout.from_json(json.loads(json.dumps(LAYOUT.to_json())))
    assert again.to_json() == LAYOUT.to_json()
    assert again.label.values == LAYOUT.label.values
    with pytest.raises(TypeError):
        Layout.from_json({**LAYOUT.to_json(), "images": [{**vars(CT), "more": 1}]})


@pytest.mark.parametrize("name", ["/../../x", "..", "a/b", "", "a b", "a\0", None, 3])
def test_a_channels_name_cannot_lead_out_of_a_folder(name):
    with pytest.raises(MedsynthError, match="a channel's name"):
        replace(CT, name=name)
    with pytest.raises(MedsynthError, match="a channel's name"):
        LabelChannel(name=name, values={0: "background", 1: "x"})


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_ranges_that_are_none(low, high):
    with pytest.raises(MedsynthError, match="low < high"):
        replace(CT, low=low, high=high)


def test_layouts_that_mean_nothing():
    with pytest.raises(MedsynthError, match="at least one image"):
        Layout(images=(), label=None, grid=GRID)
    with pytest.raises(MedsynthError, match="one name"):
        Layout(images=(CT, CT), label=None, grid=GRID)
    with pytest.raises(MedsynthError, match="one name"):
        Layout(images=(CT,), label=LabelChannel(name="ct", values={0: "a", 1: "b"}), grid=GRID)
    for values in ({}, {0: "a"}, {-1: "a", 0: "b"}, {0: "a", 2**31: "b"}):
        with pytest.raises(MedsynthError, match="names for two values"):
            LabelChannel(name="label", values=values)
    for reach in (-1, float("nan"), float("inf")):
        with pytest.raises(MedsynthError, match="label_reach"):
            LabelChannel(name="label", values={0: "a", 1: "b"}, reach=reach)
    with pytest.raises(MedsynthError, match=r"data\.label=null"):
        LAYOUT.encode(arrays()[:2], None)
