"""A page in a real browser over folders written by hand."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError
from medsynth.files import sha256_file, write_text
from medsynth.geometry import Geometry
from medsynth.records import Channel, SampleRecord, read_records, write_records
from medsynth.view import niivue
from medsynth.view.catalogue import catalogue
from medsynth.view.server import Viewer
from tests.conftest import oblique_affine
from tests.export.conftest import make_samples  # noqa: F401

FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
WIDE, NARROW = (1280, 640), (390, 844)
SAMPLE = Geometry((24, 20, 16), oblique_affine((1.0, 1.5, 2.0), degrees=20.0, origin=(-12.0, -15.0, -16.0)))


def rewrite(folder, arrays):
    """The first sample's channels with other voxels."""
    first, *others = read_records(folder / "samples.jsonl", SampleRecord)
    channels = {}
    for name, channel in first.channels.items():
        write_nifti(folder / channel.path, arrays[name], first.geometry)
        channels[name] = Channel(**{**vars(channel), "sha256": sha256_file(folder / channel.path)})
    content = {**{key: getattr(first, key) for key in first.__dataclass_fields__}, "channels": channels}
    write_records(folder / "samples.jsonl", [SampleRecord(**content), *others])


def case_affine() -> np.ndarray:
    """Other axes, other voxels, the same middle as SAMPLE's: the volumes share a place and no grid."""
    turned = oblique_affine((1.5, 1.25, 1.25), degrees=-10.0)
    turned[:3, 3] = 0
    turned[:3, 3] = SAMPLE.centre - turned[:3, :3] @ (np.array([27, 27, 27]) / 2)
    return turned


@pytest.fixture(scope="session")
def script() -> Path:
    """niivue's script; skips where it is not installed."""
    try:
        return niivue.script()
    except MedsynthError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium(script: Path) -> Iterator[Any]:
    """A browser with WebGL 2, by software."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Look:
    """A page of the viewer, with all that it asked for and complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, place: str = "") -> "Look":
        """Go to a place and wait until it is shown."""
        self.page.goto(self.url + place)
        return self.wait(place)

    def wait(self, place: str) -> "Look":
        self.page.wait_for_selector(f'body[data-ready="{place or "gallery"}"]', timeout=60_000)
        return self

    def ask(self, expression: str, *given: Any) -> Any:
        """Evaluate over `nv`, the viewers of the two panels."""
        return self.page.evaluate(
            f"(given) => {{ const nv = medsynthView.panels.map((one) => one.nv); return {expression}; }}", list(given)
        )

    def tap(self, x: float, y: float) -> None:
        """A finger, for as long as one rests."""
        line = self.page.context.new_cdp_session(self.page)
        line.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        self.page.wait_for_timeout(120)
        line.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        self.page.wait_for_timeout(200)

    def crosshair(self, panel: int = 0) -> np.ndarray:
        """In mm."""
        return np.array(self.ask(f"Array.from(medsynthView.panels[{panel}].place).slice(0, 3)"))

    def pixels(self, panel: int = 0) -> np.ndarray:
        """(rows, columns, 3) of a canvas, as seen."""
        self.page.wait_for_timeout(150)
        seen = self.page.locator(f"#panel-{panel} canvas").screenshot()
        path = Path(self.scratch) / "seen.png"
        path.write_bytes(seen)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    scratch: Path


@pytest.fixture(scope="module")
def look_at(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open pages over folders; all are closed at the end, and none complained or asked anybody else."""
    open_ones: list[tuple[Viewer, Look]] = []

    def make(size: tuple[int, int] = WIDE, touch: bool = False, **folders: Path) -> Look:
        viewer = Viewer(catalogue(**folders)).start()
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, has_touch=touch)
        look = Look(context.new_page(), viewer.url)
        look.scratch = tmp_path_factory.mktemp("look")
        open_ones.append((viewer, look))
        return look

    yield make
    for viewer, look in open_ones:
        look.page.context.close()
        viewer.close()
    assert [said for _, look in open_ones for said in look.complaints] == []
    allowed = [(url, (viewer.url, "data:", "blob:")) for viewer, look in open_ones for url in look.asked]
    assert [url for url, own in allowed if not url.startswith(own)] == []


@contextmanager
def served(**folders: Path) -> Iterator[Viewer]:
    with Viewer(catalogue(**folders)).start() as viewer:
        yield viewer


def pair_line(sample: str, case: str) -> str:
    """As `medsynth audit` writes it into pairs.jsonl."""
    return (
        f'{{"sample": "{sample}", "case": "{case}", "search": "whole", "p": 0.013, "flagged": false, '
        '"correlation": 0.91, "shift": [1, -2, 0], "flips": [true, false, false], "axes": [0, 1, 2], "degrees": 5.0, '
        f'"plane": [0, 2], "picture": "nearest/{sample}.png"}}\n'
    )


def write_nearest(audit: Path, *pairs: tuple[str, str]) -> None:
    """As `medsynth audit` writes it of every sample."""
    lines = [f'{{"sample": "{one}", "case": "{case}", "search": "features", "p": 0.4}}\n' for one, case in pairs]
    write_text(audit / "nearest.jsonl", "".join(lines))


def write_pairs(audit: Path, *pairs: tuple[str, str]) -> None:
    write_text(audit / "pairs.jsonl", "".join(pair_line(*pair) for pair in pairs))
