"""What generators saw: real runs of a moment, fine-tuned, guided, and begun elsewhere."""

from dataclasses import replace

import pytest

from medsynth.data.preparation import Preparation
from medsynth.data.split import SplitPlan
from medsynth.errors import MedsynthError
from medsynth.evidence.utility.origin import generator_origin
from medsynth.generation.run import generate
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records
from medsynth.training.plan import Schedule
from tests.small import small_data, train_small

SCHEDULE = Schedule(steps=2, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=0)
PART = SplitPlan(validation=0.25, test=0.2, patients=4)
WHOLE = SplitPlan(validation=0.25, test=0.2)


@pytest.fixture(scope="module")
def world(make_cases, tmp_path_factory):
    """Cases, a run of 4 patients, one of other cases, and runs that begin with another."""
    folder = tmp_path_factory.mktemp("origin")
    cases, others = make_cases(folder / "cases", patients=8), make_cases(folder / "others", patients=7)

    def train(name, source=cases, split=PART, **settings):
        train_small(source, folder / name, small_data(split=split), SCHEDULE, **settings)
        return folder / name

    train("own")
    train("tuned", init_from=folder / "own", seed=1)
    train("foreign", others, WHOLE)
    train("pretrained", init_from=folder / "foreign", seed=2)
    return folder, read_records(cases / "cases.jsonl", CaseRecord)


def origin(world, run, *known, guide=None):
    folder, cases = world
    out = folder / f"samples-{run}-{guide}"
    if not (out / "samples.jsonl").exists():
        plan = SamplingPlan(name="heun", steps=2, guidance=2.0 if guide else 1.0)
        generate(
            folder / run,
            out,
            count=1,
            sampler=plan,
            guide=folder / guide if guide else None,
            device="cpu",
            progress=False,
        )
    (record,) = read_records(out / "samples.jsonl", SampleRecord)
    return generator_origin(record, Preparation.read(out), [folder / one for one in known], cases)


def test_a_run_of_its_own_patients_is_known_and_none_is_unknown(world):
    assert origin(world, "own", "tuned", "own") == (True, ())
    assert origin(world, "own") == (False, ())


def test_a_run_that_is_not_named_is_refused(world):
    with pytest.raises(MedsynthError, match="no run in runs has the weights"):
        origin(world, "own", "tuned")
    with pytest.raises(MedsynthError, match=r"init_from.*not in runs"):
        origin(world, "tuned", "tuned")
    with pytest.raises(MedsynthError, match="guide whose run is not in runs"):
        origin(world, "own", "own", guide="tuned")


def test_what_began_with_the_same_patients_is_fine_and_what_was_learnt_elsewhere_is_named(world):
    assert origin(world, "tuned", "tuned", "own") == (True, ())
    found = origin(world, "pretrained", "pretrained", "foreign")
    assert found.known
    assert len(found.pretrained) == 1
    assert "other cases" in found.pretrained[0]


def test_a_beginning_that_saw_more_patients_is_refused(world):
    """`train` and `generate` refuse to make such runs and samples; a run that was altered may still say so."""
    folder, _ = world
    origin(world, "tuned", "tuned", "own")
    kept = (folder / "own" / "preparation.json").read_bytes()
    replace(Preparation.read(folder / "own"), split=WHOLE).write(folder / "own")
    try:
        with pytest.raises(MedsynthError, match="has seen more patients"):
            origin(world, "tuned", "tuned", "own")
        with pytest.raises(MedsynthError, match="another preparation than the run"):
            origin(world, "own", "own")
    finally:
        (folder / "own" / "preparation.json").write_bytes(kept)
