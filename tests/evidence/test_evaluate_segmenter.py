"""`evaluate` with a segmenter: samples against their own label maps."""

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.evidence.evaluate import evaluate
from medsynth.evidence.reporting.run import report


def test_a_segmenter_judges_samples_by_their_own_maps(folders, tmp_path):
    """Of bodies at many places: a map of another sample does not fit."""

    def placed(count, seed):
        rng = np.random.default_rng(seed)
        images, labels = folders.blobs(count, seed, (24, 20))
        moves = [tuple(rng.integers(-4, 5, 2)) for _ in range(count)]
        return (
            np.stack([np.roll(one, move, (0, 1)) for one, move in zip(part, moves, strict=True)])
            for part in (images, labels)
        )

    preparation = folders.write_cases(tmp_path / "c", *placed(64, 0))
    images, labels = placed(12, 9)
    folders.write_samples(tmp_path / "s", images, np.roll(labels, 1, 0), preparation)

    def once():
        return evaluate(
            tmp_path / "s", tmp_path / "c", tmp_path / "o", permutations=9, splits=20, progress=False, segmenter=120
        )

    found = once()
    section = found.content["segmenter"]
    assert {line["verdict"] for line in section["lines"]} == {"missed"}
    assert found.verdict == "missed"
    assert [line["subject"] for line in section["lines"]] == ["front", "back"]
    assert next(line for line in found.lines() if line["check"].startswith("Dice"))["channel"] == "all"
    assert section["settings"]["steps"] == found.content["settings"]["segmenter"] == 120
    assert section["training_patients"] + section["real_patients"] == 64
    assert "Dice of a segmenter, ratio to reals front" in found.summary
    assert section["sha256"] in found.page.read_text()
    page = report(tmp_path / "o", tmp_path / "r", reals="show").page.read_text()
    assert "A network that learnt the marked structures from real scans" in page
    assert "Dice of a segmenter, ratio to reals, front" in page
    everything = found.lines()
    wrong = sum(line["verdict"] == "missed" for line in everything)
    assert f"{wrong} of {len(everything)} checks tell the synthetic scans from the real ones" in page
    assert "This version has no plain words" not in page
    (kept,) = (tmp_path / "o").glob("segmenter-*.ckpt")
    first, when = found.json.read_bytes(), kept.stat().st_mtime_ns
    assert once().json.read_bytes() == first
    assert kept.stat().st_mtime_ns == when


def test_a_segmenter_needs_label_maps(folders, tmp_path):
    images = folders.blobs(40, 0, (24, 20))[0]
    preparation = folders.write_cases(tmp_path / "c", images, None)
    folders.write_samples(tmp_path / "s", images[:10], None, preparation)
    with pytest.raises(MedsynthError, match="hold no label map"):
        evaluate(tmp_path / "s", tmp_path / "c", tmp_path / "o", splits=20, progress=False, segmenter=5)
