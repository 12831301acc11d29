"""Broken and ill-meaning files of one fixed seed; `benchmarks/mutated_files.py` is the long run of the same."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def mutated_files(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import mutated_files

    return mutated_files


def test_no_broken_file_crashes_hangs_raises_or_loses_voxels(mutated_files):
    seeds = [*mutated_files.shipped_dicom(), *mutated_files.shipped_nifti()]
    found = mutated_files.run(seeds, range(150), seed=0)
    kinds = [result.kind for *_, result in found]
    assert [(one.name, change, result) for one, change, result in found if result.kind in mutated_files.FAULTS] == []
    assert min(kinds.count(kind) for kind in ("same", "changed", "refused")) >= 10


def test_the_harness_sees_each_fault(mutated_files):
    seen = mutated_files.controls(list(mutated_files.shipped_nifti()), seconds=1.0)
    assert seen == dict.fromkeys(mutated_files.CONTROLS, (2, 2))


def test_a_file_that_is_shorter_than_it_says_is_known_without_the_reader(mutated_files, tmp_path):
    (seed,) = [seed for seed in mutated_files.shipped_nifti() if seed.name == "shipped int16"]
    path = tmp_path / "x.nii"
    path.write_bytes(seed.files[".nii"][:-2])
    asked = mutated_files.stated(path, "nifti", None)
    assert asked.there == asked.voxels - 1
    array = np.zeros((64, 64, 4))
    assert mutated_files.same_as_whole(array, array + np.arange(4), 0)[0] == "truncated"
