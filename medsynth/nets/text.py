"""Frozen encoders of texts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Encoded(NamedTuple):
    """x."""

    tokens: Tensor
    pooled: Tensor


class TextEncoder(Protocol):
    """x."""

    width: int
    length: int
    spec: dict[str, Any]
    sha256: str

    def __call__(self, sentences: Sequence[str]) -> Encoded:
        """X."""
