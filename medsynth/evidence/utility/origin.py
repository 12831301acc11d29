"""What a folder's generator has seen: the patients of its row alone, or more?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medsynth.data.preparation import Preparation
from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.models.run import load_run, read_run
from medsynth.records import CaseRecord, SampleRecord


class Origin(NamedTuple):
    """Where a generator comes from. `known`: its run was named; `pretrained`: what it learnt elsewhere, in words."""

    known: bool
    pretrained: tuple[str, ...]


def generator_origin(
    record: SampleRecord, preparation: Preparation, runs: Sequence[Path], cases: Sequence[CaseRecord]
) -> Origin:
    """Follow a generator back through its guide and the runs that it began with.

    Args:
        record: of one of its samples.
        preparation: beside the samples.
        runs: RUN folders; none leaves the origin unknown.
        cases: all records of CASES.

    Raises:
        MedsynthError: the generator's run is not among `runs`, nor one that it began with or was guided by; or one of
            them has seen patients beyond those of the row.
    """
    if not runs:
        return Origin(False, ())
    allowed = _seen(preparation, cases)
    sampler = record.sampler
    how = {"weights": str(sampler.get("weights", "best")), "ema": sampler.get("ema")}
    own = _find(record.checkpoint, runs, how)
    if own is None:
        raise MedsynthError(
            "no run in runs has the weights that made a folder of samples: name its run, so that what it saw is known"
        )
    if Preparation.read(own).sha256 != preparation.sha256:
        raise MedsynthError("a folder of samples has another preparation than the run that made it; generate anew")
    found = _pretrained(own, runs, cases, preparation.cases_sha256, allowed)
    guide = sampler.get("guide")
    if isinstance(guide, str):
        step = sampler.get("guide_step")
        worse = _find(guide, runs, {"weights": "last", "step": step} if step is not None else how | {"ema": None})
        if worse is None:
            raise MedsynthError("samples were made with a guide whose run is not in runs: name it, it saw patients too")
        found += _pretrained(worse, runs, cases, preparation.cases_sha256, allowed)
    return Origin(True, tuple(dict.fromkeys(found)))


def _seen(preparation: Preparation, cases: Sequence[CaseRecord]) -> set[str]:
    return {patient for patient, name in split_patients(cases, preparation.split).items() if name != "test"}


def _find(checkpoint: str, runs: Sequence[Path], how: dict[str, Any]) -> Path | None:
    """The run with these weights."""
    for run in runs:
        try:
            if load_run(run, **how).checkpoint == checkpoint:
                return run
        except MedsynthError:
            continue  # another run, without such weights
    return None


def _pretrained(
    run: Path, runs: Sequence[Path], cases: Sequence[CaseRecord], digest: str, allowed: set[str]
) -> list[str]:
    """What a run and those that it began with learnt from other data; refuses what saw more patients of these."""
    model, info = read_run(run)
    preparation = Preparation.read(run)
    found = []
    if preparation.cases_sha256 != digest:
        found.append(f"a generator trained on other cases ({preparation.cases_sha256[:12]})")
    elif not _seen(preparation, cases) <= allowed:
        raise MedsynthError(
            "a generator, the run that it began with or its guide has seen more patients than the row's: train it "
            "anew, with data.split.patients and data.split.draw and without init_from"
        )
    if model.conditioner.text:
        found.append(f"a text encoder ({str(model.conditioner.text['sha256'])[:12]})")
    parent = info.training.get("init_from")
    if parent is not None:
        earlier = _find(str(parent), runs, {})
        if earlier is None:
            raise MedsynthError(
                "a generator began with another run (init_from) that is not in runs: name it, so that what it saw is "
                "known, or train anew without init_from"
            )
        found += _pretrained(earlier, [one for one in runs if one != run], cases, digest, allowed)
    return found
