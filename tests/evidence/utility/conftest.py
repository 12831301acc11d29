"""Folders of samples for several draws of patients, from blobs in a plane."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from medsynth.data.split import SplitPlan


@pytest.fixture(scope="session")
def blob_cases(folders, tmp_path_factory):
    """60 patients, every second of class a."""
    folder = tmp_path_factory.mktemp("blobs") / "cases"
    images, labels = folders.blobs(60, seed=0, shape=(16, 18))
    classes = ["a" if row % 2 else "b" for row in range(60)]
    images = images + 40 * (np.arange(60) % 2)[:, None, None].astype(np.float32)
    return SimpleNamespace(path=folder, preparation=folders.write_cases(folder, images, labels, classes=classes))


@pytest.fixture(scope="session")
def write_draws(folders, blob_cases):
    """Write sample folders FOLDER/0, FOLDER/1, ... of as many draws of N patients; `changes` go into their split."""

    def write(folder, draws=3, patients=12, count=16, labels=True, **changes):
        for draw in range(draws):
            split = SplitPlan(**{"test": 0.25, "patients": patients, "draw": draw, **changes})
            preparation = replace(blob_cases.preparation, split=split)
            images, maps = folders.blobs(count, seed=90 + draw, shape=(16, 18))
            classes = ["a" if row % 2 else "b" for row in range(count)]
            images = images + 40 * (np.arange(count) % 2)[:, None, None].astype(np.float32)
            if not labels:
                preparation = replace(preparation, layout=replace(preparation.layout, label=None))
            checkpoint = f"{draw + 1:064x}"
            folders.write_samples(
                folder / str(draw),
                images,
                maps if labels else None,
                preparation,
                classes=classes,
                checkpoint=checkpoint,
            )
        return folder

    return write
