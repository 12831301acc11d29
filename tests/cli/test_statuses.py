"""The exit status is 2 where the words and the configuration alone show the mistake, else 1."""

from pathlib import Path

import pytest

from medsynth.cli.main import main


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["nope"], 2),
        (["train", "--nope"], 2),
        (["train", "nope=1"], 2),
        (["generate", "run=RUN", "out=OUT", "sampler=eiler"], 2),
        (["ingest", "source=SCANS", "identity=trust"], 2),
        (["ingest", "source=SCANS", "out=OUT", "out=OUT", "identity=trust"], 2),
        (["ingest", "source=SCANS", "out=", "identity=trust"], 2),
        (["generate", "run=RUN", "out=OUT", "count=many"], 2),
        (["generate", "run=RUN", "out=OUT", "sampler.guidance=nan"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=no"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust", "labels={a: b}"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust", "layout=x"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust", "modality=ct"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust", "patient_pattern=("], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust", "workers=0"], 2),
        (["ingest", "source=SCANS", "out=OUT", "identity=trust"], 1),
        (["generate", "run=RUN", "out=OUT", "sampler.steps=0"], 1),
        (["generate", "run=RUN", "out=OUT"], 1),
        (["evaluate", "samples=SAMPLES", "cases=CASES", "out=OUT"], 1),
    ],
)
def test_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "keys" / "key"))
    if words[0] == "ingest" and status == 2:
        (tmp_path / "SCANS").mkdir()
        (tmp_path / "SCANS" / "a.nii").touch()
    assert main(words) == status


def test_the_reference_says_so() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "exit-status.md").read_text()
    two, one = text.index("**2** is told by the words"), text.index("**1** is all the rest")
    assert two < text.index("`sampler=eiler`") < text.index("`patient_pattern`") < one
    assert one < text.index("`sampler.steps=0`")
