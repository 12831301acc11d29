"""What a run says of where it comes from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsynth.data.fitting import FittedData
from medsynth.data.preparation import Preparation
from medsynth.data.split import patients_in
from medsynth.errors import MedsynthError, RunError
from medsynth.models.model import DiffusionModel
from medsynth.models.run import RunInfo, read_run
from medsynth.records import IDENTITY, least_cleared


def require_same(out: Path, model: DiffusionModel, preparation: Preparation, info: RunInfo) -> None:
    """Refuse to go on with a training of other cases, another split, another model or other settings."""
    earlier, its_info = read_run(out)
    same = (
        earlier.layout.to_json() == model.layout.to_json()
        and all(getattr(earlier, part).spec == getattr(model, part).spec for part in ("autoencoder", "network"))
        and earlier.conditioner.same_as(model.conditioner)
        and earlier.parametrisation == model.parametrisation
        and Preparation.read(out).sha256 == preparation.sha256
        and its_info.cases_sha256 == info.cases_sha256
        and {name: its_info.training.get(name) for name in info.training} == info.to_json()["training"]
    )
    if not same:
        raise MedsynthError(f"{out} holds a training of other cases or with other settings; choose another out")


def run_info(fitted: FittedData, facts: Mapping[str, Any], parent: RunInfo | None) -> RunInfo:
    """What the run says of its origin; a fine-tuned model has seen its parent's patients too."""
    least = least_cleared(record.identity for record in fitted.records)
    overrides = set() if least == "cleared" else {f"identity={'trust' if least == 'trusted' else least}"}
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
