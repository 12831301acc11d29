"""Which attributes can be learnt as classes and numbers, by the cases' records alone."""

import numpy as np
import pytest

from medsynth.data.conditions import require_conditions
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel

VOLUMES = Resampling(orientation="RAS", spacing=None, size=(8, 8, 8))
SLICES = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane="axial"))


def cases(values, name="age", spacing=lambda number: 1.0):
    channel = Channel(path="x.nii.gz", kind="image", units="HU", sha256="a" * 64)
    return [
        CaseRecord(
            id=f"case{number}",
            patient=f"patient{number}",
            patient_source="dicom",
            identity="trusted",
            channels={"image": channel},
            geometry=Geometry((8, 8, 8), np.diag([1.0, 1.0, spacing(number), 1.0])),
            attributes={name: value},
        )
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_of_many_values_are_no_classes(as_text):
    ages = [str(age) if as_text else age for age in range(40, 62)]
    require_conditions(cases(ages), [], ["age"], VOLUMES)
    require_conditions(cases(ages[:20]), ["age"], [], VOLUMES)  # a grade, a scanner
    with pytest.raises(MedsynthError, match=r"data\.conditions: age is a number of more than 20 values.*data\.numbers"):
        require_conditions(cases(ages[:21]), ["age"], [], VOLUMES)
    require_conditions(cases([f"site {age}" for age in ages]), ["age"], [], VOLUMES)
    require_conditions(cases([*ages[:21], "unknown"]), ["age"], [], VOLUMES)
    require_conditions(cases([*ages[:20], None]), ["age"], [], VOLUMES)


def test_voxel_sizes_are_classes_where_they_are_few():
    require_conditions(cases(["x"] * 30, spacing=lambda number: 1.0 + number % 3), ["spacing_z"], [], VOLUMES)
    with pytest.raises(MedsynthError, match=r"data\.conditions: spacing_z is a number"):
        require_conditions(cases(["x"] * 30, spacing=lambda number: 1.0 + number / 10), ["spacing_z"], [], VOLUMES)


def test_the_place_of_a_slice_is_a_number_of_slices():
    found = cases(["x", "y"])
    require_conditions(found, [], ["slice_position"], SLICES)
    for names in ((["slice_position"], []), ([], ["slice_position"])):
        with pytest.raises(MedsynthError, match=r"no slices are cut: set data\.resampling\.slices"):
            require_conditions(found, *names, VOLUMES)
    with pytest.raises(MedsynthError, match=r"data\.conditions: slice_position is a number"):
        require_conditions(found, ["slice_position"], [], SLICES)
    own = cases([0.1, 0.2], name="slice_position")  # an attribute of the cases goes first
    require_conditions(own, [], ["slice_position"], VOLUMES)
    require_conditions(own, ["slice_position"], [], VOLUMES)


def test_what_no_case_has_is_refused_with_what_they_have():
    with pytest.raises(MedsynthError, match=r"no training case has the attribute weight: .*; known: age"):
        require_conditions(cases([40, 50]), [], ["weight"], VOLUMES)
    with pytest.raises(MedsynthError, match="known: none"):
        require_conditions(cases([None]), ["age"], [], VOLUMES)
