"""Pictures come upright, grey and in their stored depth, or not at all."""

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medsynth.data.picture import read_picture
from medsynth.errors import UnreadableError

GREY = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)  # rows, columns
ORIENTATION = 0x0112


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("mode", [None, "RGB", "RGBA", "LA", "P"])
def test_grey_in_any_form_is_read_as_column_row(tmp_path, mode):
    array, geometry = read_picture(save(tmp_path / "a.png", GREY, mode))
    assert array.dtype == np.uint8
    assert (array == GREY.T).all()
    assert geometry.shape == (6, 4)


def test_simpleitk_reads_the_same_pixels_at_the_same_place(tmp_path):
    array, geometry = read_picture(save(tmp_path / "a.png", GREY))
    image = sitk.ReadImage(str(tmp_path / "a.png"))
    assert (array == sitk.GetArrayFromImage(image).T).all()
    np.testing.assert_allclose(geometry.to_lps().origin[:2], image.GetOrigin())
    np.testing.assert_allclose(geometry.to_lps().spacing[:2], image.GetSpacing())


def test_sixteen_bits_stay(tmp_path):
    deep = np.array([[0, 1, 65535], [256, 4095, 40000]], np.uint16)
    array, _ = read_picture(save(tmp_path / "a.png", deep))
    assert array.dtype == np.uint16
    assert (array == deep.T).all()


def test_one_bit_is_black_and_white_and_a_label_map_keeps_its_numbers(tmp_path):
    bits = np.array([[True, False], [False, True]])
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert (read_picture(tmp_path / "bits.png").array == bits.T * 255).all()
    assert (read_picture(tmp_path / "bits.png", label=True).array == bits.T).all()
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode=None).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "palette.png")
    assert (read_picture(tmp_path / "palette.png", label=True).array == [[0, 2], [1, 1]]).all()
    with pytest.raises(UnreadableError, match="coloured"):
        read_picture(tmp_path / "palette.png")


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, lambda a: np.rot90(a, 1))],
)
def test_exif_orientation_is_obeyed(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    assert (read_picture(tmp_path / "a.png").array == turn(GREY).T).all()


def coloured(path):
    array = np.stack([GREY] * 3, axis=-1)
    array[0, 0, 1] ^= 1
    save(path, array)


def transparent(path):
    array = np.stack([GREY] * 4, axis=-1)
    save(path, array)


def cmyk(path):
    Image.fromarray(GREY).convert("CMYK").save(path, format="JPEG")


def moving(path):
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def short(path):
    save(path, np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000])


def gif(path):
    Image.fromarray(GREY).save(path, format="GIF")


def bomb(path):
    Image.new("1", (14000, 14000)).save(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (coloured, "coloured"),
        (transparent, "transparent"),
        (cmyk, "not grey, RGB"),
        (moving, "several frames"),
        (short, "cut short"),
        (gif, "no PNG or JPEG"),
        (bomb, "too large"),
        (lambda path: path.write_bytes(b""), "cut short"),
        (lambda path: path.write_text("no picture"), "no PNG or JPEG"),
    ],
)
def test_what_is_no_grey_picture_is_refused(tmp_path, make, message):
    make(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match=message):
        read_picture(tmp_path / "a.png")


@pytest.mark.data
def test_a_real_radiograph(test_data):
    path = sorted((test_data / "chest_xray" / "NORMAL").glob("*.jpg"))[0]
    array, geometry = read_picture(path)
    assert geometry.shape == (128, 128)
    assert (array == np.asarray(Image.open(path)).T).all()
