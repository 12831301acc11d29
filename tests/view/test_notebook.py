"""In a notebook: the widget where it is installed, else the page in a frame."""

import importlib.util
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import medsynth.view
from medsynth.errors import MedsynthError
from medsynth.view import notebook
from tests.export.conftest import place
from tests.export.test_gate import audited
from tests.view.conftest import write_pairs

RUN = """
import sys, nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(text) for text in sys.argv[1:]]
book = nbformat.v4.new_notebook(cells=cells)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
for cell in book.cells:
    for output in cell.outputs:
        print(output.output_type, *sorted(output.get("data", {})), output.get("text", ""))
"""


@pytest.fixture
def folders(make_samples, make_cases, tmp_path: Path) -> dict[str, Path]:
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    samples = make_samples(tmp_path / "samples", place("oblique"), channels, count=2)
    cases = make_cases(tmp_path / "cases", patients=2)
    audit = audited(samples, tmp_path / "audit", ["pass", "fail"])
    write_pairs(audit, ("s000001", "case001"))
    return {"samples": samples, "audit": audit, "cases": cases}


def test_the_page_in_a_frame(script: Path, folders: dict[str, Path]) -> None:
    frame = medsynth.view.show(**folders, name="s000001", beside="nearest", height=321, how="page")
    try:
        shown = frame._repr_html_()
        assert f'src="{frame.url}"' in shown
        assert 'height="321"' in shown
        assert frame.url.endswith("/#1+3")
        with urllib.request.urlopen(frame.url.partition("#")[0], timeout=10) as answer:
            assert b"medsynth view" in answer.read()
            assert "frame-ancestors http://localhost:*" in answer.headers["Content-Security-Policy"]
    finally:
        frame.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(frame.url.partition("#")[0], timeout=2)
    whole = medsynth.view.show(folders["samples"], how="page")
    assert whole.url.endswith("/")
    whole.close()


def test_without_the_widget_the_page_is_shown(
    script: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(notebook.importlib.util, "find_spec", lambda name: None if name == "ipyniivue" else find(name))
    frame = medsynth.view.show(str(folders["samples"]))
    assert isinstance(frame, notebook.Frame)
    frame.close()
    with pytest.raises(MedsynthError, match=r"pip install 'medsynth\[notebook\]'"):
        medsynth.view.show(folders["samples"], how="widget")


def test_the_widget_holds_the_files_as_they_are(folders: dict[str, Path]) -> None:
    pytest.importorskip("ipyniivue", reason="ipyniivue is not installed (extra notebook)")
    shown = medsynth.view.show(folders["samples"], "s000001", how="widget")
    image, label = shown.volumes
    assert image.data == (folders["samples"] / "volumes" / "000001_image.nii.gz").read_bytes()
    assert label.data == (folders["samples"] / "volumes" / "000001_label.nii.gz").read_bytes()
    assert label.colormap_label.labels[1] == "liver"
    assert list(label.colormap_label.lut[:8]) == [0, 0, 0, 0, 86, 180, 233, 255]
    pair = medsynth.view.show(**folders, name="s000001", beside="nearest")
    assert {child.layout.width for child in pair.children} == {"50%"}
    assert [child.volumes[0].name for child in pair.children] == ["s000001.nii.gz", "case001.nii.gz"]


def test_ids_that_are_not_there_are_said(folders: dict[str, Path]) -> None:
    with pytest.raises(MedsynthError, match="there is no 's9'"):
        medsynth.view.show(folders["samples"], "s9")
    with pytest.raises(MedsynthError, match="no nearest training case of s000000 is known"):
        medsynth.view.show(**folders, beside="nearest")
    with pytest.raises(MedsynthError, match="how is auto"):
        medsynth.view.show(folders["samples"], how="frame")  # type: ignore[arg-type]


def test_cells_run_in_a_kernel(script: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbclient", "ipykernel", "ipyniivue"):
        pytest.importorskip(package, reason=f"{package} is not installed (extras test and notebook)")
    root = str(Path(medsynth.view.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    cells = [
        "from medsynth.view import show",
        f"show({str(folders['samples'])!r})",
        f"show({str(folders['samples'])!r}, how='page')",
    ]
    words = [sys.executable, "-c", RUN, *cells]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    widget, frame = done.stdout.splitlines()
    assert "execute_result application/vnd.jupyter.widget-view+json" in widget
    assert "execute_result text/html" in frame
