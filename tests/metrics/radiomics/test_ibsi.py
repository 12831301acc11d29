"""Every feature on IBSI's digital phantom, to the three digits that IBSI publishes."""

import json
from pathlib import Path

import numpy as np
import pytest

from medsynth.metrics.radiomics.extractor import FEATURES
from medsynth.metrics.radiomics.first_order import histogram, statistics
from medsynth.metrics.radiomics.glcm import cooccurrence, cooccurrence_matrices
from medsynth.metrics.radiomics.glrlm import run_length_matrices, run_lengths
from medsynth.metrics.radiomics.shape import shape

PHANTOM = json.loads((Path(__file__).parent / "ibsi_phantom.json").read_text())
IMAGE, MASK = np.array(PHANTOM["image"]), np.array(PHANTOM["mask"]) == 1
LEVELS = np.where(MASK, IMAGE, 0)  # the phantom's intensities are its grey levels
SLICES = [LEVELS[..., k] for k in range(LEVELS.shape[-1])]


def mean_of(rows):
    return dict(zip(rows[0]._fields, np.mean(rows, axis=0), strict=True))


def texture(family: str, way: str) -> dict[str, float]:
    rank, merging = way.split("_")
    parts = []
    for levels in SLICES if rank == "2D" else [LEVELS]:
        voxels = int((levels > 0).sum())
        matrices = cooccurrence_matrices(levels) if family == "cm" else run_length_matrices(levels)
        for group in [matrices] if merging == "comb" else [m[None] for m in matrices]:
            parts.append(cooccurrence(group) if family == "cm" else run_lengths(group, voxels))
    return mean_of(parts)


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    values = {f"morph_{k}": v for k, v in shape(MASK, IMAGE, PHANTOM["spacing"])._asdict().items()}
    values |= {f"stat_{k}": v for k, v in statistics(IMAGE[MASK])._asdict().items()}
    values |= {f"ih_{k}": v for k, v in histogram(LEVELS[MASK])._asdict().items()}
    for family in ("cm", "rlm"):
        for way in ("3D_comb", "3D_avg", "2D_comb", "2D_avg"):
            values |= {f"{family}_{k}_{way}": v for k, v in texture(family, way).items()}
    return values


@pytest.mark.parametrize("tag", PHANTOM["values"])
def test_the_phantoms_published_digits(tag, found):
    published = float(PHANTOM["values"][tag])
    digit = 10 ** (np.floor(np.log10(abs(published))) - 2)
    assert found[tag] == pytest.approx(published, abs=0.5001 * digit)


def test_every_feature_that_comes_out_has_a_published_digit():
    checked = {tag.removesuffix("_3D_comb") for tag in PHANTOM["values"]}
    assert set(FEATURES) - checked == set()
