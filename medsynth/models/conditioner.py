"""From what is known of a case to what the network is told."""

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded
from medsynth.records import Attribute

_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)  # radians a standard deviation
_FARTHEST = 4.0  # standard deviations that a number is told apart


class AttributeConditioner(Recorded):
    """Attributes side by side in one vector: classes one-hot, numbers as waves; all zeros is the null of each.

    A number is (1, z, sin w z, cos w z for four w), with z its distance from the training
    patients' mean in their standard deviations, cut at 4.

    Args:
        classes: for each categorical attribute the values it can take, in order.
        numbers: for each continuous attribute mean and standard deviation over the training
            patients. Neither: the model is unconditional.
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]] | None = None,
        numbers: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.classes = {name: tuple(str(value) for value in values) for name, values in (classes or {}).items()}
        self.numbers = {name: (float(mean), float(std)) for name, (mean, std) in (numbers or {}).items()}
        for name, values in self.classes.items():
            if len(set(values)) < len(values) or not values:
                raise MedsynthError(f"condition {name}: its classes are not distinct")
        for name, (mean, std) in self.numbers.items():
            if name in self.classes:
                raise MedsynthError(
                    f"condition {name} is either a class or a number: see data.conditions and data.numbers"
                )
            if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
                raise MedsynthError(f"condition {name}: the training patients all have one value; leave it out")

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes, in the vector's order."""
        return (*self.classes, *self.numbers)

    @property
    def parts(self) -> dict[str, slice]:
        """Where each attribute lies in the vector."""
        widths = {name: len(values) for name, values in self.classes.items()}
        widths |= dict.fromkeys(self.numbers, 2 + 2 * len(_FREQUENCIES))
        ends = list(itertools.accumulate(widths.values()))
        return {name: slice(end - widths[name], end) for name, end in zip(widths, ends, strict=True)}

    @property
    def width(self) -> int:
        """Length of the vector."""
        return max((part.stop for part in self.parts.values()), default=0)

    def vector(self, attributes: Mapping[str, Attribute]) -> Tensor:
        """(width,) float32; an attribute that is missing or None is its null.

        Raises:
            MedsynthError: a class the model was not trained on, a text for a number.
        """
        told = torch.zeros(self.width)
        for name, part in self.parts.items():
            value = attributes.get(name)
            if value is None:
                continue
            if name in self.numbers:
                told[part] = torch.tensor(self._waves(name, value))
            elif str(value) in self.classes[name]:
                told[part][self.classes[name].index(str(value))] = 1
            else:
                raise MedsynthError(f"condition {name}={value}: the model knows {', '.join(self.classes[name])}")
        return told

    def known(self, attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The attributes that the model can be told: classes it was trained on, numbers that are some."""
        found = {name: attributes[name] for name, values in self.classes.items() if str(attributes.get(name)) in values}
        return found | {name: attributes[name] for name in self.numbers if as_number(attributes.get(name)) is not None}

    def in_turn(self, index: int, given: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The condition of sample `index`: `given`, and every combination of the other classes in turn.

        Numbers that are not given are left open, their null.
        """
        free = {name: values for name, values in self.classes.items() if name not in given}
        turns = list(itertools.product(*free.values()))
        return {**dict(zip(free, turns[index % len(turns)], strict=True)), **given}

    def check(self, attributes: Mapping[str, Attribute]) -> None:
        """Refuse attributes the model knows nothing of."""
        unknown = [name for name in attributes if name not in self.names]
        if unknown:
            known = ", ".join(self.names) or "nothing (it is unconditional)"
            raise MedsynthError(f"the model is not conditioned on {', '.join(unknown)}; it knows {known}")
        self.vector(attributes)

    def _waves(self, name: str, value: Attribute) -> list[float]:
        number = as_number(value)
        if number is None:
            raise MedsynthError(f"condition {name} is a number, {value!r} is none")
        mean, std = self.numbers[name]
        z = min(max((number - mean) / std, -_FARTHEST), _FARTHEST)
        return [1.0, z, *(wave(w * z) for w in _FREQUENCIES for wave in (math.sin, math.cos))]


def as_number(value: Attribute) -> float | None:
    """The number that an attribute is or says ("42"), None where it is none."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def batch_condition(vectors: Tensor, augmentation: int) -> Condition:
    """(B, V) condition vectors with `augmentation` zeros appended: an unaugmented sample."""
    padded = torch.cat([vectors, vectors.new_zeros(len(vectors), augmentation)], dim=1)
    return Condition(vector=padded if padded.shape[1] else None)
