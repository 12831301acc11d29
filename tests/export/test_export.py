"""The verb, and the way back in: what was exported is ingested as what was generated."""

import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from medsynth.cli.main import main
from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError
from medsynth.export.dicom_settings import DicomSettings
from medsynth.export.run import export
from medsynth.identity.check import check
from tests.export.checks import files, off_by
from tests.export.conftest import place
from tests.ingest.sources import cases, run

CHANNELS = {"ct": ("HU", "CT"), "label": ("label", None)}


@pytest.fixture
def samples(make_samples, tmp_path):
    return make_samples(tmp_path / "samples", place("oblique"), CHANNELS, count=2)


def test_our_own_ingest_reads_it_back(samples, tmp_path):
    export(samples, tmp_path / "out", unaudited="i_accept", progress=False)
    report = run(tmp_path / "out" / "dicom", tmp_path / "back", identity="remove")
    assert (report.cases, report.patients, report.refused, report.presumed) == (2, 2, 0, 0)
    matched = 0
    for record in cases(tmp_path / "back"):
        assert record.channels["ct"].units == "HU"
        assert set(record.labels.values()) >= {"liver", "left kidney"}
        image, label = (read_nifti(tmp_path / "back" / record.channels[name].path) for name in ("ct", "label"))
        for index in range(2):
            ours = read_nifti(samples / "volumes" / f"{index:06d}_ct.nii.gz").array
            value, mm = off_by(ours, place("oblique"), image.array, image.geometry)
            matched += value == 0 and mm < 1e-3
        ours = read_nifti(samples / "volumes" / "000000_label.nii.gz").array
        assert off_by((ours > 0).astype(np.uint8), place("oblique"), label.array > 0, label.geometry)[0] == 0
    assert matched == 2


def test_an_export_passes_the_check_and_is_ingested_without_removal(make_samples, tmp_path):
    """The control is the same export with a label that may be somebody's name."""
    plain = {"condition": {"class": "normal"}, "labels": {0: "background", 1: "liver", 4: "left kidney"}}
    for folder, changes in (("plain", plain), ("named", {**plain, "labels": {0: "background", 1: "Ottilie"}})):
        made = make_samples(tmp_path / folder, place("oblique"), CHANNELS, count=2, **changes)
        export(made, tmp_path / f"{folder}_out", unaudited="i_accept", progress=False)
    assert check(tmp_path / "plain_out", text="skip", progress=False).content["findings"] == []
    report = run(tmp_path / "plain_out" / "dicom", tmp_path / "plain_back", identity="check")
    assert (report.cases, report.patients, report.refused, report.presumed) == (2, 2, 0, 0)
    places = {one["place"] for one in check(tmp_path / "named_out", text="skip", progress=False).content["findings"]}
    assert places == {"(0062,0002)>(0062,0005)", "(0062,0002)>(0062,000F)>(0008,0104)"}
    with pytest.raises(MedsynthError):
        run(tmp_path / "named_out" / "dicom", tmp_path / "named_back", identity="check")


def test_the_verb(samples, tmp_path, capsys):
    words = ["export", f"samples={samples}", f"out={tmp_path / 'out'}", "progress=false"]
    assert main(words) == 1
    assert "no audit covers these samples" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    words += ["unaudited=i_accept", "dicom.plane=sagittal", "dicom.modality={ct: MR}", "dicom.date=20200229"]
    assert main(words) == 0
    assert "2 studies" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in files(tmp_path / "out")}
    assert {path.parent.name for path in before} == {"01_MR", "02_SEG"}
    settings = json.loads((tmp_path / "out" / "export.json").read_text())["settings"]
    assert settings == {
        "modality": {"ct": "MR"},
        "plane": "sagittal",
        "compression": "none",
        "date": "20200229",
        "orientation": ["L", "F"],
    }
    next(iter(before)).unlink()
    assert main(words) == 0
    assert {path: path.read_bytes() for path in files(tmp_path / "out")} == before
    assert main([*words[:-1], "dicom.date=20200301"]) == 1


def test_a_refusal_waits_for_no_network_library(samples, tmp_path):
    """Torch and MONAI take seconds, and nothing of DICOM or of samples alone needs them."""
    given = f"['export', 'samples={samples}', 'out={tmp_path / 'out'}', 'progress=false']"
    told = (
        "import sys\nfrom medsynth.cli.main import main\n"
        f"refused, done = main({given}), main([*{given}, 'unaudited=i_accept', 'format=monai'])\n"
        "print(refused, done, sorted({'torch', 'monai', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[-1] == "1 0 []"


@pytest.mark.parametrize("words", [["format=nifti"], ["dicom.plane=tilted"], ["dicom.shape=1"]])
def test_the_verb_refuses_words(samples, tmp_path, words):
    given = ["export", f"samples={samples}", f"out={tmp_path / 'out'}", "unaudited=i_accept"]
    assert main([*given, *words]) in (1, 2)
    assert not (tmp_path / "out").exists()


def test_a_channel_that_is_not_there_is_refused(samples, tmp_path):
    with pytest.raises(MedsynthError, match=r"dicom\.modality names mri; the samples' images are ct"):
        export(
            samples, tmp_path / "out", unaudited="i_accept", dicom=DicomSettings(modality={"mri": "MR"}), progress=False
        )


def test_what_a_gan_made_says_so(make_samples, tmp_path):
    channels = {"image": ("HU", None), "label": ("label", None)}
    samples = make_samples(tmp_path / "s", place("axial", (4, 3, 2)), channels, sampler={"name": "gan"})
    export(samples, tmp_path / "out", unaudited="i_accept", progress=False)
    names = set()
    for path in files(tmp_path / "out"):
        dataset = pydicom.dcmread(path)
        names |= {dataset.ManufacturerModelName, dataset.ContributingEquipmentSequence[0].ManufacturerModelName}
        for segment in dataset.get("SegmentSequence", []):
            names.add(segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName)
    assert names == {"medsynth GAN"}
