"""Slices between thick ones: the thick ones keep their bits and their place."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.generation.plan import EditPlan, Row
from medsynth.generation.thin_slices import ThinSlices
from medsynth.models.conditioner import Conditioner
from tests.conftest import oblique_affine
from tests.generation.edited import bits, cases_of, make, maker_of


@pytest.fixture(scope="module")
def thick(trained, make_cases, tmp_path_factory):
    """Scans of 3 thick slices, oblique; with 3 more for each they fit the run."""
    affine = oblique_affine(spacing=(1.0, 1.5, 10.0))
    folder = tmp_path_factory.mktemp("thick")
    make_cases(folder / "arbitrary", patients=1, shape=(8, 8, 3), affine=affine, units="arbitrary")
    return make_cases(folder / "cases", patients=2, shape=(8, 8, 3), affine=affine)


def test_own_slices_stay_and_lie_where_they_lay(trained, thick, tmp_path):
    run, out = trained("joint"), tmp_path / "out"
    records = make(run, out, parents=thick, count=2, plan=EditPlan(edit="thin_slices", factor=4, returns=1))
    for record, case in zip(records, cases_of(thick), strict=True):
        before = bits(thick, case, "image")
        after = bits(out, record, "image")
        assert after.array.shape == record.geometry.shape == (8, 8, 9)
        assert after.array.dtype == before.array.dtype
        assert np.array_equal(after.array[:, :, ::4], before.array)
        between = np.delete(after.array, [0, 4, 8], 2)
        assert len(np.unique(between)) > 20
        assert np.array_equal(bits(out, record, "label").array[:, :, ::4], bits(thick, case, "label").array)
        for k in range(3):
            for corner in ((0, 0), (7, 3)):
                here = after.geometry.affine @ (*corner, 4 * k, 1)
                assert np.allclose(here, case.geometry.affine @ (*corner, k, 1), atol=1e-4)
        assert record.geometry.spacing == pytest.approx((1, 1.5, 2.5), abs=1e-4)


def test_the_sampler_knows_the_own_slices_and_nothing_between(trained, thick):
    run = trained("joint")
    plan = EditPlan(edit="thin_slices", factor=4)
    maker = maker_of(run, thick, plan)
    edit = ThinSlices(maker.model, maker.parents, plan, ["case001"]).edit()
    scan = np.clip(bits(thick, cases_of(thick)[1], "image").array / 150.0 - 2 / 3, -1, 1)
    own = range(2, 11, 4)  # 9 slices in the middle of 12
    assert np.abs(edit.known[0, 0].numpy()[:, :, own] - scan).max() < 1e-5
    assert edit.mask[0, 0].any(0).any(0).nonzero().flatten().tolist() == [3, 4, 5, 7, 8, 9]
    assert edit.mask[0, 1:].all()


def test_thin_slices_that_do_not_fit_are_refused_with_numbers(trained, thick, tmp_path):
    cases = (
        ("joint", EditPlan(edit="thin_slices", factor=8), "larger than the 8x8x12 voxels"),
        ("joint", EditPlan(edit="thin_slices", axis=3), "plan.axis=3 has no slices"),
        ("coarse", EditPlan(edit="thin_slices", factor=2), r"1 x 1.5 x 5 mm, and the run makes 1.5 x 1.5 x 2 mm"),
        ("pictures", EditPlan(edit="thin_slices"), "for volumes"),
        ("told", EditPlan(edit="thin_slices", take=("label",)), "plan.take: label of a scan has thick slices"),
    )
    for number, (kind, plan, says) in enumerate(cases):
        parents = thick.parent / "arbitrary" if kind in ("coarse", "told") else thick
        with pytest.raises(MedsynthError, match=says):
            make(trained(kind), tmp_path / str(number), parents=parents, count=1, plan=plan)
        # What a record tells is told before anything is made.
        assert (tmp_path / str(number)).exists() == ("larger than" in says)


def test_what_a_scans_geometry_tells_is_told_again_but_for_the_spacing_that_thin_slices_change(trained, thick):
    run = trained("joint")
    for edit, known in (
        ("variations", {"class": "a", "spacing_z": pytest.approx(10)}),
        ("thin_slices", {"class": "a"}),
    ):
        maker = maker_of(run, thick, EditPlan(edit=edit))
        conditioner = Conditioner(classes={"class": ("a", "b")}, numbers={"spacing_z": (5, 1)})
        maker = replace(maker, model=SimpleNamespace(conditioner=conditioner))
        row = Row(0, 0, 0, {}, {"parent": "case000"}, 0.5, 0.5, 0.5)
        assert maker.attributes(row, "case000") == known
