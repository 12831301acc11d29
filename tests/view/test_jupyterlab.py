"""A real JupyterLab in a real browser: what `docs/how-to/view-samples.md` says of notebooks is drawn there."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page

import medsynth.view
from medsynth.data.contact_sheet import COLOURS
from medsynth.files import write_text
from tests.export.test_gate import audited
from tests.view.conftest import SAMPLE, case_affine, rewrite, write_pairs

LABELS = {0: "background", 1: "liver"}
TOKEN = "0123456789abcdef"
SECONDS = 180
SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # cells out of sight stay
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
CELLS = (
    "from medsynth.view import show",
    'show("SAMPLES", "s000000")',
    'show("SAMPLES", "s000000", beside="nearest", audit="AUDIT", cases="CASES")',
    'show("SAMPLES", "s000000", how="page")',
)


@pytest.fixture(scope="module")
def lab(make_samples, make_cases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the folder that it serves: SAMPLES, AUDIT, CASES."""
    for package in ("jupyterlab", "ipykernel", "ipyniivue"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (pip install jupyterlab, and the extra notebook)")
    folder = tmp_path_factory.mktemp("lab") / "Größe 1"
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    samples = make_samples(folder / "SAMPLES", SAMPLE, channels, count=2, labels=LABELS)
    image, label = np.full(SAMPLE.shape, -100, np.int16), np.zeros(SAMPLE.shape, np.uint8)
    image[6:18, 5:15, 4:12], label[8:14, 7:12, 6:10] = 200, 1
    rewrite(samples, {"image": image, "label": label})
    make_cases(folder / "CASES", patients=2, shape=(28, 28, 28), affine=case_affine())
    write_pairs(audited(samples, folder / "AUDIT", ["pass", "pass"]), ("s000000", "case001"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    home = tmp_path_factory.mktemp("home")  # nobody's own settings, and none left behind
    for name, said in SETTINGS.items():
        write_text(home / ".jupyter/lab/user-settings/@jupyterlab" / f"{name}.jupyterlab-settings", said)
    # Extensions of Lab lie in the environment of the package that brings them.
    shared = Path(importlib.util.find_spec("ipyniivue").origin).parents[4] / "share" / "jupyter"
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_PATH": str(shared),
        "PYTHONPATH": str(Path(medsynth.view.__file__).parents[2]),
    }
    with (home / "log").open("wb") as log:
        program = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *words, f"--ServerApp.root_dir={folder}"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_for(port, program, home / "log")
            yield f"http://127.0.0.1:{port}/lab/tree/samples.ipynb?token={TOKEN}", folder
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(30)


def _wait_for(port: int, program: Any, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and program.poll() is None:
        with socket.socket() as line:
            if line.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def page(
    script: Path, chromium: Any, lab: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The notebook of `CELLS`, opened in Lab, and all of it run."""
    address, folder = lab
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "samples.ipynb").write_text(nbformat.writes(book))
    shown = chromium.new_context(viewport={"width": 1280, "height": 1900}).new_page()
    shown.set_default_timeout(SECONDS * 1000)
    shown.goto(address)
    shown.get_by_text(re.compile(r"\| Idle$")).wait_for()  # before that, Lab takes a command to run and drops it
    shown.get_by_role("menuitem", name="Run", exact=True).click()
    shown.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    yield shown
    shown.screenshot(path=tmp_path_factory.mktemp("seen") / "lab.png")
    shown.context.close()


def _drawn(page: Page, cell: int, selector: str, path: Path) -> np.ndarray:
    """(rows, columns, 3) of what a cell shows, as soon as the label's colour is in it."""
    shown = page.locator(".jp-CodeCell").nth(cell).locator(selector).last
    end = time.monotonic() + SECONDS
    while True:
        shown.scroll_into_view_if_needed()
        seen = _picture(shown, path)
        if _share(seen, COLOURS[0]) > 0.002 or time.monotonic() > end:
            return seen
        page.wait_for_timeout(500)


def _picture(shown: Locator, path: Path) -> np.ndarray:
    path.write_bytes(shown.screenshot())
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def _share(seen: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Of pixels whose hue is that of a label's colour, drawn over grey."""
    centred = seen - seen.mean(axis=2, keepdims=True)
    wanted = np.array(colour) - np.mean(colour)
    strength = np.linalg.norm(centred, axis=2)
    along = centred @ wanted / (np.linalg.norm(wanted) * np.maximum(strength, 1))
    return float(((along > 0.95) & (strength > 20)).mean())


def test_the_widget_draws_a_sample_and_its_label_map(page, tmp_path):
    seen = _drawn(page, 1, "canvas", tmp_path / "widget.png")
    assert _share(seen, COLOURS[0]) > 0.002
    assert (seen.min(axis=2) > 200).mean() > 0.01
    assert page.locator(".jp-CodeCell").nth(1).locator("canvas").count() == 1


def test_the_widget_draws_a_sample_and_its_nearest_case(page, tmp_path):
    sample = page.locator(".jp-CodeCell").nth(2).locator("canvas").first
    sample.wait_for()
    assert _share(_drawn(page, 2, "canvas", tmp_path / "case.png"), COLOURS[0]) > 0.002
    assert _share(_picture(sample, tmp_path / "sample.png"), COLOURS[0]) > 0.002


def test_the_page_is_drawn_in_a_frame(page, tmp_path):
    page.locator(".jp-CodeCell").nth(3).locator("iframe").scroll_into_view_if_needed()
    page.frame_locator("iframe").locator('body[data-ready="#0"]').wait_for()
    assert _share(_drawn(page, 3, "iframe", tmp_path / "frame.png"), COLOURS[0]) > 0.002
