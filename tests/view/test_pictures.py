"""Pictures, and files that cannot be read, on the page."""

import numpy as np
import pytest

from medsynth.geometry import Geometry
from tests.export.conftest import place
from tests.view.conftest import WIDE, rewrite


@pytest.mark.parametrize(
    ("plane", "geometry"),
    [
        ("axial", Geometry.image_plane((20, 14))),
        ("coronal", Geometry((20, 14), np.diag([1.0, 1, 1, 1])[:, [0, 2, 1, 3]] * [-1, -1, 1, 1])),
    ],
)
def test_a_picture_is_upright_in_its_own_plane(look_at, make_samples, tmp_path, plane, geometry):
    """Bright where the first rows and columns are: up and left, as in a picture."""
    samples = make_samples(tmp_path, geometry, {"image": ("grey", "DX")})
    array = np.full((20, 14), 60, np.uint8)
    array[:8, :5] = 250
    array[:, -1] = 0  # black, so that the rest is not
    rewrite(samples, {"image": array})
    look = look_at(WIDE, samples=samples).open("#0")
    assert look.ask("medsynthView.panels[0].plane") == plane
    assert look.page.locator("#views").is_hidden()
    assert look.ask("[0, 7, 8].map((i) => nv[0].volumes[0].img[i])") == [250, 250, 60]
    seen = look.pixels().mean(axis=-1)
    rows, columns = np.nonzero(seen > 235)
    assert len(rows) > 5000
    assert abs(len(rows) / (seen > 5).sum() - 8 * 5 / (20 * 13)) < 0.03
    assert rows.mean() < seen.shape[0] / 2
    assert columns.mean() < seen.shape[1] / 2
    look.page.context.close()


def test_a_volume_that_changed_is_said_on_the_page(look_at, make_samples, tmp_path):
    samples = make_samples(tmp_path, place("oblique"), {"image": ("HU", "CT")}, count=2)
    look = look_at(WIDE, samples=samples)
    (samples / "volumes" / "000000_image.nii.gz").write_bytes(b"x")
    look.open()
    look.page.wait_for_selector("#cards .unseen")
    assert look.page.locator("#cards .unseen").count() == look.page.locator("#cards img").count() == 1
    look.open("#1")
    assert look.page.locator("#panel-0 .readout").text_content()
    look.page.goto(look.url + "#0")
    look.page.wait_for_selector("#trouble:not([hidden])")
    assert "could not be shown" in look.page.locator("#trouble").text_content()
    # Nothing of the sample before is left beside its name.
    assert look.page.locator("#panel-0 .readout").text_content() == ""
    assert [look.page.locator(f"#{name}").input_value() for name in ("low", "high")] == ["", ""]
    look.page.goto(look.url + "#1")
    look.wait("#1")
    assert look.page.locator("#trouble").is_hidden()
    look.complaints.clear()  # the browser's own lines about the refusal
    look.page.context.close()
