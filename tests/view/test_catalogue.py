"""What can be looked at, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from medsynth.data.nifti import write_nifti
from medsynth.errors import MedsynthError, UsageError
from medsynth.files import write_text
from medsynth.geometry import Geometry
from medsynth.view.catalogue import catalogue
from medsynth.view.thumbnails import thumbnail
from tests.export.conftest import place
from tests.export.test_gate import audited
from tests.view.conftest import write_nearest, write_pairs


@pytest.fixture
def samples(make_samples, tmp_path: Path) -> Path:
    channels = {"image": ("HU", "CT"), "label": ("label", None)}
    return make_samples(tmp_path / "samples", place("oblique"), channels, count=3)


@pytest.fixture
def cases(make_cases, tmp_path: Path) -> Path:
    return make_cases(tmp_path / "cases", patients=4)


def test_samples_then_cases_with_what_is_known_of_them(samples: Path, cases: Path, tmp_path: Path) -> None:
    audit = audited(samples, tmp_path / "audit", ["pass", "fail", "cannot-assess"])
    write_pairs(audit, ("s000001", "case002"), ("s000002", "elsewhere"))
    found = catalogue(samples, audit, cases)
    assert [entry.id for entry in found] == [*(f"s00000{n}" for n in range(3)), *(f"case00{n}" for n in range(4))]
    assert [entry.kind for entry in found] == ["synthetic"] * 3 + ["real"] * 4
    assert [entry.verdict for entry in found] == ["pass", "fail", "cannot-assess", "", "", "", ""]
    assert found[0].facts == {"class": "a", "text": "größer \\ als", "seed": "5", "number": "0"}
    assert found[0].filters == {"class": "a", "text": "größer \\ als"}
    assert found[1].nearest is not None
    assert found[found[1].nearest.number].id == "case002"
    assert "found by whole, p 0.013" in found[1].nearest.text.lower()
    assert found[0].nearest is found[2].nearest is None
    told = found[0].to_json(0)
    assert [label["name"] for label in told["labels"]] == ["liver", "left kidney", "odd \\ name"]
    assert [volume["url"] for volume in told["volumes"]] == ["volume/0-0.nii.gz", "volume/0-1.nii.gz"]
    assert json.loads(json.dumps(told)) == told
    assert str(tmp_path) not in json.dumps([entry.to_json(n) for n, entry in enumerate(found)])


def test_every_sample_has_its_nearest_case_and_one_that_was_laid_over_is_told_in_full(
    samples: Path, cases: Path, tmp_path: Path
) -> None:
    audit = audited(samples, tmp_path / "audit", ["pass"] * 3)
    write_nearest(audit, ("s000000", "case001"), ("s000001", "case002"))
    write_pairs(audit, ("s000001", "case003"))
    found = catalogue(samples, audit, cases)
    first, second, third = (entry.nearest for entry in found[:3])
    assert first is not None
    assert second is not None
    assert third is None
    assert (found[first.number].id, first.text) == ("case001", "Found by features, p 0.4.")
    assert found[second.number].id == "case003"
    assert second.text.startswith("Found by whole, p 0.013. Laid over it the correlation is 0.91: shift 1 -2 0 voxels")


def test_without_its_case_or_with_a_broken_list_of_pairs(samples: Path, cases: Path, tmp_path: Path) -> None:
    audit = audited(samples, tmp_path / "audit", ["pass"] * 3)
    write_pairs(audit, ("s000001", "case002"))
    assert all(entry.nearest is None for entry in catalogue(samples, audit))
    for broken in ("{", "[]\n", '{"case": "case001"}\n', '{"case": ["x"], "sample": "s000001"}\n'):
        write_text(audit / "pairs.jsonl", broken)
        with pytest.raises(MedsynthError, match="audit anew"):
            catalogue(samples, audit, cases)


def test_an_audit_of_other_samples_gives_no_verdict(samples: Path, make_samples, tmp_path: Path) -> None:
    other = make_samples(tmp_path / "other", place("axial"), count=3)
    audit = audited(other, tmp_path / "audit", ["pass"] * 3)
    with pytest.raises(MedsynthError, match="other samples"):
        catalogue(samples, audit)


def test_nothing_to_look_at_is_said(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="nothing to look at"):
        catalogue()
    with pytest.raises(UsageError, match="audit is of samples"):
        catalogue(audit=tmp_path, folder=tmp_path / "empty")
    with pytest.raises(MedsynthError, match="no NIfTI"):
        catalogue(folder=tmp_path / "empty")
    for name in ("file", "nowhere"):
        for key in ("samples", "audit", "cases", "folder"):
            given = {"samples": samples, key: tmp_path / name}
            with pytest.raises(MedsynthError, match=f"{key} names no folder: "):
                catalogue(**given)


def test_any_folder(samples: Path, cases: Path, tmp_path: Path) -> None:
    assert [entry.id for entry in catalogue(folder=samples)] == [entry.id for entry in catalogue(samples)]
    assert [entry.id for entry in catalogue(folder=cases)] == [entry.id for entry in catalogue(cases=cases)]
    files = tmp_path / "files"
    for name in ("b/two.nii.gz", "one.nii", ".hidden.nii", "notes.nii.txt"):
        write_nifti(files / name, np.zeros((3, 4, 5), np.int16), Geometry.centred((3, 4, 5), (1, 1, 1)))
    found = catalogue(folder=files)
    assert [entry.id for entry in found] == ["b/two.nii.gz", "one.nii"]
    assert {entry.kind for entry in found} == {"file"}
    assert thumbnail(found[1]).startswith(b"\x89PNG")


def test_a_file_that_changed_or_went_is_not_shown(samples: Path) -> None:
    entry = catalogue(samples)[0]
    path = entry.images[0].place
    before = path.read_bytes()
    path.write_bytes(before + b"x")
    for look in (entry.images[0].read, lambda: thumbnail(entry)):
        with pytest.raises(MedsynthError, match="was changed"):
            look()
    path.unlink()
    for look in (entry.images[0].read, lambda: thumbnail(entry)):
        with pytest.raises(MedsynthError, match=r"missing|cannot be read"):
            look()
    outside = samples.parent / "outside.nii.gz"
    outside.write_bytes(before)
    path.symlink_to(outside)
    with pytest.raises(MedsynthError, match="not inside its folder"):
        entry.images[0].read()
