"""From what is known of a case to what the network is told."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.models.layout import Told
from medsynth.nets.recorded import Recorded
from medsynth.records import Attribute

STYLE, TEXT = "style", "text"

_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)  # radians a standard deviation
_LARGEST = 2**16  # entries of a vector
_FARTHEST = 4.0  # standard deviations that a number is told apart


class Conditioner(Recorded):
    """What is asked, side by side in one vector; all zeros is the null of each part.

    A class is one-hot. A number is (1, z, sin w z, cos w z for four w), with z its distance from the
    training patients' mean in their standard deviations, cut at 4. A style is 1 and `style_of` a
    reference, a text 1 and its encoder's pooled vector; the text's tokens are attended to besides.

    Args:
        classes: for each categorical attribute the values it can take, in order.
        numbers: for each continuous attribute mean and standard deviation over the training
            patients.
        style: length of a style, 0 for none.
        text: of a frozen encoder `spec`, `sha256`, `width` E and `length` T; None for none. Nothing of all
            this: the model is unconditional.
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]] | None = None,
        numbers: Mapping[str, Sequence[float]] | None = None,
        style: int = 0,
        text: Mapping[str, Any] | None = None,
    ) -> None:
        _check_parts(style, text)
        self.style, self.text = style, text
        self.classes = {name: tuple(str(value) for value in values) for name, values in (classes or {}).items()}
        self.numbers = {name: (float(mean), float(std)) for name, (mean, std) in (numbers or {}).items()}
        for name in (*self.classes, *self.numbers):
            if name in (STYLE, TEXT):
                raise MedsynthError(f"condition {name}: the name stands for data.{name}; give the attribute another")
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

    def same_as(self, other: "Conditioner") -> bool:
        """Whether another tells the same of everything: a text by encoders of the same files, wherever they lie."""
        one, two = ({**each.spec, "text": {**each.text, "spec": None} if each.text else None} for each in (self, other))
        return one == two

    @property
    def names(self) -> tuple[str, ...]:
        """What can be asked as a value, in the vector's order: attributes, and a text."""
        return (*self.classes, *self.numbers, *([TEXT] if self.text else []))

    @property
    def tokens(self) -> tuple[int, int]:
        """(T, E) of a text's tokens, (0, 0) without."""
        return (int(self.text["length"]), int(self.text["width"])) if self.text else (0, 0)

    @property
    def parts(self) -> dict[str, slice]:
        """Where each attribute, the style and the text lie in the vector."""
        widths = {name: len(values) for name, values in self.classes.items()}
        widths |= dict.fromkeys(self.numbers, 2 + 2 * len(_FREQUENCIES))
        if self.style:
            widths[STYLE] = 1 + self.style
        if self.text:
            widths[TEXT] = 1 + self.tokens[1]
        ends = list(itertools.accumulate(widths.values()))
        return {name: slice(end - widths[name], end) for name, end in zip(widths, ends, strict=True)}

    @property
    def width(self) -> int:
        """Length of the vector."""
        return max((part.stop for part in self.parts.values()), default=0)

    def vector(
        self, attributes: Mapping[str, Attribute], style: Tensor | None = None, pooled: Tensor | None = None
    ) -> Tensor:
        """(width,) float32; what is missing or None is its null.

        Args:
            attributes: by name.
            style: `style_of` a reference.
            pooled: (E,) of the text.

        Raises:
            MedsynthError: a class the model was not trained on, a text for a number.
        """
        told = torch.zeros(self.width)
        for name, part in self.parts.items():
            value = attributes.get(name)
            if name in (STYLE, TEXT):
                given = style if name == STYLE else pooled
                if given is not None:
                    told[part] = torch.cat([torch.ones(1), given.float().cpu()])
            elif value is None:
                continue
            elif name in self.numbers:
                told[part] = torch.tensor(self._waves(name, value))
            elif str(value) in self.classes[name]:
                told[part][self.classes[name].index(str(value))] = 1
            else:
                known = ", ".join(self.classes[name])
                raise MedsynthError(f"condition {name} has a value that the model does not know; it knows {known}")
        return told

    def known(self, attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The attributes that the model can be told: classes it was trained on, numbers that are some."""
        there = {name: attributes[name] for name in self.classes if attributes.get(name) is not None}
        found = {name: value for name, value in there.items() if str(value) in self.classes[name]}
        text = attributes.get(TEXT)
        if self.text and isinstance(text, str) and text.strip():
            found[TEXT] = text
        return found | {name: attributes[name] for name in self.numbers if as_number(attributes.get(name)) is not None}

    def in_turn(self, index: int, given: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The condition of sample `index`: `given`, and every combination of the other classes in turn.

        The last class changes from sample to sample, the first most slowly. Numbers that are not given are left open,
        their null.
        """
        turn: dict[str, Attribute] = {}
        rest = index
        # The digits of the index, one a class: there may be more combinations than any memory holds.
        for name, values in reversed([each for each in self.classes.items() if each[0] not in given]):
            rest, place = divmod(rest, len(values))
            turn[name] = values[place]
        return {**dict(reversed(turn.items())), **given}

    def check(self, attributes: Mapping[str, Attribute]) -> None:
        """Refuse attributes the model knows nothing of."""
        unknown = [name for name in attributes if name not in self.names]
        if unknown:
            known = ", ".join(self.names) or "nothing (it is unconditional)"
            raise MedsynthError(f"the model is not conditioned on {', '.join(unknown)}; it knows {known}")
        text = attributes.get(TEXT)
        if text is not None and not (isinstance(text, str) and text.strip()):
            raise MedsynthError("condition text is a sentence; leave it out for none")
        self.vector(attributes)

    def _waves(self, name: str, value: Attribute) -> list[float]:
        number = as_number(value)
        if number is None:
            raise MedsynthError(f"condition {name} is a number, and what it has is none")
        mean, std = self.numbers[name]
        z = min(max((number - mean) / std, -_FARTHEST), _FARTHEST)
        return [1.0, z, *(wave(w * z) for w in _FREQUENCIES for wave in (math.sin, math.cos))]


def _check_parts(style: int, text: Mapping[str, Any] | None) -> None:
    """Refuse what no training writes: a run may come from anywhere."""
    sizes = [style, *((text["width"], text["length"]) if text is not None else (1, 1))]
    if any(isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < _LARGEST for size in sizes):
        raise MedsynthError(f"conditions: a style and a text have whole numbers of entries, below {_LARGEST}")
    if text is None:
        return
    if not (min(sizes[1:]) > 0 and isinstance(text["sha256"], str) and isinstance(text["spec"], Mapping)):
        raise MedsynthError("conditions: a text has an encoder with a digest, a width and a length")


def as_number(value: Attribute) -> float | None:
    """The number that an attribute is or says ("42"), None where it is none."""
    try:
        number = float(value) if value is not None else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Asked:
    """What one sample is asked to be; whatever is missing is open.

    Args:
        attributes: classes, numbers, and a text under "text".
        style: `style_of` a reference image.
        given: a label map, another modality.
    """

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    style: Tensor | None = None
    given: Told | None = None
