"""OHIF, the clinical web viewer, over a real archive: its own built pages, headless Chromium, and what it drew."""

import base64
import http.client
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.export.sending.archives import Orthanc

FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_CONFIG = """window.config = {
  routerBasename: null, extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 1,
  investigationalUseDialog: {option: 'never'}, defaultDataSourceName: 'dicomweb',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'dicomweb',
    configuration: {
      friendlyName: 'archive', name: 'archive', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true, singlepart: 'bulkdata,video',
    },
  }],
};"""


def dist() -> Path:
    """The built pages; skips where MEDSYNTH_OHIF names none."""
    named = os.environ.get("MEDSYNTH_OHIF")
    if not named:
        pytest.skip("MEDSYNTH_OHIF does not name the dist folder of OHIF (npm pack @ohif/app@3.13.2)")
    folder = Path(named)
    assert (folder / "index.html").is_file(), "MEDSYNTH_OHIF names a folder without OHIF's index.html"
    return folder


@contextmanager
def site(folder: Path, pacs: Orthanc) -> Iterator[str]:
    """Serve OHIF's pages, and /dicom-web of the archive under the same origin; gives the address."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *words, **named) -> None:
            super().__init__(*words, directory=str(folder), **named)

        def log_message(self, *_) -> None:
            pass

        def end_headers(self) -> None:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path.startswith("/dicom-web"):
                self._pass_on()
            elif path == "/app-config.js":
                self._send(200, "text/javascript", _CONFIG.encode())
            else:
                if not (folder / path.lstrip("/")).is_file():  # a route of the application
                    self.path = "/index.html"
                super().do_GET()

        def _pass_on(self) -> None:
            asked = http.client.HTTPConnection("127.0.0.1", pacs.http, timeout=60)
            try:
                accept = self.headers.get("Accept", "*/*")
                asked.request("GET", self.path, headers={"Accept": accept, "Host": self.headers["Host"]})
                answer = asked.getresponse()
                self._send(answer.status, answer.getheader("Content-Type", "text/plain"), answer.read())
            finally:
                asked.close()

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser() -> Iterator:
    """Headless Chromium of the system, with WebGL in software."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra test)")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    with sync_api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()


class Drawn(NamedTuple):
    """What a viewport of the MPR layout shows.

    `pixels` (row, column, RGB) without marks and text; `world` (row, column, 3) in mm LPS, of each pixel's middle, by
    the viewer's own camera; `voi` the grey scale's ends, in units.
    """

    name: str
    pixels: NDArray[np.uint8]
    world: NDArray[np.float64]
    voi: tuple[float, float]

    @property
    def coloured(self) -> NDArray[np.bool_]:
        """Pixels that are not grey."""
        low, high = self.pixels.min(-1).astype(int), self.pixels.max(-1).astype(int)
        return high - low > 24


_MPR = "cornerstone.getEnabledElements().map(e => e.viewport).filter(v => v.type === 'orthographic')"
_READ = f"""() => {_MPR}.map(v => {{
  v.render();
  const c = v.canvas, at = (x, y) => Array.from(v.canvasToWorld([x, y]));
  return {{name: v.id, url: c.toDataURL('image/png'), shown: [c.clientWidth, c.clientHeight],
          corners: [at(0, 0), at(c.clientWidth, 0), at(0, c.clientHeight)], voi: v.getProperties().voiRange}};
}})"""
_LOADED = f"""() => {{
  if (!window.cornerstone) return false;
  const shown = {_MPR}, volumes = cornerstone.cache.getVolumes();
  return shown.length === 3 && volumes.length > 0 && volumes.every(one => one.loadStatus.loaded)
    && shown.every(v => v.getActors().length > 0 && v.viewportStatus === 'rendered');
}}"""
_WITH_SEGMENTS = f"() => {_MPR}.every(v => v.getActors().length === 2)"
_LONG_MS = 240_000


class Viewer:
    """A page of OHIF with one study in the MPR layout, three planes side by side.

    Args:
        page: of the browser.
        address: of the site.
        study: Study Instance UID.
    """

    def __init__(self, page, address: str, study: str) -> None:
        self.page = page
        page.set_default_timeout(_LONG_MS)
        page.goto(f"{address}/viewer?StudyInstanceUIDs={study}&hangingprotocolid=mpr")
        page.wait_for_function(_LOADED)
        page.get_by_text("Skip all").click()  # the tour for newcomers

    def drawn(self) -> list[Drawn]:
        """What is on the three canvases now."""
        return [_drawn(found) for found in self.page.evaluate(_READ)]

    def open_segmentation(self) -> None:
        """As a person does: the entry in the list, and yes to the question whether to open it."""
        self.page.locator("[data-cy=study-browser-thumbnail-no-image]").first.dblclick()
        self.page.get_by_role("button", name="Yes").first.click()
        self.page.wait_for_function(_WITH_SEGMENTS)
        end = time.monotonic() + _LONG_MS / 1000
        while not all(one.coloured.any() for one in self.drawn()):
            assert time.monotonic() < end, "no segment is drawn"
            time.sleep(0.5)

    def segments(self) -> list[str]:
        """Names of the segments that were read."""
        read = "services.segmentationService.getSegmentations().flatMap(s => Object.values(s.segments))"
        read += ".map(segment => segment.label)"
        return list(self.page.evaluate(read))

    def messages(self) -> list[str]:
        """What the viewer complains of in the series of the study."""
        read = "services.displaySetService.getActiveDisplaySets().flatMap(d => (d.messages?.messages ?? []))"
        return [str(one) for one in self.page.evaluate(read)]


def _drawn(found) -> Drawn:
    png = base64.b64decode(found["url"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    rows, columns = pixels.shape[:2]
    origin, right, down = (np.array(corner) for corner in found["corners"])
    along = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    below = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    world = origin + along * (right - origin) + below * (down - origin)
    return Drawn(found["name"], pixels, world, (found["voi"]["lower"], found["voi"]["upper"]))
