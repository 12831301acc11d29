from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from monai.networks.nets import AutoencoderKL

from medsynth.cli.call import bind, call
from medsynth.errors import GeometryError, UsageError


@dataclass(frozen=True)
class Inner:
    sides: tuple[int, int]
    scale: float = 1.0


@dataclass(frozen=True)
class Outer:
    inner: Inner
    parts: Mapping[str, Inner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.inner.scale < 0:
            raise GeometryError("scale -1 is not a length")
        if self.inner.scale == 0:
            raise ValueError("division by zero\nmore")


def work(
    run: Path,
    *,
    count: int = 1,
    rate: float = 0.5,
    name: str | None = None,
    kind: Literal["a", "b"] = "a",
    sizes: Sequence[float] = (),
    outer: Outer | None = None,
    free: Any = None,
    table: dict[str, int] | None = None,
    part: torch.nn.Module | None = None,
    maker: Callable[..., Inner] | None = None,
) -> dict[str, Any]:
    return locals()


def test_plain_values_and_nested_dataclasses_arrive_as_annotated() -> None:
    config = {
        "run": "some run",
        "rate": 1,
        "name": 7,
        "sizes": [1, 2.5],
        "outer": {"inner": {"sides": [1, 2], "scale": 2}, "parts": {"x": {"sides": [3, 4]}}},
        "free": {"a": [1, {"b": None}]},
        "table": {"x": 1},
    }
    arrived = call(work, config, {"run"})
    assert arrived["run"] == Path("some run")
    assert arrived["rate"] == 1.0
    assert isinstance(arrived["rate"], float)
    assert arrived["name"] == "7"
    assert arrived["sizes"] == (1.0, 2.5)
    assert arrived["outer"] == Outer(Inner((1, 2), 2.0), {"x": Inner((3, 4))})
    assert arrived["free"] == {"a": [1, {"b": None}]}
    assert arrived["table"] == {"x": 1}
    assert arrived["count"] == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cuont": 1}, "unknown key cuont: nothing reads it; did you mean count?"),
        (
            {"outer": {"inner": {"sides": [1, 2], "scael": 1}}},
            "unknown key outer.inner.scael: nothing reads it; did you",
        ),
        ({"outer": {"parts": {}}}, "outer.inner has to be given"),
        ({"outer": {"inner": {"sides": [1, 2, 3]}}}, "outer.inner.sides: [1, 2, 3] does not fit; expected a list"),
        ({"outer": {"inner": {"sides": [1, 2], "scale": -1}}}, "scale -1 is not a length"),
        ({"outer": {"inner": {"sides": [1, 2], "scale": 0}}}, "outer cannot be built: division by zero"),
        ({"count": True}, "count: True does not fit; expected a whole number"),
        ({"count": None}, "count: None does not fit"),
        ({"kind": "c"}, "kind: 'c' does not fit; expected a or b"),
        ({"table": {"x": "y"}}, "table.x: 'y' does not fit"),
        ({"part": "unet"}, "part: 'unet' does not fit; expected Module or null"),
        ({"free": [{"_target_": "os.system"}]}, "free[0]._target_ names nothing that a configuration may build"),
        ({"free": {"x": {"_target_": "builtins.eval"}}}, "free.x._target_ names nothing"),
        ({"part": {"_target_": "monai.networks.nets.AutoencoderKL", "spatial_dim": 3}}, "did you mean spatial_dims?"),
        ({"free": {"_target_": "medsynth.data.nifti.Path"}}, "medsynth.data.nifti.Path is not a class of the packages"),
        ({"free": {"_target_": "torch.optim.lr_scheduler.warnings.catch_warnings"}}, "is not a class of the packages"),
        ({"free": {"_target_": "medsynth.data.nowhere.Thing"}}, "there is no medsynth.data.nowhere.Thing"),
        ({"free": {"_target_": 3}}, "free._target_ names nothing"),
        (
            {"part": {"_target_": "medsynth.nets.recorded.Recorded"}},
            "part._target_: medsynth.nets.recorded.Recorded does not fit; expected Module or null",
        ),
        ({"part": {"_target_": "monai.losses.DiceLoss", "_partial_": True}}, "does not fit; expected Module or null"),
        (
            {"maker": {"_target_": "monai.losses.DiceLoss", "_partial_": True}},
            "does not fit; expected a class of Inner with _partial_: true",
        ),
        ({"maker": {"_target_": "monai.losses.DiceLoss"}}, "expected a class of Inner with _partial_: true"),
    ],
)
def test_what_nothing_reads_or_does_not_fit_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, GeometryError)) as refused:
        bind(work, {"run": "r", **values}, {"run"})
    assert said in str(refused.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400])
@pytest.mark.parametrize(
    ("values", "key"),
    [
        (lambda number: {"rate": number}, "rate"),
        (lambda number: {"sizes": [1, number]}, "sizes[1]"),
        (lambda number: {"outer": {"inner": {"sides": [1, 2], "scale": number}}}, "outer.inner.scale"),
        (lambda number: {"free": {"a": [number]}}, "free.a[0]"),
        (
            lambda number: {"free": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": number}},
            "free.lr",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_refused(values: Any, key: str, number: float) -> None:
    with pytest.raises(UsageError) as refused:
        bind(work, {"run": "r", **values(number)}, {"run"})
    assert str(refused.value).startswith(f"{key}: NaN, infinity or a number beyond a float's range does not fit; give")


def test_a_word_may_be_nan() -> None:
    assert bind(work, {"run": "r", "name": float("nan")})["name"] == "nan"


def test_a_parameter_without_a_value_is_named() -> None:
    with pytest.raises(UsageError, match="run has to be given"):
        bind(work, {}, {"run"})


def test_a_function_that_takes_any_key_reads_none_of_them() -> None:
    def anything(out: str, **settings: object) -> None: ...

    assert bind(anything, {"out": "x"}) == {"out": "x"}
    with pytest.raises(UsageError, match="unknown key typo"):
        bind(anything, {"out": "x", "typo": 1})


def test_targets_are_built_with_fitted_arguments() -> None:
    spec = {
        "_target_": "monai.networks.nets.AutoencoderKL",
        "spatial_dims": 2,
        "channels": [8, 8],
        "attention_levels": [False, False],
        "num_res_blocks": 1,
        "norm_num_groups": 4,
    }
    assert isinstance(bind(work, {"run": "r", "part": spec})["part"], AutoencoderKL)
    optimizer = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1, "betas": [0.9, 0.95]}
    made = bind(work, {"run": "r", "free": optimizer})["free"]([torch.nn.Parameter(torch.zeros(1))])
    assert made.defaults["lr"] == 0.1
    assert tuple(made.defaults["betas"]) == (0.9, 0.95)
