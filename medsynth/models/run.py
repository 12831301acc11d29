"""The run folder: what a trained model is, written so that another site can use it safely.

    RUN/run.json              what the model is made of, where it comes from; plain JSON
    RUN/preparation.json      how cases were brought to the form of a sample
    RUN/weights/best.ckpt     averaged weights with the lowest validation loss
    RUN/weights/last.ckpt     averaged weights of the last validation
    RUN/weights/averages/     snapshots, from which averages of other widths are made
    RUN/checkpoints/          full training states, to resume from

A run may come from anywhere, so it is read as untrusted input: only the classes listed
here are made, and weights are read as tensors alone.
"""

import functools
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from medsynth.errors import MedsynthError, RunError
from medsynth.files import sha256_file, sha256_json, write_json
from medsynth.models.averages import load_average, load_snapshot, snapshot_path, snapshots_sha256
from medsynth.models.conditioner import Conditioner
from medsynth.models.embedding import LateEmbedder
from medsynth.models.gan import GanModel
from medsynth.models.layout import Layout
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sample_model import SampleModel, told_widths
from medsynth.models.sealed import read_sealed, write_sealed
from medsynth.models.style import style_width
from medsynth.nets.generator import Generator

RUN_FILE = "run.json"
WEIGHTS = ("best", "last")
_SCHEMA = "medsynth.run/5"
_READ = ("medsynth.run/4", _SCHEMA)
"""What is read: /4 lacked the units of given images, and is the same where no image is given."""
ALLOWED_TARGETS = frozenset(
    {
        "medsynth.models.conditioner.Conditioner",
        "medsynth.nets.autoencoders.Haar",
        "medsynth.nets.autoencoders.Identity",
        "medsynth.nets.controlled.Controlled",
        "medsynth.nets.generator.Generator",
        "medsynth.nets.text.CachedHuggingFace",
        "medsynth.nets.text.MiniLM",
        "medsynth.nets.unet.UNet",
    }
)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Where a model comes from; names no patient and no path.

    Args:
        cases_sha256: of the cases it was trained on.
        identity: the least clearance among them: "cleared", "trusted" or "unknown".
        overrides: every gate passed by an override, by name; carried into all samples.
        licences: under which the cases came.
        patients: number of patients by split.
        patient_keys_presumed: whether some patient keys were guessed.
        training: settings that matter for a repetition (seed, steps, versions, threads, ...).
    """

    cases_sha256: str
    identity: str
    overrides: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    patients: Mapping[str, int] = field(default_factory=dict)
    patient_keys_presumed: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(json.dumps({**vars(self), "patients": dict(self.patients), "training": dict(self.training)}))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back; unknown fields are refused (TypeError)."""
        values = dict(content)
        for name in ("overrides", "licences"):
            values[name] = tuple(values[name])
        return cls(**values)


def build(spec: Mapping[str, Any], allow: Sequence[str] = ()) -> Any:
    """Make the object that a spec names, if its name is on the allow-list.

    Raises:
        RunError: a name off the list, or arguments that do not fit.
    """
    values = dict(spec) if isinstance(spec, Mapping) else {}
    target = values.pop("_target_", None)
    if not isinstance(target, str) or (target not in ALLOWED_TARGETS and target not in allow):
        named = target if isinstance(target, str) and target.isprintable() else "a part"
        raise RunError(
            f"the run names {named}, which is not on "
            "medsynth's allow-list and is not loaded; if you trust its source, name it in load_run(..., allow=[...])"
        )
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)(**values)
    except (ImportError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError):
        raise RunError(
            f"the run's {target} cannot be made: its settings were altered, or another version of medsynth wrote it"
        ) from None
    except RunError:
        raise
    except MedsynthError as error:
        raise RunError(f"the run's {target} cannot be made: {error}") from None


def save_run(folder: Path, model: SampleModel, info: RunInfo) -> None:
    """Write run.json; a GAN has no parametrisation."""
    content = {
        "schema": _SCHEMA,
        "layout": model.layout.to_json(),
        "autoencoder": model.autoencoder.spec,
        "network": model.network.spec,
        "conditioner": model.conditioner.spec,
        "augmentation": model.augmentation,
        "parametrisation": model.parametrisation.to_json() if isinstance(model, DiffusionModel) else None,
        "info": info.to_json(),
    }
    write_json(folder / RUN_FILE, content)


def save_weights(folder: Path, name: str, model: SampleModel, facts: Mapping[str, float | int]) -> str:
    """Write RUN/weights/`name`.ckpt with a few numbers about it (step, loss); returns its digest."""
    return write_sealed(folder / "weights" / f"{name}.ckpt", {"model": model.state_dict(), "facts": dict(facts)})


@dataclass(frozen=True)
class Run:
    """A loaded run: `sample` makes volumes, `model` is the rest.

    Args:
        model: with the chosen weights, in evaluation mode.
        info: where it comes from.
        checkpoint: SHA-256 of the weights; of an untrained model those it was measured with (`last`);
            of an average of another width, of its snapshots too; of a snapshot, of it too.
        facts: numbers about the weights (step, validation loss).
    """

    model: SampleModel
    info: RunInfo
    checkpoint: str
    facts: Mapping[str, float | int]

    def sample(self, count: int, **settings: Any) -> Any:
        """See DiffusionModel.sample."""
        return self.model.sample(count, **settings)


def read_run(folder: Path, allow: Sequence[str] = ()) -> tuple[SampleModel, RunInfo]:
    """The run's model without trained weights, and its facts.

    Raises:
        RunError: no run, another version, a part off the allow-list.
    """
    try:
        content = json.loads((folder / RUN_FILE).read_text())
    except FileNotFoundError:
        raise RunError(f"{folder} holds no {RUN_FILE}: is it a folder that `medsynth train` made?") from None
    except (OSError, ValueError):
        raise RunError(f"{RUN_FILE} of the run is cut short or no JSON; copy the run again, or train anew") from None
    try:
        if content["schema"] not in _READ:
            raise KeyError
        parts = {
            name: content[name]
            for name in ("layout", "autoencoder", "network", "conditioner", "augmentation", "parametrisation", "info")
        }
        if len(content) != len(parts) + 1:
            raise KeyError
        layout, info = Layout.from_json(parts["layout"]), RunInfo.from_json(parts["info"])
        augmentation, said = parts["augmentation"], parts["parametrisation"]
        parametrisation = None if said is None else ParametrisationPlan.from_json(said)
        modes = parametrisation.modes if parametrisation else 0
        if not all(isinstance(number, int) and 0 <= number < 2**16 for number in (augmentation, modes)):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RunError(
            f"{RUN_FILE} was altered or written by another version of medsynth; copy it again, use that version, "
            "or train anew"
        ) from None
    except MedsynthError as error:
        raise RunError(f"{RUN_FILE}: {error}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        autoencoder, conditioner, network = (
            build(parts[name], allow) for name in ("autoencoder", "conditioner", "network")
        )
    if not isinstance(conditioner, Conditioner) or not hasattr(autoencoder, "latent_channels"):
        raise RunError("the run's parts are not in their places: it was altered; copy it again, or train anew")
    try:
        if isinstance(network, Generator) is not (parametrisation is None):
            raise ValueError
        made_of = (layout, autoencoder, network, conditioner, augmentation)
        model: SampleModel = DiffusionModel(*made_of, parametrisation) if parametrisation else GanModel(*made_of)
        if not _fits(network, told_widths(model)) or conditioner.style not in (0, style_width(len(layout.images))):
            raise ValueError
    except (AttributeError, TypeError, ValueError, ArithmeticError, RuntimeError):
        raise RunError("the run's parts do not fit each other: it was altered; copy it again, or train anew") from None
    except MedsynthError as error:
        raise RunError(f"{RUN_FILE}: {error}") from None
    if conditioner.text:
        model.embed = LateEmbedder(conditioner.text, functools.partial(build, conditioner.text["spec"], allow))
    return model, info


def _fits(network: Any, widths: Mapping[str, int]) -> bool:
    """Whether the network takes what it will be told; one that the user allows need not say so."""
    takes = {name: getattr(network, name, None) for name in ("vector", "tokens")}
    takes["spatial"] = getattr(network, "spatial", 0) + getattr(network, "control", 0)
    return all(taken is None or taken == widths[name] for name, taken in takes.items())


def _require_choice(weights: str, ema: float | None, step: int | None, device: str) -> None:
    if weights not in (*WEIGHTS, "untrained"):
        raise MedsynthError(f"weights is one of {', '.join(WEIGHTS)}, untrained")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise MedsynthError("device is auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MedsynthError("device=cuda, but torch sees no GPU; set device=cpu or install a CUDA build of torch")
    if ema is not None and weights != "last":
        raise MedsynthError("ema: an average of another width is of the last step; set weights=last")
    if step is not None and (weights != "last" or ema is not None):
        raise MedsynthError("step: a snapshot is a last state of its time; set weights=last, and no ema")


def _averaged(folder: Path, ema: float | None, step: int | None, device: str) -> dict[str, torch.Tensor]:
    """The network of another width, or as it was at a step."""
    if step is not None:
        return load_snapshot(folder, step, device)
    assert ema is not None
    return load_average(folder, ema, device)


def load_run(
    folder: str | Path,
    *,
    weights: str = "best",
    ema: float | None = None,
    step: int | None = None,
    device: str = "cpu",
    allow: Sequence[str] = (),
) -> Run:
    """Load a run, from this site or another.

    Args:
        folder: RUN.
        weights: "best" (lowest validation loss), "last", or "untrained" for a control.
        ema: with "last": relative width of the average of the weights, made from the run's snapshots; None is
            the one that was trained with.
        step: with "last": the average as it stood at that step, of which the run kept a snapshot; None is the end.
        device: where to, "cpu" or "cuda".
        allow: dotted names of further classes that its run.json may name.

    Raises:
        RunError: the run or its weights are cut short, altered or name what is not allowed.
    """
    folder = Path(folder)
    model, info = read_run(folder, allow)
    _require_choice(weights, ema, step, device)
    source = "last" if weights == "untrained" else weights
    sealed = read_sealed(folder / "weights" / f"{source}.ckpt", device)
    try:
        state = sealed.content["model"]
        if weights == "untrained":  # the control: what was measured of the data, and a network that learnt nothing
            trained = {f"network.{name}" for name, weight in model.network.named_parameters() if weight.requires_grad}
            state = {name: value for name, value in state.items() if name not in trained}
        if ema is not None or step is not None:
            average = _averaged(folder, ema, step, device)
            # Weights that stay are not averaged: the sum of snapshots would be theirs but for its rounding.
            frozen = {name for name, weight in model.network.named_parameters() if not weight.requires_grad}
            average = {name: value for name, value in average.items() if name not in frozen}
            state = {**state, **{f"network.{name}": value for name, value in average.items()}}
        found = model.load_state_dict(state, strict=weights != "untrained")
        if any(not name.startswith("network.") for name in found.missing_keys):
            raise KeyError
        facts = dict(sealed.content["facts"])
    except (RuntimeError, KeyError, TypeError, AttributeError):
        raise RunError(
            "the weights do not fit the run's description: one of them comes from another run; copy the run again"
        ) from None
    checkpoint = sealed.sha256
    if ema is not None:
        checkpoint = sha256_json([checkpoint, ema, *snapshots_sha256(folder)])
    if step is not None:
        checkpoint, facts = sha256_json([checkpoint, step, sha256_file(snapshot_path(folder, step))]), {"step": step}
    return Run(model.to(device).eval(), info, checkpoint, facts)
