"""What a run says of where it comes from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsynth.data.fitting import FittedData
from medsynth.data.preparation import Preparation
from medsynth.data.split import patients_in
from medsynth.errors import MedsynthError, RunError
from medsynth.ingest.clearance import identities
from medsynth.models.run import RunInfo, read_run
from medsynth.models.sample_model import SampleModel
from medsynth.records import CASES_FILE, IDENTITY, CaseRecord, least_cleared, read_records

UNCLEARED = "uncleared=i_accept"
"""The override by which cases are learnt from that no identity gate cleared."""


def require_cleared(cases: Path, *, accepted: bool) -> None:
    """Refuse cases that no identity gate cleared, unless that was accepted.

    Raises:
        MedsynthError: so.
    """
    records = read_records(cases / CASES_FILE, CaseRecord)
    open_ones = sum(identity != "cleared" for identity in identities(cases, records))
    if open_ones and not accepted:
        raise MedsynthError(
            f"{open_ones} of {len(records)} cases were not cleared by the identity gate: ingest them with "
            f"identity=check or identity=remove, or train with {UNCLEARED}, which is recorded in the run and in all "
            "that it makes"
        )


def require_same(out: Path, model: SampleModel, preparation: Preparation, info: RunInfo) -> None:
    """Refuse to go on with a training of other cases, another split, another model or other settings."""
    earlier, its_info = read_run(out)
    same = (
        earlier.layout.to_json() == model.layout.to_json()
        and all(getattr(earlier, part).spec == getattr(model, part).spec for part in ("autoencoder", "network"))
        and earlier.conditioner.same_as(model.conditioner)
        and getattr(earlier, "parametrisation", None) == getattr(model, "parametrisation", None)
        and Preparation.read(out).sha256 == preparation.sha256
        and its_info.cases_sha256 == info.cases_sha256
        and {name: its_info.training.get(name) for name in info.training} == info.to_json()["training"]
    )
    if not same:
        raise MedsynthError(f"{out} holds a training of other cases or with other settings; choose another out")


def run_info(cases: Path, fitted: FittedData, facts: Mapping[str, Any], parent: RunInfo | None) -> RunInfo:
    """What the run says of its origin; a fine-tuned model has seen its parent's patients too."""
    least = least_cleared(identities(cases, fitted.records))
    overrides = set() if least == "cleared" else {f"identity={'trust' if least == 'trusted' else least}", UNCLEARED}
    licences = {record.licence for record in fitted.records if record.licence}
    presumed = any(record.patient_source == "presumed" for record in fitted.records)
    if parent is not None:
        if parent.identity not in IDENTITY:
            raise RunError("init_from: the run does not say how its patients' identity was cleared; it was altered")
        least = least_cleared([least, parent.identity])
        overrides |= set(parent.overrides)
        licences |= set(parent.licences)
        presumed |= parent.patient_keys_presumed
    return RunInfo(
        cases_sha256=fitted.preparation.cases_sha256,
        identity=least,
        overrides=tuple(sorted(overrides)),
        licences=tuple(sorted(licences)),
        patients={str(name): count for name, count in patients_in(fitted.splits).items()},
        patient_keys_presumed=presumed,
        training=facts,
    )
