"""Chromium, headless, as a measuring rule for pages."""

import html
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",
)


class Size(NamedTuple):
    """Pixels that the page takes, and what the window shows across; elements that stick out to the right."""

    wide: int
    window: int
    sticking_out: int


def measure(page: str, width: int, scratch: Path) -> Size:
    """Lay a page out in a frame of `width` pixels; skips where there is no chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    wrapped = scratch / "frame.html"
    wrapped.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe id="f" style="border:0" width="{width}" height="900" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe><pre id="o"></pre><script>onload = () => {{'
        'const d = document.getElementById("f").contentDocument, e = d.documentElement;'
        "const right = n => n.getBoundingClientRect().right;"
        "const out = [...d.body.querySelectorAll('*')].filter(n => right(n) > e.clientWidth + 1);"
        'document.getElementById("o").textContent = `SIZE ${e.scrollWidth} ${e.clientWidth} ${out.length} END`}'
        "</script>",
        encoding="utf-8",
    )
    words = [program, *FLAGS, f"--user-data-dir={scratch / 'profile'}", "--window-size=1400,1000", "--dump-dom"]
    printed = subprocess.run([*words, str(wrapped)], capture_output=True, text=True, timeout=90, check=True).stdout
    found = re.search(r"SIZE (\d+) (\d+) (\d+) END</pre>", printed)
    assert found is not None, "chromium laid nothing out"
    return Size(*(int(part) for part in found.groups()))
