import numpy as np
import pytest

from medsynth.data.phantom import make_scan, rotation
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.metrics.torso import Finding, torso_findings, training_ranges

GRID = {"shape": (32, 32, 24), "spacing": (12.0, 12.0, 16.0)}


@pytest.fixture(scope="module")
def cases():
    return [make_scan(p, s, **GRID) for p in range(16) for s in range(2)]


@pytest.fixture(scope="module")
def geometry(cases) -> Geometry:
    return cases[0].geometry


@pytest.fixture(scope="module")
def ranges(cases, geometry):
    return training_ranges([(c.ct, c.label) for c in cases], geometry)


def wrong(ct, label, geometry, ranges, **settings) -> set[str]:
    return {finding.name for finding in torso_findings(ct, label, geometry, ranges, **settings) if not finding.fine}


def test_ranges_are_the_extremes_of_volume_and_mean(cases, geometry, ranges) -> None:
    millilitres = [(c.label == 3).sum() * 12 * 12 * 16 / 1000 for c in cases]
    means = [c.ct[c.label == 3].astype(np.float64).mean() for c in cases]
    assert ranges["liver"].volume == pytest.approx((min(millilitres), max(millilitres)))
    assert ranges["liver"].hu == pytest.approx((min(means), max(means)))
    assert set(ranges) == {"body", "lungs", "liver", "spine", "heart"}


def test_training_cases_and_new_patients_are_torsos(cases, geometry, ranges) -> None:
    for case in cases:
        assert wrong(case.ct, case.label, geometry, ranges, volume_factor=1.0, hu_margin=0.0) == set()
    new = [make_scan(p, 0, **GRID) for p in range(200, 212)]
    assert sum(not wrong(c.ct, c.label, geometry, ranges) for c in new) >= 11


@pytest.mark.parametrize(("organ", "value"), [("lungs", 2), ("liver", 3), ("spine", 4), ("heart", 5)])
def test_a_missing_organ_is_found(cases, geometry, ranges, organ: str, value: int) -> None:
    label = np.where(cases[0].label == value, 1, cases[0].label)
    found = wrong(cases[0].ct, label, geometry, ranges)
    assert {f"{organ} volume", f"{organ} HU"} <= found


def test_wrong_hu_and_wrong_size_are_found(cases, geometry, ranges) -> None:
    case = cases[0]
    assert wrong(np.where(case.label == 3, case.ct + 90, case.ct), case.label, geometry, ranges) == {"liver HU"}
    wide = Geometry.centred(geometry.shape, (19.0, 12.0, 26.0))
    assert {"body volume", "lungs volume", "spine volume"} <= wrong(case.ct, case.label, wide, ranges)


def test_a_mirrored_volume_is_found_by_the_affine_alone(cases, geometry, ranges) -> None:
    case = cases[0]
    assert wrong(case.ct[::-1], case.label[::-1], geometry, ranges) == {"liver to the right"}
    flip = Geometry.centred(geometry.shape, geometry.spacing, np.diag([-1.0, 1.0, 1.0]))
    assert wrong(case.ct[::-1], case.label[::-1], flip, ranges) == set()
    assert wrong(case.ct, case.label, flip, ranges) == {"liver to the right"}


def test_back_to_front_and_upside_down_are_found(cases, geometry, ranges) -> None:
    case = cases[0]
    assert "spine behind" in wrong(case.ct[:, ::-1], case.label[:, ::-1], geometry, ranges)
    assert "lungs above liver" in wrong(case.ct[:, :, ::-1], case.label[:, :, ::-1], geometry, ranges)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_of_the_array_axes_does_not_matter(cases, geometry, ranges, order) -> None:
    case = cases[1]
    label = case.label.copy()
    label[16:, 14:18, 12:][label[16:, 14:18, 12:] == 1] = 0  # opens the chest to one side
    turned = Geometry.centred(
        [geometry.shape[a] for a in order], [geometry.spacing[a] for a in order], np.eye(3)[:, list(order)]
    )
    straight = torso_findings(case.ct, label, geometry, ranges)
    moved = torso_findings(case.ct.transpose(order), label.transpose(order), turned, ranges)
    np.testing.assert_allclose([f.value for f in moved], [f.value for f in straight], rtol=1e-5, atol=1e-4)


def test_an_oblique_grid_finds_the_same_torso(ranges) -> None:
    oblique = make_scan(2, 0, direction=rotation(np.radians(12), np.radians(8)), **GRID)
    assert wrong(oblique.ct, oblique.label, oblique.geometry, ranges) <= {"body volume"}


def test_lungs_outside_the_body_are_found(cases, geometry, ranges) -> None:
    label = cases[0].label.copy()
    lungs = label == 2
    label[lungs] = 1
    label[np.roll(lungs, 6, axis=0)] = 2
    found = wrong(cases[0].ct, label, geometry, ranges)
    assert {"lungs enclosed", "lungs exposed"} <= found


def test_a_hole_in_the_chest_wall_is_found(cases, geometry, ranges) -> None:
    case = cases[0]
    assert not {"lungs enclosed", "lungs exposed"} & wrong(case.ct, case.label, geometry, ranges)
    label = case.label.copy()
    label[16:, 14:18][label[16:, 14:18] == 1] = 0
    assert "lungs enclosed" in wrong(case.ct, label, geometry, ranges)


def test_nan_is_never_fine() -> None:
    assert not Finding("x", float("nan"), -np.inf, np.inf).fine
    assert Finding("x", 1.0, 1.0, 1.0).fine


def test_ranges_need_whole_cases(cases, geometry) -> None:
    with pytest.raises(MedsynthError, match="at least one"):
        training_ranges([], geometry)
    with pytest.raises(MedsynthError, match="1 of 1 training cases have no liver"):
        training_ranges([(cases[0].ct, np.where(cases[0].label == 3, 1, cases[0].label))], geometry)
