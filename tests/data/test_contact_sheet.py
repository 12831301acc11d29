from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medsynth.data.contact_sheet import COLOURS, LONGEST_SIDE, contact_sheet, planes
from medsynth.data.phantom import rotation
from medsynth.errors import GeometryError, MedsynthError
from medsynth.geometry import Geometry

AXES = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "ASR": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=float),
    "oblique": rotation(np.radians(20), np.radians(-15), np.radians(10)),
    "oblique LPS": rotation(np.radians(-18), np.radians(12)) @ np.diag([-1.0, -1.0, 1.0]),
}


def blob(geometry: Geometry, at) -> np.ndarray:
    """Bright near one place of the patient, in RAS mm."""
    index = np.stack(np.meshgrid(*(np.arange(side) for side in geometry.shape), indexing="ij"), axis=-1)
    places = index @ geometry.affine[:3, : geometry.rank].T[:, :3] + geometry.affine[:3, 3]
    return np.exp(-(((places - np.array(at)) / 18) ** 2).sum(axis=-1)).astype(np.float32)


def peak(pixels) -> tuple[float, float]:
    """Row and column of the mean brightness, -1 (top, left) to 1."""
    rows, columns = (np.linspace(-1, 1, side) for side in pixels.shape)
    weight = pixels / pixels.sum()
    return float((weight.sum(axis=1) * rows).sum()), float((weight.sum(axis=0) * columns).sum())


@pytest.mark.parametrize("name", AXES)
def test_sides_follow_radiological_convention(name: str) -> None:
    geometry = Geometry.centred((40, 44, 36), (3.0, 2.5, 4.0), AXES[name], centre=(5.0, -20.0, 100.0))
    middle = geometry.centre
    where = {}
    for side, offset in {"right": (22, 0, 0), "front": (0, 22, 0), "head": (0, 0, 22)}.items():
        for plane in planes(blob(geometry, middle + np.array(offset)), geometry):
            where[side, plane.name] = peak(plane.pixels)
    for name_ in ("axial", "coronal"):
        assert where["right", name_][1] < -0.15, "the patient's right is on the left of the picture"
    assert where["front", "axial"][0] < -0.15
    assert where["front", "sagittal"][1] < -0.15
    assert where["head", "coronal"][0] < -0.15
    assert where["head", "sagittal"][0] < -0.15


def test_a_plain_picture_stays_as_it_is() -> None:
    picture = np.arange(12.0).reshape(4, 3)  # (column, row)
    (plane,) = planes(picture, Geometry.image_plane((4, 3), (0.5, 2.0)))
    np.testing.assert_array_equal(plane.pixels, picture.T)
    assert plane.size_mm == (6.0, 2.0)


def test_a_coronal_image_shows_right_on_the_left_and_head_up() -> None:
    affine = np.array([[0, 2.0, 0, 0], [0, 0, 1, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])  # i to the head, j to the right
    geometry = Geometry((10, 8), affine)
    picture = np.zeros((10, 8))
    picture[9, 7] = 1
    (plane,) = planes(picture, geometry)
    assert plane.name == "coronal"
    assert plane.pixels[0, 0] == 1
    assert plane.size_mm == (30.0, 16.0)


def test_sizes_are_millimetres() -> None:
    geometry = Geometry.centred((10, 20, 5), (2.0, 1.0, 8.0))
    sizes = {plane.name: plane.size_mm for plane in planes(np.zeros(geometry.shape), geometry)}
    assert sizes == {"axial": (20.0, 20.0), "coronal": (40.0, 20.0), "sagittal": (40.0, 20.0)}


def test_the_sheet_shows_slices_true_to_scale_with_right_on_the_left(tmp_path: Path) -> None:
    geometry = Geometry.centred((20, 10, 4), (1.0, 1.0, 1.0), AXES["LPS"])
    volume = np.zeros(geometry.shape)
    volume[:5] = 100.0  # the first voxels of an LPS array are the patient's right
    contact_sheet(tmp_path / "a.png", [volume], geometries=[geometry], window=(0, 100), title="", tile=100)
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L"), dtype=float)
    rows, columns = np.nonzero(grey > 200)
    axial = columns < 100 + 8
    assert columns[axial].max() < 6 + 30, "the bright quarter is on the left of the axial slice"
    assert np.ptp(rows[axial]) == pytest.approx(50, abs=2), "10 mm of 20 are half a tile"


def test_labels_are_outlined_in_their_colours(tmp_path: Path) -> None:
    volume, label = np.zeros((24, 24, 24)), np.zeros((24, 24, 24), dtype=np.uint8)
    label[4:12, 4:12, 4:20] = 1
    label[12:20, 4:20, 4:20] = 3
    contact_sheet(tmp_path / "a.png", [volume], labels=[label], window=(0, 1), title="synthetic")
    found = {tuple(int(v) for v in pixel) for pixel in np.asarray(Image.open(tmp_path / "a.png")).reshape(-1, 3)}
    assert COLOURS[0] in found
    assert COLOURS[2] in found
    assert COLOURS[1] not in found


@pytest.mark.parametrize("value", [256, 257, 65535])
def test_large_label_values_are_outlined_too(tmp_path: Path, value: int) -> None:
    label = np.zeros((24, 24), dtype=np.uint16)
    label[4:12, 4:12] = value
    contact_sheet(tmp_path / "a.png", [np.zeros((24, 24))], labels=[label], window=(0, 1))
    found = {tuple(int(v) for v in pixel) for pixel in np.asarray(Image.open(tmp_path / "a.png")).reshape(-1, 3)}
    assert found & set(COLOURS) == {COLOURS[(value - 1) % len(COLOURS)]}


@pytest.mark.parametrize(("count", "shape"), [(1, (8, 9, 10)), (64, (12, 12, 12)), (70, (16, 16)), (40, (4, 4, 200))])
def test_any_number_of_volumes_stays_within_the_largest_page(tmp_path: Path, count: int, shape) -> None:
    volumes = [np.full(shape, float(i)) for i in range(count)]
    contact_sheet(tmp_path / "a.png", volumes, captions=[f"sample {i}" for i in range(count)])
    with Image.open(tmp_path / "a.png") as page:
        assert max(page.size) <= LONGEST_SIDE
        assert min(page.size) >= 24
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_tall_column_is_bounded_too(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "a.png", [np.zeros((8, 8))] * 64, columns=1)
    with Image.open(tmp_path / "a.png") as page:
        assert max(page.size) <= LONGEST_SIDE


def test_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    volumes = [np.zeros((4, 4, 4))] * 2
    with pytest.raises(MedsynthError, match="at least one"):
        contact_sheet(tmp_path / "a.png", [])
    with pytest.raises(MedsynthError, match="a list of 1"):
        contact_sheet(tmp_path / "a.png", volumes, captions=["one"])
    with pytest.raises(GeometryError, match="does not fit"):
        contact_sheet(tmp_path / "a.png", volumes, geometries=[Geometry.centred((4, 4, 5), (1, 1, 1))] * 2)
    assert list(tmp_path.iterdir()) == []
