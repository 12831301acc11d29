"""The page in Chromium: values, places, colours, layout, keys and touch."""

import nibabel as nib
import numpy as np
import pytest

from medsynth.data.contact_sheet import COLOURS
from medsynth.data.nifti import write_nifti
from medsynth.geometry import Geometry
from tests.export.conftest import PLACES, place
from tests.export.test_gate import audited
from tests.view.conftest import NARROW, SAMPLE, WIDE, case_affine, rewrite, write_pairs

LABELS = {0: "background", 1: "liver", 2: "left kidney"}


def blocks(shape):
    """A grey image; label 1 at the patient's right, front and head, label 2 opposite: in RAS indices."""
    image, label = np.full(shape, 100, np.int16), np.zeros(shape, np.uint8)
    image[0] = image[-1] = 0
    label[-7:-2, -6:-1, -6:-1] = 1
    label[2:6, 1:5, 1:5] = 2
    return image, label


@pytest.fixture(scope="module")
def folders(make_samples, make_cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    samples = make_samples(folder / "samples", SAMPLE, channels, count=4, labels=LABELS)
    image, label = blocks(SAMPLE.shape)
    rewrite(samples, {"image": image, "label": label})
    cases = make_cases(folder / "cases", patients=3, shape=(28, 28, 28), affine=case_affine())
    audit = audited(samples, folder / "audit", ["pass", "fail", "cannot-assess", "pass"])
    write_pairs(audit, ("s000001", "case002"))
    return {"samples": samples, "audit": audit, "cases": cases}


@pytest.fixture(scope="module")
def wide(look_at, folders):
    return look_at(WIDE, **folders)


@pytest.fixture(scope="module")
def narrow(look_at, folders):
    return look_at(NARROW, touch=True, **folders)


def read(folder, name):
    return nib.load(folder / "volumes" / name)


@pytest.mark.parametrize("name", PLACES)
def test_every_voxel_is_where_nibabel_has_it(look_at, make_samples, tmp_path, name):
    samples = make_samples(tmp_path, place(name), {"image": ("arbitrary", "MR")})
    look = look_at(WIDE, samples=samples).open("#0")
    image = read(samples, "000000_image.nii.gz")
    upright = nib.as_closest_canonical(image)  # niivue's indices run to the right, front and head
    values = look.ask(
        "{ const [v] = nv[0].volumes, [, a, b, c] = v.dimsRAS, all = [];"
        " for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) for (let k = 0; k < c; k++)"
        " all.push(v.getValue(i, j, k)); return all; }".join(["(() => ", ")()"])
    )
    assert np.array_equal(np.reshape(values, upright.shape), np.asarray(upright.dataobj))
    corner = np.array(upright.shape) - 1
    at = look.ask("Array.from(nv[0].frac2mm(nv[0].vox2frac(given[0]), 0, true)).slice(0, 3)", corner.tolist())
    assert np.allclose(at, (upright.affine @ [*corner, 1])[:3], atol=1e-3)
    look.page.context.close()


def test_a_click_moves_the_crosshair_of_both_to_one_place_in_mm(wide, folders):
    wide.open("#1+6")
    box = wide.page.locator("#panel-0 canvas").bounding_box()
    before = wide.crosshair(0)
    assert np.allclose(before, wide.crosshair(1), atol=1e-3)
    # The middle of the coronal view, which is the first tile, and a bit to the right of it and down.
    left, top, across, down = wide.ask("nv[0].screenSlices[0].leftTopWidthHeight.map((v) => v / nv[0].uiData.dpr)")
    wide.page.mouse.click(box["x"] + left + 0.62 * across, box["y"] + top + 0.7 * down)
    wide.page.wait_for_timeout(200)
    here, there = wide.crosshair(0), wide.crosshair(1)
    assert np.linalg.norm(here - before) > 2
    assert np.allclose(here, there, atol=1e-3)
    sample, case = read(folders["samples"], "000001_image.nii.gz"), read(folders["cases"], "case002_image.nii.gz")
    for panel, image in enumerate((sample, case)):
        index = np.rint(np.linalg.inv(image.affine) @ [*here, 1])[:3].astype(int)
        assert all(index >= 0) and all(index < image.shape)  # noqa: PT018
        value = float(image.dataobj[tuple(index)])
        said = wide.page.locator(f"#panel-{panel} .readout").text_content()
        assert said.startswith(", ".join(f"{mm:.1f}" for mm in here).replace("-0.0", "0.0")) or "-0.0" in said
        assert f"{value:g} HU" in said
    # And from the second to the first, by keys.
    wide.page.locator("#panel-1 canvas").focus()
    wide.page.keyboard.press("ArrowUp")
    wide.page.wait_for_timeout(200)
    moved = wide.crosshair(1) - there
    assert np.allclose(wide.crosshair(0), wide.crosshair(1), atol=1e-3)
    step = case.affine[:3, 2]
    # The crosshair goes to the middle of a voxel of the second volume: at most half a voxel beside the step.
    assert np.abs(np.linalg.inv(case.affine[:3, :3]) @ (moved - step)).max() <= 0.5 + 1e-3
    assert (np.linalg.inv(case.affine[:3, :3]) @ moved)[2] > 0.4


def coloured(pixels, colour, opacity=0.5, grey=255):
    """Where a label of that colour lies over white (the image is shown so): rows and columns."""
    wanted = np.array(colour) * opacity + grey * (1 - opacity)
    return np.argwhere(np.abs(pixels - wanted).max(axis=-1) <= 6)


@pytest.mark.parametrize(
    ("view", "key"),
    [("axial", "1"), ("coronal", "2"), ("sagittal", "3")],
)
def test_labels_lie_where_they_are_in_their_colours(wide, view, key):
    """Radiological: right, front and head are left and up; a sagittal slice looks to the left."""
    wide.open("#0")
    wide.page.keyboard.press(key)
    wide.page.locator("#low").fill("0")
    wide.page.locator("#high").fill("50")
    wide.page.locator("#high").press("Enter")
    label = read_label(wide)
    for value, first in ((1, True), (2, False)):
        inside = np.argwhere(label == value).mean(axis=0).round().astype(int)
        wide.ask("medsynthView.panels[0].place = nv[0].frac2mm(nv[0].vox2frac(given[0]), 0, true)", inside.tolist())
        seen = wide.pixels()
        found = coloured(seen, COLOURS[value - 1])
        assert len(found) > 500, f"{view}: the colour of label {value} is not there"
        middle = found.mean(axis=0) / seen.shape[:2]
        image = np.argwhere(seen.min(axis=-1) > 30).mean(axis=0) / seen.shape[:2]
        assert all(middle < image) if first else all(middle > image), f"{view}: label {value} lies elsewhere"
        # Every coloured pixel has the label by nibabel, through the place that niivue gives it.
        for row, column in found[:: max(1, len(found) // 40)]:
            mm = wide.ask(
                "Array.from(nv[0].frac2mm(nv[0].canvasPos2frac(given.map((v) => v * nv[0].uiData.dpr)), 0, true))",
                float(column) + 0.5,
                float(row) + 0.5,
            )
            index = (np.linalg.inv(SAMPLE.affine) @ [*mm[:3], 1])[:3]
            near = {
                int(label[tuple(np.clip(np.rint(index + d), 0, np.array(label.shape) - 1).astype(int))])
                for d in (-0.06, 0, 0.06)
            }
            assert value in near
    for press, there in (("l", False), ("l", True)):
        wide.page.keyboard.press(press)
        assert (len(coloured(wide.pixels(), COLOURS[1])) > 500) is there
    wide.page.keyboard.press("w")
    wide.page.keyboard.press("0")


def read_label(look):
    """The label map of the first panel as niivue holds it, which another test compares with nibabel."""
    values = look.ask("Array.from(nv[0].volumes[1].img)")
    return np.reshape(values, SAMPLE.shape, order="F").astype(int)


def test_the_window_is_what_is_shown(wide):
    wide.open("#1")
    wide.page.keyboard.press("1")

    def shown(low, high):
        wide.page.locator("#low").fill(str(low))
        wide.page.locator("#high").fill(str(high))
        wide.page.locator("#high").press("Enter")
        wide.ask("medsynthView.opacity(0)")
        return wide.pixels()

    grey = shown(-1000, -900).max(axis=-1)
    inside = (grey > 250).mean()
    assert inside > 0.1
    assert (shown(5000, 6000).max(axis=-1) > 250).mean() < 0.02
    wide.page.locator("#window-reset").click()
    low, high = (float(wide.page.locator(f"#{name}").input_value()) for name in ("low", "high"))
    values = wide.ask("Array.from(nv[0].volumes[0].img)")
    assert np.allclose([low, high], np.percentile(values, [0.5, 99.5]), atol=3)
    wide.ask("medsynthView.opacity(0.5)")
    wide.page.keyboard.press("0")


def test_keys(wide):
    wide.open("#0")
    wide.page.keyboard.press("0")
    assert wide.ask("nv[0].opts.sliceType") == 3
    wide.page.keyboard.press("1")  # 3D takes its time by software
    assert np.allclose(wide.crosshair(), (SAMPLE.affine @ [12, 10, 8, 1])[:3], atol=1e-3)
    for key, axis, voxels in (("ArrowUp", 2, 1), ("ArrowDown", 2, -1), ("PageUp", 2, 7), ("PageDown", 2, -10)):
        before = wide.crosshair()
        wide.page.keyboard.press(key)  # ten up end at the last slice
        assert np.allclose(wide.crosshair() - before, SAMPLE.affine[:3, axis] * voxels, atol=1e-3), key
    for view, axis in (("2", 1), ("3", 0), ("1", 2)):
        wide.page.keyboard.press(view)
        before = wide.crosshair()
        wide.page.keyboard.press("ArrowUp")
        assert np.allclose(wide.crosshair() - before, SAMPLE.affine[:3, axis], atol=1e-3), view
    assert wide.ask("nv[0].opts.sliceType") == 0
    wide.page.keyboard.press("?")
    assert wide.page.locator("#help").is_visible()
    wide.page.keyboard.press("ArrowRight")
    assert wide.page.url.endswith("#0"), "the list of keys is open"
    wide.page.keyboard.press("Escape")
    assert not wide.page.locator("#help").is_visible()
    wide.page.keyboard.press("ArrowRight")
    wide.wait("#1")
    wide.page.keyboard.press("b")
    wide.wait("#1+6")
    assert "found by whole" in wide.page.locator("#pair").text_content().lower()
    assert wide.page.locator("#panel-1 h2").text_content().startswith("case002")
    wide.page.keyboard.press("b")
    wide.wait("#1")
    wide.page.keyboard.press("ArrowLeft")
    wide.wait("#0")
    wide.page.keyboard.press("ArrowLeft")
    wide.page.keyboard.press("Escape")
    wide.page.wait_for_selector("#gallery:not([hidden])")
    wide.page.keyboard.press("ArrowRight")
    wide.page.keyboard.press("Enter")
    wide.wait("#1")
    wide.page.keyboard.press("0")


def test_the_gallery_says_what_each_is_and_filters(wide):
    wide.open()
    cards = wide.page.locator("#cards li:visible")
    assert cards.count() == 7
    assert wide.page.locator("#count").text_content() == "7 of 7"
    told = wide.page.evaluate(
        "[...document.querySelectorAll('#cards li')]"
        ".map((one) => [...one.querySelectorAll('b, .badge, .facts')].map((part) => part.textContent).join(' '))"
    )
    assert told[0] == "s000000 synthetic ✓ audit: pass class a · text größer \\ als · seed 5 · number 0"
    assert "✗ audit: copy?" in told[1]
    assert "? audit: cannot assess" in told[2]
    assert told[4].startswith("case000 real")
    wide.page.locator("select[name=verdict]").select_option("fail")
    assert [cards.nth(n).locator("b").text_content() for n in range(cards.count())] == ["s000001"]
    wide.page.locator("select[name=verdict]").select_option("")
    wide.page.locator("select[name='· class']").select_option("b")
    assert wide.page.locator("#count").text_content() == "1 of 7"
    wide.page.locator("#cards li:visible a").click()
    wide.wait("#5")
    assert wide.page.locator("#place").text_content() == "1 / 1"
    wide.page.locator("#home").click()
    wide.page.locator("select[name='· class']").select_option("")
    wide.page.wait_for_timeout(1000)
    loaded = wide.page.evaluate("[...document.images].slice(0, 4).map((one) => one.naturalWidth)")
    assert min(loaded) > 300


@pytest.mark.parametrize("where", ["", "#0", "#1+6"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_nothing_sticks_out_and_fingers_find_the_buttons(request, size, where):
    look = request.getfixturevalue(size).open(where)
    found = look.page.evaluate(
        """() => ({
            across: [document.documentElement.scrollWidth, innerWidth],
            out: [...document.body.querySelectorAll('*')].filter((one) => one.getClientRects().length
                && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.tagName + one.id),
            low: [...document.querySelectorAll('button, select')].filter((one) => one.getClientRects().length)
                .map((one) => one.getBoundingClientRect().height),
            canvas: [...document.querySelectorAll('canvas')].filter((one) => one.getClientRects().length)
                .map((one) => one.getBoundingClientRect().width),
            plain: getComputedStyle(document.body).backgroundColor,
        })"""
    )
    assert found["across"][0] <= found["across"][1]
    assert found["out"] == []
    assert min(found["low"], default=44) >= (44 if size == "narrow" else 36)
    assert len(found["canvas"]) == (0 if not where else 2 if "+" in where else 1)
    assert min(found["canvas"], default=300) >= 300
    assert found["plain"] == "rgb(18, 19, 22)"


def test_the_place_among_thousands_fits_a_phone(narrow):
    narrow.open("#1")
    across = narrow.page.evaluate(
        "at => { const said = document.getElementById('place'), before = said.textContent; said.textContent = at;"
        " const wide = document.documentElement.scrollWidth; said.textContent = before; return [wide, innerWidth]; }",
        "12345 / 12345",
    )
    assert across[0] <= across[1]


def test_the_whole_volume_is_seen_in_3d_however_it_is_turned(look_at, tmp_path):
    values = np.full((20, 60, 20), 100, np.int16)
    values[:2] = 0
    write_nifti(tmp_path / "long.nii.gz", values, Geometry(values.shape, np.eye(4)))
    look = look_at(NARROW, folder=tmp_path).open("#0")
    look.page.keyboard.press("4")
    for azimuth in (70, 90, 110):
        look.ask("nv[0].setRenderAzimuthElevation(given[0], 10)", azimuth)
        seen = look.pixels()[6:-6, 6:-6].max(axis=2) > 60  # within the line that shows the focus
        assert seen[:, seen.shape[1] // 2].any()
        assert not seen[:, [0, -1]].any()
    look.page.context.close()


def test_a_finger_moves_the_crosshair(narrow):
    narrow.open("#1+6")
    box = narrow.page.locator("#panel-0 canvas").bounding_box()
    before = narrow.crosshair()
    left, top, across, down = narrow.ask("nv[0].screenSlices[0].leftTopWidthHeight.map((v) => v / nv[0].uiData.dpr)")
    narrow.tap(box["x"] + left + 0.3 * across, box["y"] + top + 0.3 * down)
    assert np.linalg.norm(narrow.crosshair() - before) > 2
    assert np.allclose(narrow.crosshair(0), narrow.crosshair(1), atol=1e-3)
