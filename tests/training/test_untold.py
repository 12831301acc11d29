"""What no training can be told: refused in one line that says why."""

from dataclasses import replace

import pytest

from medsynth.data.texts import TextPlan
from medsynth.errors import MedsynthError
from medsynth.generation.run import generate
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, read_records, write_records
from medsynth.training.plan import GivenPlan
from tests.small import WINDOW
from tests.training.mixed import PET, mixed_data, run
from tests.words import Letters

STEPS = SamplingPlan(steps=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"given": GivenPlan(label="mask")}, "no training case has the channel mask: set data.given"),
        ({"given": GivenPlan(images=(replace(PET, name="mr"),))}, "no training case has the channel mr"),
        ({"given": GivenPlan(label="pet")}, "pet is no label in some cases"),
        ({"given": GivenPlan(images=(replace(PET, name="label"),))}, "label is no image in some cases"),
        ({"text": TextPlan(of="story")}, "data.text.of=story: no case says anything"),
        ({"text": TextPlan()}, None),
        ({"numbers": ("spacing_z",)}, "spacing_z is a number in .* must differ"),
        (
            {"numbers": ("slice_position",)},
            "slice_position is the place of a slice .* no slices are cut",
        ),
    ],
)
def test_what_no_case_can_tell_is_refused(cases, tmp_path, changes, said):
    if said is None:
        with pytest.raises(MedsynthError, match="text_encoder: nothing is said of the cases"):
            run(cases, tmp_path / "out", mixed_data(**changes), text_encoder=Letters())
        return
    with pytest.raises(MedsynthError, match=said):
        run(cases, tmp_path / "out", mixed_data(**changes))


def test_words_need_an_encoder(cases, tmp_path):
    with pytest.raises(MedsynthError, match=r"data\.text needs an encoder"):
        run(cases, tmp_path / "out", mixed_data(), text_encoder=None)


def test_a_made_and_given_label_or_an_image_twice_is_refused():
    with pytest.raises(MedsynthError, match="either made or given"):
        mixed_data(label="label")
    with pytest.raises(MedsynthError, match="name one channel twice"):
        mixed_data(given=GivenPlan(images=(WINDOW,)))


def test_voxel_sizes_that_differ_by_rounding_are_one(make_cases, tmp_path):
    """A NIfTI holds float32: 0.7 mm is not 0.7 to the last bit."""
    cases = make_cases(tmp_path / "cases", patients=10)
    records = read_records(cases / "cases.jsonl", CaseRecord)
    rounded = []
    for number, record in enumerate(records):
        affine = record.geometry.affine.copy()
        affine[:3, :3] *= 1 + 1e-7 * number
        rounded.append(replace(record, geometry=record.geometry.__class__(record.geometry.shape, affine)))
    write_records(cases / "cases.jsonl", rounded)
    plain = {"given": GivenPlan(), "style": False, "text": TextPlan(), "conditions": ()}
    with pytest.raises(MedsynthError, match=r"spacing_y is a number in \d training patients and must differ"):
        run(cases, tmp_path / "out", mixed_data(numbers=("spacing_y",), **plain))


def test_spacings_that_differ_are_learnt(make_cases, tmp_path):
    thick = make_cases(tmp_path / "cases", patients=10)
    records = read_records(thick / "cases.jsonl", CaseRecord)
    own = [replace(r, attributes={**r.attributes, "spacing_z": 2.0 + n}) for n, r in enumerate(records)]
    write_records(thick / "cases.jsonl", own)
    plain = {"given": GivenPlan(), "style": False, "text": TextPlan(), "conditions": ()}
    run(thick, tmp_path / "run", mixed_data(numbers=("spacing_z",), **plain))
    mean, std = load_run(tmp_path / "run").model.conditioner.numbers["spacing_z"]
    assert 4 < mean < 9
    assert std > 1
    generate(tmp_path / "run", tmp_path / "out", count=1, condition={"spacing_z": 5}, sampler=STEPS, progress=False)
