"""Exported folders and a list of destinations; an Orthanc for all that only need one."""

import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medsynth.export.dicom_settings import DicomSettings
from medsynth.export.run import export
from medsynth.export.sending.destinations import Pace, destination
from medsynth.export.sending.run import send
from medsynth.identity.export_names import EXPORT_FILE
from tests.export.conftest import place
from tests.export.sending.archives import orthanc

VOLUMES = {"ct": ("HU", "CT"), "mr": ("arbitrary", None), "label": ("label", None)}
QUICK = {"timeout": 5, "wait": 0.05, "attempts": 3}


@pytest.fixture(scope="module")
def collected():
    """What a failed connection leaves is told here, and in no other module's tests."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def exports(make_samples, tmp_path_factory):
    """What is sent: "volumes" (CT, MR, SEG), "compressed" (CT in JPEG-LS), "picture" (DX)."""
    folder = tmp_path_factory.mktemp("exports")
    volumes = make_samples(folder / "samples", place("oblique", (8, 6, 4)), VOLUMES)
    one = make_samples(folder / "one", place("axial", (8, 6, 3)), {"ct": ("HU", "CT"), "label": ("label", None)})
    picture = make_samples(folder / "picture_samples", place("axial", (9, 8, 1)), {"image": ("grey", None)})
    made = {
        "volumes": (volumes, DicomSettings()),
        "compressed": (one, DicomSettings(compression="jpeg-ls")),
        "picture": (picture, DicomSettings(modality={"image": "DX"})),
    }
    for name, (samples, settings) in made.items():
        export(samples, folder / name, unaudited="i_accept", dicom=settings, progress=False)
    return folder


@pytest.fixture
def exported(exports, tmp_path):
    """A folder of its own, with nothing sent yet."""

    def copied(name="volumes") -> Path:
        return Path(shutil.copytree(exports / name, tmp_path / name))

    return copied


@pytest.fixture
def listed(tmp_path):
    """A list with one destination, and that."""

    def write(**keys):
        entry = {"kind": "dimse", "host": "127.0.0.1", "called": "ORTHANC", **QUICK, **keys}
        if "url" in keys:
            entry = {key: entry[key] for key in entry if key not in ("host", "called")} | {"kind": "dicomweb"}
        (tmp_path / "pacs.yaml").write_text(yaml.safe_dump({"archive": entry}))
        return destination("archive", tmp_path / "pacs.yaml")

    return write


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def server(running):
    """An empty Orthanc that lets everybody in."""
    running.clear()
    return running


@pytest.fixture
def either(server, listed):
    """The same Orthanc by either protocol, perhaps through a proxy."""

    def at(kind: str, dicom=None, http=None):
        if kind == "dimse":
            return listed(port=dicom or server.dicom)
        return listed(url=f"http://127.0.0.1:{http or server.http}/dicom-web")

    return at


def objects(out: Path) -> list[dict]:
    studies = json.loads((out / EXPORT_FILE).read_text())["studies"]
    return [one for study in studies for series in study["series"] for one in series["objects"]]


def sent(out: Path, to, **pace):
    to = replace(to, pace=Pace(**{"connections": 2, **QUICK, **pace}))
    return send(out, EXPORT_FILE, to, "send", progress=False)


def journal(out: Path) -> dict:
    return json.loads((out / "sent.json").read_text())
