"""What cases can be told apart by: attributes that are there, classes that are classes."""

from collections.abc import Sequence

from medsynth.data.derived import DERIVED, SLICE_POSITION, attributes_of
from medsynth.data.resampling import Resampling
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import as_number
from medsynth.records import CaseRecord

_MOST_NUMBERED_CLASSES = 20


def require_conditions(
    training: Sequence[CaseRecord], classes: Sequence[str], numbers: Sequence[str], resampling: Resampling
) -> None:
    """Refuse conditions that cannot be learnt from the training cases, by their records alone.

    Args:
        training: records of the training patients.
        classes: attributes the model will be conditioned on as classes.
        numbers: attributes it will be conditioned on as numbers.
        resampling: whether slices are cut.

    Raises:
        MedsynthError: an attribute that no case has, the place of a slice where none are cut, numbers of many values
            as classes: each would be learnt from its own few cases alone.
    """
    there = sorted({key for record in training for key, value in record.attributes.items() if value is not None})
    for name in (*classes, *numbers):
        if name == SLICE_POSITION and name not in there and resampling.slices is None:
            raise MedsynthError(
                f"{name} is the place of a slice in its volume, and no slices are cut: set data.resampling.slices, or "
                "take it out of data.numbers and data.conditions"
            )
        if name not in (*there, *DERIVED):
            raise MedsynthError(
                f"no training case has the attribute {name}: set data.conditions and data.numbers; known: "
                f"{', '.join(there) or 'none'}"
            )
    known = [attributes_of(record, resampling) for record in training]
    for name in classes:
        values = {str(case[name]) for case in known if case.get(name) is not None}
        many = len(values) > _MOST_NUMBERED_CLASSES and all(as_number(value) is not None for value in values)
        if many or (name == SLICE_POSITION and name not in there):
            raise MedsynthError(
                f"data.conditions: {name} is a number of more than {_MOST_NUMBERED_CLASSES} values, each a class "
                "of its own; name it in data.numbers, or write its classes as words"
            )
