"""From a configuration to a function's plain arguments. A key that nothing reads is an error."""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from medsynth.cli.arguments import did_you_mean
from medsynth.errors import MedsynthError, UsageError

TARGETS = (
    "medsynth.data.",
    "medsynth.diffusion.",
    "medsynth.evidence.",
    "medsynth.generation.",
    "medsynth.metrics.",
    "medsynth.models.",
    "medsynth.nets.",
    "medsynth.training.",
    "monai.losses.",
    "monai.networks.nets.",
    "torch.optim.",
)
"""A configuration may build classes of these packages, and nothing else."""

_GROUPS = (dict, Mapping)
_HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_"}


def call(function: Callable[..., Any], config: Mapping[str, Any], paths: Collection[str] = ()) -> Any:
    """Call `function` with the resolved configuration; see `bind`."""
    return function(**bind(function, config, paths))


def bind(function: Callable[..., Any], config: Mapping[str, Any], paths: Collection[str] = ()) -> dict[str, Any]:
    """Turn a resolved configuration into keyword arguments of `function`.

    A group with a `_target_` becomes an object of that class, a group whose parameter is
    a dataclass becomes that, another group a dict. Values have to fit the annotations, and
    numbers to be finite.

    Args:
        function: has named parameters only.
        config: plain JSON types.
        paths: keys whose texts become `Path`.

    Raises:
        UsageError: a key that the function does not have, at any depth; a parameter
            without a value; a value of another type; NaN or infinity; a target off the allow-list.
    """
    hints = _hints(function)
    _check_keys(function, config, above="")
    values = {}
    for key, value in config.items():
        if key in paths and value is not None:
            value = Path(str(value))
        values[key] = _fit(value, hints.get(key, Any), key)
    return values


def _check_keys(function: Callable[..., Any], keys: Iterable[str], above: str, partial: bool = False) -> None:
    named = inspect.signature(function).parameters.items()
    # *args and **kwargs name no key that is read.
    parameters = {name: p for name, p in named if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    keys = set(keys) - _HYDRA_KEYS
    for key in sorted(keys - set(parameters)):
        raise UsageError(f"unknown key {above}{key}: nothing reads it{did_you_mean(key, parameters)}")
    for name, parameter in parameters.items():
        if not partial and parameter.default is parameter.empty and name not in keys:
            raise UsageError(f"{above}{name} has to be given: {above}{name}=...")


def _fit(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _build(value, key, hint)
        plain = next((h for h in _alternatives(hint) if dataclasses.is_dataclass(h)), None)
        if plain is not None:
            return _construct(typing.cast(type, plain), value, key)
        group = next((h for h in _alternatives(hint) if (typing.get_origin(h) or h) in (*_GROUPS, Any, object)), None)
        if group is None:
            raise UsageError(f"{key}: a group of keys does not fit; expected {_spoken(hint)}")
        entries = typing.get_args(group)[1] if typing.get_args(group) else Any
        return {name: _fit(entry, entries, f"{key}.{name}") for name, entry in value.items()}
    for alternative in _alternatives(hint):
        fits, converted = _try(value, alternative, key)
        if fits:
            return converted
    raise UsageError(f"{key}: {value!r} does not fit; expected {_spoken(hint)}")


def _try(value: Any, hint: Any, key: str) -> tuple[bool, Any]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    origin = typing.get_origin(hint) or hint
    if hint is types.NoneType:
        return value is None, None
    if hint is bool:
        return isinstance(value, bool), value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if number and hint in (float, Any, object):
        _require_finite(value, key)
    if hint is float:
        return number, float(value) if number else value
    if hint is str:
        return isinstance(value, str) or number, str(value)
    if hint is Path:
        return isinstance(value, str | Path), Path(value) if isinstance(value, str) else value
    if origin is Literal:
        return value in typing.get_args(hint), value
    if origin in (tuple, list, Sequence, Collection, Iterable):
        return _try_sequence(value, hint, key)
    if hint not in (Any, object):  # a class, a group or a function: a plain value is none of them
        return False, value
    if isinstance(value, list):
        return True, [_fit(entry, Any, f"{key}[{index}]") for index, entry in enumerate(value)]
    return True, value


def _require_finite(value: float, key: str) -> None:
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        finite = False
    if not finite:
        raise UsageError(f"{key}: NaN, infinity or a number beyond a float's range does not fit; give a finite number")


def _try_sequence(value: Any, hint: Any, key: str) -> tuple[bool, Any]:
    if not isinstance(value, list):
        return False, value
    entries = typing.get_args(hint) or (Any, ...)
    fixed = typing.get_origin(hint) is tuple and Ellipsis not in entries
    if fixed and len(entries) != len(value):
        return False, value
    wanted = entries if fixed else (entries[0],) * len(value)
    fitted = [_fit(v, h, f"{key}[{i}]") for i, (v, h) in enumerate(zip(value, wanted, strict=True))]
    return True, fitted if typing.get_origin(hint) is list else tuple(fitted)


def _construct(kind: type, value: Mapping[str, Any], key: str) -> Any:
    _check_keys(kind, value, above=f"{key}.")
    hints = _hints(kind)
    fields = {name: _fit(entry, hints.get(name, Any), f"{key}.{name}") for name, entry in value.items()}
    return _constructed(lambda: kind(**fields), key)


def _build(value: Mapping[str, Any], key: str, hint: Any) -> Any:
    from hydra.utils import instantiate

    kind = _class_of(value["_target_"], key)
    partial = bool(value.get("_partial_", False))
    if not _makes(kind, hint, partial):
        raise UsageError(f"{key}._target_: {value['_target_']} does not fit; expected {_spoken(hint)}")
    _check_keys(kind, value, above=f"{key}.", partial=partial)
    hints = _hints(kind)
    fields = {
        name: _fit(entry, hints.get(name, Any), f"{key}.{name}")
        for name, entry in value.items()
        if name not in _HYDRA_KEYS
    }
    target = {"_target_": value["_target_"], "_partial_": partial}
    return _constructed(lambda: instantiate(target, **fields, _recursive_=False, _convert_="all"), key)


def _class_of(target: Any, key: str) -> type:
    from hydra.utils import get_object

    if not (isinstance(target, str) and target.startswith(TARGETS)):
        raise UsageError(
            f"{key}._target_ names nothing that a configuration may build, which are classes of "
            + ", ".join(name.rstrip(".") for name in TARGETS)
        )
    try:
        found = get_object(target)
    except Exception as error:
        raise UsageError(f"{key}._target_: there is no {target} ({type(error).__name__})") from error
    # A module's name can lead to other packages (medsynth.data.nifti.gzip.open), so the class's own home counts.
    if not isinstance(found, type) or not f"{found.__module__}.".startswith(TARGETS):
        raise UsageError(f"{key}._target_: {target} is not a class of the packages that a configuration may build")
    return found


def _makes(kind: type, hint: Any, partial: bool) -> bool:
    """Whether an object of the class, or what makes one, is what the parameter takes."""
    for alternative in _alternatives(hint):
        wanted = alternative
        if typing.get_origin(alternative) is Callable:
            if not partial:
                continue
            wanted = typing.get_args(alternative)[1] if typing.get_args(alternative) else Any
        elif partial and alternative not in (Any, object):
            continue
        if wanted in (Any, object) or (isinstance(wanted, type) and issubclass(kind, wanted)):
            return True
    return False


def _constructed(build: Callable[[], Any], key: str) -> Any:
    try:
        return build()
    except MedsynthError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, MedsynthError):
            raise cause from error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise UsageError(f"{key} cannot be built: {reason}") from error


def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(typing.cast(Any, called).__init__ if isinstance(called, type) else called)
    except NameError:  # annotations that other packages import for type checkers only
        return {}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _spoken(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", types.NoneType: "null"}
    spoken = []
    for alternative in _alternatives(hint):
        if typing.get_origin(alternative) is Literal:
            spoken += [str(value) for value in typing.get_args(alternative)]
        elif typing.get_origin(alternative) is Callable and typing.get_args(alternative):
            made = typing.get_args(alternative)[1]
            spoken.append(f"a class of {getattr(made, '__name__', made)} with _partial_: true")
        elif typing.get_origin(alternative) is not None or dataclasses.is_dataclass(alternative):
            spoken.append("a group of keys" if typing.get_origin(alternative) in (None, dict, Mapping) else "a list")
        else:
            spoken.append(names.get(alternative, getattr(alternative, "__name__", str(alternative))))
    return " or ".join(dict.fromkeys(spoken))
