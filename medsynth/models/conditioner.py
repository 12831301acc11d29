"""From what is known of a case to what the network is told."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded
from medsynth.records import Attribute


class ClassConditioner(Recorded):
    """Categorical attributes, one-hot side by side; all zeros is the null.

    Args:
        classes: for each attribute the values it can take, in order. Empty: the model is
            unconditional.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]] | None = None) -> None:
        self.classes = {name: tuple(str(value) for value in values) for name, values in (classes or {}).items()}
        for name, values in self.classes.items():
            if len(set(values)) < len(values) or not values:
                raise MedsynthError(f"condition {name}: its classes are not distinct")

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(len(values) for values in self.classes.values())

    def vector(self, attributes: Mapping[str, Attribute]) -> Tensor:
        """(width,) float32; an attribute that is missing or None is its null.

        Raises:
            MedsynthError: a value the model was not trained on.
        """
        parts = []
        for name, values in self.classes.items():
            value = attributes.get(name)
            hot = torch.zeros(len(values))
            if value is not None:
                if str(value) not in values:
                    raise MedsynthError(f"condition {name}: the model knows {', '.join(values)}")
                hot[values.index(str(value))] = 1
            parts.append(hot)
        return torch.cat(parts) if parts else torch.zeros(0)

    def known(self, attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The attributes whose value the model was trained on."""
        return {name: attributes[name] for name, values in self.classes.items() if str(attributes.get(name)) in values}

    def in_turn(self, index: int, given: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The condition of sample `index`: `given`, and every combination of the other classes in turn."""
        free = {name: values for name, values in self.classes.items() if name not in given}
        turns = list(itertools.product(*free.values()))
        return {**dict(zip(free, turns[index % len(turns)], strict=True)), **given}

    def check(self, attributes: Mapping[str, Attribute]) -> None:
        """Refuse attributes the model knows nothing of."""
        unknown = [name for name in attributes if name not in self.classes]
        if unknown:
            known = ", ".join(self.classes) or "nothing (it is unconditional)"
            raise MedsynthError(f"the model is not conditioned on {', '.join(unknown)}; it knows {known}")
        self.vector(attributes)


def batch_condition(vectors: Tensor, augmentation: int) -> Condition:
    """(B, V) condition vectors with `augmentation` zeros appended: an unaugmented sample."""
    padded = torch.cat([vectors, vectors.new_zeros(len(vectors), augmentation)], dim=1)
    return Condition(vector=padded if padded.shape[1] else None)
