"""A region made anew: outside of it the scan's own bits, inside and in the label map what the plan says."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.data.nifti import Stored, read_nifti, read_stored, write_stored
from medsynth.errors import MedsynthError
from medsynth.files import sha256_file
from medsynth.generation.inpainting import Inpainting
from medsynth.generation.plan import EditPlan
from medsynth.generation.rows import rows_of
from medsynth.geometry import Geometry
from medsynth.models.run import load_run
from medsynth.records import write_records
from tests.conftest import oblique_affine
from tests.generation.edited import bits, cases_of, inpaint, make, maker_of

FLIPPED = oblique_affine() @ np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.uint8])
@pytest.mark.parametrize("affine", [oblique_affine(), FLIPPED, np.diag([0.8, 1.1, 3.0, 1])])
def test_outside_of_the_mask_every_stored_bit_stays(trained, make_cases, rewritten, tmp_path, kind, affine):
    """On another grid than the model's: larger, of other spacing, oblique, flipped."""
    shape = (22, 20, 14)
    cases = make_cases(tmp_path / "cases", patients=2, shape=shape, affine=affine, units="arbitrary")
    rng = np.random.default_rng(1)
    noise = {np.int16: rng.integers(-500, 900, shape), np.uint8: rng.integers(0, 255, shape)}
    image = np.asarray(noise.get(kind, rng.normal(3, 7, shape)), kind)
    label, mask = rng.integers(0, 2, shape).astype(np.uint8), np.zeros(shape, bool)
    mask[9:13, 8:12, 5:8] = True
    rewritten(cases, array=lambda _, name: image if name == "image" else label)
    middle = ((9, 8, 5), (12, 11, 7))
    records = make(trained("coarse"), tmp_path / "out", parents=cases, count=2, plan=inpaint(box=middle))
    for record, case in zip(records, cases_of(cases), strict=True):
        before, after = bits(cases, case, "image"), bits(tmp_path / "out", record, "image")
        assert after.array.dtype == before.array.dtype == kind
        assert after.array.tobytes() != before.array.tobytes()
        assert np.array_equal(after.array[~mask].view(np.uint8), before.array[~mask].view(np.uint8))
        assert (after.array[mask] != before.array[mask]).mean() > 0.5
        assert np.array_equal(after.geometry.affine, before.geometry.affine)
        assert record.geometry.is_close(case.geometry, 1e-4)
        map_before, map_after = (bits(*at, "label").array for at in ((cases, case), (tmp_path / "out", record)))
        assert np.array_equal(map_after[~mask], map_before[~mask])


def test_a_scan_that_its_header_scales_keeps_bits_and_scale(trained, make_cases, tmp_path):
    cases = make_cases(tmp_path / "cases", patients=1)
    record = cases_of(cases)[0]
    path = cases / record.channels["image"].path
    old = read_stored(path)
    write_stored(path, Stored(old.array, 0.5, -20.0, old.geometry))
    channel = replace(record.channels["image"], sha256=sha256_file(path))
    write_records(cases / "cases.jsonl", [replace(record, channels={**record.channels, "image": channel})])
    made = make(trained("joint"), tmp_path / "out", parents=cases, count=1, plan=inpaint(slab=(2, 3, 4)))[0]
    after = bits(tmp_path / "out", made, "image")
    assert (after.slope, after.intercept) == (0.5, -20.0)
    assert np.array_equal(np.delete(after.array, (3, 4), 2), np.delete(old.array, (3, 4), 2))
    values = read_nifti(tmp_path / "out" / made.channels["image"].path).array[..., 3:5]
    assert values.min() >= -50
    assert values.max() <= 250


def test_a_picture_is_inpainted_to_the_bit(trained, tmp_path):
    run = trained("pictures")
    cases = run.parent / "cases"
    made = make(run, tmp_path / "out", parents=cases, count=3, plan=inpaint(box=((3, 4), (6, 8))))
    for record, case in zip(made, cases_of(cases), strict=False):
        before, after = bits(cases, case, "image").array, bits(tmp_path / "out", record, "image").array
        assert after.shape == (12, 12)
        changed = after != before
        assert changed[3:7, 4:9].mean() > 0.5
        changed[3:7, 4:9] = False
        assert not changed.any()
        assert record.condition == case.attributes


@pytest.mark.parametrize("kind", ["joint", "pictures"])
def test_what_becomes_of_the_label_map(trained, rewritten, tmp_path, kind):
    """A lesion of the case in the map: made anew inside alone, kept, or given over to the nearest other label."""
    run = trained(kind)
    cases = shutil.copytree(run.parent / "cases", tmp_path / "cases")
    shape = cases_of(cases)[0].geometry.shape
    label = np.zeros(shape, np.uint8)
    label[2:6, 2:6] = 1
    rewritten(cases, array=lambda number, name: label if name == "label" else np.full(shape, 60 + number, np.int16))
    found = {}
    for what in ("new", "keep", "remove"):
        out = tmp_path / what
        record = make(run, out, parents=cases, count=1, plan=inpaint(what, labels=("ball",), grow=0.5))[0]
        found[what] = bits(out, record, "label").array
        image = bits(out, record, "image").array
        assert (image[label > 0] != 60).mean() > 0.5
        assert (image[0] == 60).all()
        assert dict(record.labels) == {0: "background", 1: "ball"}
    assert np.array_equal(found["keep"], label)
    assert (found["remove"] == 0).all()
    assert not np.array_equal(found["new"], label)
    assert np.array_equal(found["new"][0], label[0])


def test_a_removed_label_gives_way_to_the_nearest_in_mm():
    """What is nearer in voxels is farther in millimetres."""
    above = np.zeros((5, 5, 3), np.uint8)
    above[:, :, 0], above[1:4, 1:4, 1], above[..., 2] = 1, 2, 1
    assert Inpainting._without(above, Geometry(above.shape, np.diag([1, 1, 5.0, 1])), [2])[2, 2, 1] == 0
    assert Inpainting._without(above, Geometry(above.shape, np.diag([5, 5, 1.0, 1])), [2])[2, 2, 1] == 1
    with pytest.raises(MedsynthError, match="nothing but the labels"):
        Inpainting._without(np.full((2, 2), 3), Geometry.centred((2, 2), (1, 1)), [3])


def test_what_is_wrong_outside_is_taken_off_just_inside_and_not_where_sampling_starts(trained):
    run = trained("joint")
    parents = maker_of(run, run.parent / "cases", EditPlan(edit="variations")).parents
    model = load_run(run, device="cpu").model
    edit = Inpainting(model, parents, inpaint(slab=(0, 0, 5)), ["case000"]).edit()
    wrong = model.encode(edit.known + 0.5)
    nothing = torch.zeros(1)
    left = (model.decode(edit.denoiser(lambda x, sigma, condition: wrong)(wrong, nothing, None)) - edit.known)[0, 0]
    inside = edit.mask[0, 0].any(dim=2).any(dim=1).nonzero().flatten()
    assert 0 < len(inside) < edit.mask.shape[2]
    edge, deep = int(inside[-1]), int(inside[0])
    assert left[~edit.mask[0, 0]].abs().max() < 1e-5
    assert left[edge].abs().max() < 0.25
    assert left[deep].max() > 0.49
    start, _ = edit.begin(wrong, torch.zeros_like(wrong), torch.tensor([1.0, 0.0]))
    assert (model.decode(start) - edit.known)[edit.mask.expand_as(edit.known)].min() > 0.49


def test_the_record_says_how_the_seam_was_mended_and_samples_mended_otherwise_are_not_gone_on_with(
    trained, tmp_path, monkeypatch
):
    run = trained("pictures")
    settings = {"parents": run.parent / "cases", "count": 1, "plan": inpaint(box=((3, 4), (6, 8)))}
    (record,) = make(run, tmp_path / "out", **settings)
    assert (record.sampler["edit.returns"], record.sampler["edit.returns_below"]) == (1, 1.0)
    assert record.sampler["edit.reach"] == 1.5
    for name, other in (("REACH", 0.0), ("RETURNS_BELOW", 2.0)):
        with monkeypatch.context() as patch:
            patch.setattr(f"medsynth.generation.run.{name}", other)
            with pytest.raises(MedsynthError, match="samples of another run or plan"):
                make(run, tmp_path / "out", **settings)


def test_the_sampler_goes_back_below_one_standard_deviation_of_the_data(trained):
    run = trained("joint")
    parents = maker_of(run, run.parent / "cases", EditPlan(edit="variations")).parents
    model = load_run(run, device="cpu").model
    edit = Inpainting(model, parents, inpaint(slab=(0, 0, 3)), ["case000"]).edit()
    spread, walks = float(model.sigma_data.square().mean().sqrt()), []

    def sampler(denoise, x, sigmas, condition, fresh, on_step):
        walks.append(sigmas.tolist())
        return x

    levels = torch.tensor([3.0, 1.5, 0.99, 0.5, 0.1, 0.003, 0.0019, 0.0], dtype=torch.float64) * spread
    edit.sampler(sampler)(None, torch.zeros(1), levels, None, lambda number: torch.zeros(1))
    once, twice = levels[[0, 1, 2]].tolist(), [levels[[2, 3, 4]].tolist(), levels[[4, 5, 6]].tolist()]
    assert walks == [once, twice[0], twice[0], twice[1], twice[1], levels[[6, 7]].tolist()]


@pytest.mark.parametrize(("what", "known"), [("keep", 1), ("remove", 0)])
def test_a_run_that_makes_the_label_map_knows_the_edited_one(trained, what, known):
    run = trained("joint")
    parents = maker_of(run, run.parent / "cases", EditPlan(edit="variations")).parents
    model = load_run(run, device="cpu").model
    edit = Inpainting(model, parents, inpaint(what, labels=("ball",)), ["case000"]).edit()
    assert model.layout.label.decode(edit.known[0, 1:]).max() == known
    assert not edit.mask[0, 1:].any()
    assert edit.mask[0, 0].any()


def test_a_run_that_is_given_the_label_map_is_told_the_edited_one(trained, tmp_path):
    run = trained("told")
    cases = run.parent / "cases"
    for what, told in (("remove", 0), ("keep", 1)):
        plan = replace(inpaint(what, labels=("ball",)), take=("label",))
        maker = maker_of(run, cases, plan)
        seen = []
        maker.model.network.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs))
        rows = rows_of(maker, None, 1, 0, {})
        ((_, asked, made),) = maker.make(rows, lambda _: None)
        label = maker.model.layout.given.label
        assert label.decode(asked.given.channels[maker.model.layout.given.parts["label"]]).max() == told
        assert made.label.max() == told
        assert asked.given.present.tolist() == [True]


def test_a_label_that_the_last_scan_lacks_stops_before_the_first(trained, rewritten, tmp_path):
    run = trained("joint")
    cases = shutil.copytree(run.parent / "cases", tmp_path / "cases")
    rewritten(cases, record=lambda number, r: replace(r, labels={0: "background"}) if number == 5 else r)
    with pytest.raises(MedsynthError, match=r"case case005: .*there is no label ball"):
        make(run, tmp_path / "out", parents=cases, count=6, plan=inpaint(labels=("ball",)))
    assert not (tmp_path / "out").exists()


def test_a_mask_outside_of_the_field_is_refused_with_numbers(trained, make_cases, tmp_path):
    affine = np.diag([1.5, 1.5, 2, 1])
    cases = make_cases(tmp_path / "cases", patients=1, shape=(30, 8, 8), affine=affine, units="arbitrary")
    with pytest.raises(
        MedsynthError, match=r"case case000: 64 of the mask's 128 voxels lie outside .* 18 x 18 x 24 mm"
    ):
        make(trained("coarse"), tmp_path / "out", parents=cases, count=1, plan=inpaint(slab=(0, 8, 9)))
