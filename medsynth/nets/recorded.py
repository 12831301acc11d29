"""Modules that know how they were made, so that a run can make them again."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Recorded:
    """Keeps the arguments of `__init__` as `spec`: {"_target_": dotted name, **arguments}.

    All arguments must be plain JSON types (tuples become lists).
    """

    spec: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        original = cls.__init__
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording(self: Any, *args: Any, **values: Any) -> None:
            bound = signature.bind(self, *args, **values)
            bound.apply_defaults()
            original(self, *args, **values)
            if type(self) is cls:
                arguments = {
                    name: _plain(value)
                    for name, value in list(bound.arguments.items())[1:]
                    if signature.parameters[name].kind not in _UNNAMED  # of a class without an __init__ of its own
                }
                self.spec = {"_target_": f"{cls.__module__}.{cls.__qualname__}", **arguments}

        cls.__init__ = recording  # type: ignore[method-assign]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a recorded argument must be plain, not {type(value).__name__}")
