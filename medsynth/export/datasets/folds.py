"""nnU-Net's folds: synthetic cases train and never validate, a patient's cases stay together."""

from collections.abc import Sequence

from medsynth.errors import MedsynthError
from medsynth.export.datasets.entry import Entry

Fold = dict[str, list[str]]


def folds(training: Sequence[Entry], validation: Sequence[Entry], count: int | None) -> list[Fold]:
    """The content of splits_final.json: names of the cases in "train" and "val" of each fold.

    Where there are validation cases they are the one fold's. Else the patients of the real training cases are dealt
    out in the order of their records' hashes; a derived sample trains only in folds that validate on none of its own
    patients.

    Args:
        training: real and synthetic.
        validation: real cases of the generator's validation patients.
        count: of folds; fewer where there are fewer patients.

    Returns:
        None at all where nothing real could validate, or `count` is None.

    Raises:
        MedsynthError: one patient alone, who cannot both train and validate.
    """
    if validation:
        return [{"train": [entry.name for entry in training], "val": [entry.name for entry in validation]}]
    real = [entry for entry in training if entry.source == "real"]
    if count is None or not real:
        return []
    first = {min(entry.people): entry.record.sha256 for entry in sorted(real, key=lambda one: one.record.sha256)[::-1]}
    order = sorted(first, key=lambda person: first[person])
    if len(order) < 2:
        raise MedsynthError("folds need real cases of two training patients; set dataset.folds=null, or keep more")
    parts = [frozenset(order[number :: min(count, len(order))]) for number in range(min(count, len(order)))]
    return [
        {
            "train": [entry.name for entry in training if not entry.people & held],
            "val": [entry.name for entry in real if entry.people & held],
        }
        for held in parts
    ]
