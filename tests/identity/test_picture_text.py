"""Text in pictures: drawn text is found, blurred text and anatomy are not, marks of side pass by their policy."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from medsynth.data.dicom_file import quiet
from medsynth.errors import MedsynthError, UnreadableError
from medsynth.identity.dicom_text import frames
from medsynth.identity.picture_text import MarkerPolicy, TextFinder, blank_picture, blank_text, windowed
from medsynth.identity.pixels import Box
from medsynth.identity.text_model import Candidate
from medsynth.identity.text_planes import SliceStack, planes

pytest.importorskip("rapidocr_onnxruntime")
SHAPE = (128, 160)


def tissue(shape=SHAPE, seed: int = 0) -> np.ndarray:
    """Smooth and noisy, from 60 to 160."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 110 + 40 * np.sin(x / 23 + y / 31) + rng.normal(0, 3, shape)


def write(
    picture: np.ndarray, text: str, at=(20, 50), size: int = 16, value: float = 255.0, blur: float = 0
) -> np.ndarray:
    mask = Image.new("L", picture.shape[::-1], 0)
    ImageDraw.Draw(mask).text(at, text, fill=255, font=ImageFont.load_default(size))
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask) / 255
    return picture * (1 - alpha) + value * alpha


@pytest.fixture(scope="module")
def finder() -> TextFinder:
    return TextFinder()


def around(boxes: list[Box], left: int, top: int, right: int, bottom: int) -> bool:
    return any(
        box.left <= left + 3
        and box.top <= top + 3
        and box.left + box.width >= right - 3
        and box.top + box.height >= bottom - 3
        for box in boxes
    )


@pytest.mark.parametrize("value", [255.0, 0.0])
@pytest.mark.parametrize("kind", ["uint8", "int16", "float32", "colour"])
def test_bright_and_dark_text_is_found_in_every_type(finder: TextFinder, value: float, kind: str) -> None:
    picture = write(tissue(), "DOE^JOHN", value=value)
    if kind == "colour":
        picture = np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    else:
        picture = {"uint8": picture, "int16": picture * 20 - 1024, "float32": picture / 1e4}[kind].astype(kind)
    assert around(finder.find(picture), 20, 55, 95, 65)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("text", ["DOE^JOHN", "MUELLER, ANNA"])
def test_text_that_stands_on_its_head_or_runs_up_or_down_is_found(finder: TextFinder, text: str, quarters: int) -> None:
    picture = np.rot90(write(tissue(), text, value=255), quarters)
    corners = {1: (55, 65, 65, 140), 2: (65, 63, 140, 73), 3: (63, 20, 73, 95)}[quarters]
    assert around(finder.find(picture), *corners)
    assert finder.find(np.rot90(tissue(), quarters)) == []


def test_blurred_away_text_and_tissue_alone_are_not(finder: TextFinder) -> None:
    assert finder.find(tissue()) == []
    assert finder.find(write(tissue(), "DOE^JOHN", blur=8)) == []


def test_text_that_extreme_pixels_would_hide_is_found(finder: TextFinder) -> None:
    picture = write(tissue(), "03.09.1962").astype(np.float32)
    picture[0, :4] = 1e6
    picture[1, :4] = np.nan
    assert finder.find(picture)


def test_windowing_keeps_the_order_and_clips_nothing() -> None:
    picture = np.sort(np.random.default_rng(0).normal(0, 100, 4000)).reshape(40, 100)
    picture[-1, -1] = 1e5
    grey = windowed(picture)[..., 0].ravel().astype(int)
    assert (np.diff(grey) >= 0).all()
    assert (grey.min(), grey.max(), grey[-2]) == (0, 255, 225)
    assert not windowed(np.full((9, 9), 7)).any()
    assert not windowed(np.full((9, 9), np.nan)).any()


def test_what_is_no_picture_is_refused(finder: TextFinder) -> None:
    for wrong in (np.zeros((4, 20, 20)), np.zeros((20, 20, 3)), np.zeros(9)):
        with pytest.raises(ValueError, match="no picture"):
            finder.find(wrong)
    with pytest.raises(UnreadableError, match="too large"):
        finder.find(np.broadcast_to(np.uint8(0), (2**14, 2**13)))
    assert finder.find(np.zeros((64, 64))) == []
    assert finder.find(np.zeros((64, 1))) == []


def test_the_same_picture_gives_the_same_boxes(finder: TextFinder) -> None:
    picture = write(tissue(), "Kowalski J")
    assert finder.find(picture) == finder.find(picture) == TextFinder().find(picture)


def test_a_mark_of_side_passes_and_a_name_beside_it_does_not(finder: TextFinder) -> None:
    marked = write(tissue(), "R", at=(6, 6), size=18)
    assert finder.find(marked) == []
    assert TextFinder(MarkerPolicy(letters=())).find(marked)
    assert finder.find(write(tissue(), "R MUELLER", at=(6, 6), size=18))


MARK = Candidate(5, 5, 13, 17, 0.8, "R", 0.95)
NAME = Candidate(15, 5, 90, 17, 0.8, "MUELLER", 0.95)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ([MARK], 0),
        ([MARK._replace(text="L.")], 0),
        ([MARK._replace(text="J")], 1),
        ([MARK._replace(text="RT")], 1),
        ([MARK, NAME], 2),  # an initial
        ([MARK, NAME._replace(top=60, bottom=72)], 1),
        ([MARK._replace(left=60, right=68, top=58, bottom=70)], 1),  # in the middle
        ([MARK._replace(bottom=32)], 1),  # too large
        ([MARK._replace(bottom=5.5)], 1),  # too small
        ([MARK, MARK._replace(left=100, right=108), MARK._replace(top=100, bottom=112)], 3),  # initials of a list
    ],
)
def test_marks_pass_by_size_place_and_number(finder: TextFinder, found: list[Candidate], left: int) -> None:
    assert len(finder.boxes(found, (128, 128))) == left


def test_marks_are_measured_where_the_spacing_is_known(finder: TextFinder) -> None:
    assert finder.boxes([MARK], (128, 128), (1.0, 1.0)) == []
    assert len(finder.boxes([MARK], (128, 128), (0.1, 0.1))) == 1
    assert len(finder.boxes([MARK], (128, 128), (10.0, 10.0))) == 1


@pytest.mark.parametrize(
    ("one", "is_text"),
    [
        (NAME, True),
        (NAME._replace(score=0.4), False),
        (NAME._replace(confidence=0.5), True),
        (NAME._replace(confidence=0.4), False),
        (NAME._replace(text="M", confidence=0.8), False),
        (NAME._replace(bottom=29), True),
        (NAME._replace(bottom=32), False),  # ribs
        (NAME._replace(right=27, bottom=80), True),  # upwards
        (NAME._replace(right=30, confidence=0.8), True),
        (NAME._replace(right=30, confidence=0.7), False),
        (NAME._replace(text="", confidence=0.0), False),
        (NAME._replace(turned=True, confidence=0.7), False),  # gyri are read upside down, unsurely
        (NAME._replace(turned=True, confidence=0.8), True),
    ],
)
def test_a_line_is_text_by_its_shape_and_a_block_when_it_is_read(finder, one: Candidate, is_text: bool) -> None:
    assert bool(finder.boxes([one], (128, 128))) == is_text


def test_a_policy_tells_all_its_limits() -> None:
    policy = MarkerPolicy()
    assert json.loads(json.dumps(policy.to_json())) == {
        "letters": ["R", "L"], "smallest": 0.01, "largest": 0.2, "smallest_mm": 2.0, "largest_mm": 60.0,
        "middle": 0.3, "apart": 1.5, "most": 2,
    }  # fmt: skip
    for wrong in ({"letters": ("RT",)}, {"smallest": 0.5}, {"largest_mm": 1}, {"middle": 2}, {"most": -1}):
        with pytest.raises(ValueError, match=r"mark of side|smallest|middle"):
            replace(policy, **wrong)


def test_blanking_goes_on_until_nothing_is_found(finder: TextFinder) -> None:
    picture = write(write(tissue(), "DOE^JOHN"), "1962-09-03", at=(30, 90), value=0)
    before = picture.copy()
    blanked, boxes = blank_text(picture, finder)
    assert len(boxes) >= 2
    assert finder.find(blanked) == []
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(blanked[:40], picture[:40])


def test_blanking_that_never_ends_is_refused(finder, monkeypatch) -> None:
    monkeypatch.setattr(finder, "find", lambda picture, spacing: [Box(0, 0, 3, 3)])
    with pytest.raises(UnreadableError, match="after 8 rounds"):
        blank_text(tissue(), finder)


def test_a_box_over_the_edge_is_blanked_with_the_darkest() -> None:
    picture = np.arange(20, dtype=np.int16).reshape(4, 5) - 7
    np.testing.assert_array_equal(blank_picture(picture, [Box(3, -2, 9, 4)])[:2, 3:], -7)
    assert blank_picture(picture, [Box(-9, 0, 3, 3)]).sum() == picture.sum()
    assert not blank_picture(np.full((4, 4, 3), 9, np.uint8), [Box(0, 0, 4, 4)]).any()


def test_without_the_detector_the_message_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    monkeypatch.setattr("medsynth.identity.text_model.find_spec", lambda name: None)
    with pytest.raises(MedsynthError, match=r"\[text-detection\]"):
        TextFinder()


def test_projections_hold_every_slice() -> None:
    volume = np.random.default_rng(0).normal(size=(7, 9, 37))
    groups = list(planes(volume, axis=2, group=16))
    assert [len(numbers) for numbers, _ in groups] == [16, 16, 16, 16, 5, 5]
    np.testing.assert_array_equal(groups[0][1], volume[..., :16].max(-1))
    np.testing.assert_array_equal(groups[1][1], volume[..., :16].min(-1))


@pytest.mark.parametrize("value", [255.0, 0.0])
def test_text_in_one_slice_is_found_with_its_number(finder: TextFinder, value: float) -> None:
    volume = np.stack([tissue((100, 128), seed) for seed in range(20)], axis=-1)
    volume[..., 11] = write(volume[..., 11], "DOE^JOHN", at=(20, 40), value=value)
    stack = SliceStack(finder)
    found = [text for number in range(volume.shape[-1]) for text in stack.add("v", number, volume[..., number])]
    assert [text.name for text in [*found, *stack.finish()]] == [11]


@pytest.mark.data
def test_text_of_a_real_scan_is_found_and_its_annotations_are_covered(test_data: Path, finder: TextFinder) -> None:
    folder = test_data / "phi/presidio"
    with quiet():
        picture = next(frames(pydicom.dcmread(folder / "2_ORIGINAL.dcm")))
    found = finder.find(picture)
    for one in json.loads((folder / "ground_truth.json").read_text())["sample_data/2_ORIGINAL.dcm"]:
        # Annotated on a picture with a border of 25 pixels.
        left, top = one["left"] - 25, one["top"] - 25
        assert any(
            box.left <= max(left, 0) and box.top <= max(top, 0)
            and box.left + box.width >= left + one["width"] and box.top + box.height >= top + one["height"]
            for box in found
        )  # fmt: skip


@pytest.mark.data
def test_few_radiographs_without_text_give_an_alarm(test_data: Path, finder: TextFinder) -> None:
    paths = sorted((test_data / "chest_xray/NORMAL").glob("*.jp*g"))[::80]
    alarms = [path.name for path in paths if finder.find(np.asarray(Image.open(path).convert("L")))]
    assert len(paths) >= 15
    assert alarms == []
