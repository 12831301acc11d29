"""Cases of which some lack what others have: every file of tests has its own and may change them."""

import numpy as np
import pytest

from tests.training.mixed import mixed_cases


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return mixed_cases(tmp_path_factory.mktemp("mixed") / "cases", make_cases)


@pytest.fixture(scope="module")
def pictures(make_cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "cases"
    return mixed_cases(folder, make_cases, shape=(8, 8), affine=np.eye(4), units="grey")
