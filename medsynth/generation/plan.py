"""A plan of samples: one row a sample, from a group of settings or from a table."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from medsynth.errors import MedsynthError
from medsynth.models.conditioner import STYLE, as_number
from medsynth.models.sample_model import SampleModel
from medsynth.records import SPLITS, Attribute

EDITS = ("none", "inpaint", "image_to_image", "variations", "interpolate", "thin_slices")
SOURCE, SECOND = "parent", "second"
LEVELS = {"image_to_image": "strength", "variations": "amount", "interpolate": "share"}
"""The number that says how far an edit goes."""


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """Where a scan is made anew: all that these name together.

    Args:
        labels: values of its label map, by name.
        grow: mm around them.
        slab: slices first to last along an axis, (axis, first, last), of its own grid.
        box: voxels (low, high) of its own grid, the last one inside.
    """

    labels: Sequence[str] = ()
    grow: float = 0.0
    slab: Sequence[int] | None = None
    box: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        if self.slab is not None and len(self.slab) != 3:
            raise MedsynthError("plan.mask.slab is [axis, first slice, last slice]")
        if self.box is not None and len(self.box) != 2:
            raise MedsynthError("plan.mask.box is [[first voxels], [last voxels]]")
        if not 0 <= self.grow < float("inf"):
            raise MedsynthError("plan.mask.grow is a distance in mm, 0 or more")

    @property
    def empty(self) -> bool:
        """Whether nothing is named."""
        return not self.labels and self.slab is None and self.box is None


@dataclass(frozen=True, kw_only=True)
class EditPlan:
    """What samples are made from.

    Args:
        edit: "none", from noise alone; "inpaint", a part of a scan anew; "image_to_image", a scan taken up to
            a noise level and down again; "variations", a scan's noise mixed with other; "interpolate", between
            two scans; "thin_slices", slices between thick ones.
        take: what the model is told of each parent: names of channels that it is given, and "style".
        split: parents of this split of the run alone.
        mask: of "inpaint".
        label: of "inpaint" by a model that makes a label map too: "new", made anew inside the mask; "keep";
            or "remove", the mask's labels give way to their neighbours.
        returns: of "inpaint" and "thin_slices": how often the sampler goes back to fit the seam. Many let what the
            network gets wrong pile up: see docs/results.md.
        strength: of "image_to_image", above 0 to 1.
        amount: of "variations", 0 to 1.
        share: of "interpolate", 0 the first to 1 the second.
        axis, factor: of "thin_slices": along which array axis of the scan, how many slices for each.
    """

    edit: str = "none"
    take: Sequence[str] = ()
    split: Literal["train", "validation", "test"] | None = None
    mask: MaskPlan = field(default_factory=MaskPlan)
    label: str = "new"
    returns: int = 9
    strength: float = 0.5
    amount: float = 0.5
    share: float = 0.5
    axis: int = 2
    factor: int = 4

    def __post_init__(self) -> None:
        if self.edit not in EDITS:
            raise MedsynthError(f"plan.edit is one of {', '.join(EDITS)}")
        if self.label not in ("new", "keep", "remove"):
            raise MedsynthError("plan.label is new, keep or remove")
        if self.split is not None and self.split not in SPLITS:
            raise MedsynthError(f"plan.split is one of {', '.join(SPLITS)}, or null")
        if not 0 < self.strength <= 1 or not 0 <= self.amount <= 1 or not 0 <= self.share <= 1 or self.returns < 0:
            raise MedsynthError("plan: strength is above 0 to 1, amount and share 0 to 1, returns 0 or more")
        if self.factor < 2 or self.axis < 0:
            raise MedsynthError("plan: factor is 2 or more, axis 0 or more")

    def check_mask(self) -> None:
        """Refuse an inpainting without a mask and a mask without inpainting, before anything is read.

        Raises:
            MedsynthError: so.
        """
        if self.edit != "inpaint" and not self.mask.empty:
            raise MedsynthError(f"plan.mask is of plan.edit=inpaint, plan.edit={self.edit} does not read it")
        if self.edit == "inpaint" and self.mask.empty:
            raise MedsynthError("plan.mask names nothing: set labels, slab or box")
        if self.edit == "inpaint" and self.label == "remove" and not self.mask.labels:
            raise MedsynthError("plan.label=remove takes the labels of plan.mask.labels away: name them")
        if self.mask.grow and not self.mask.labels:
            raise MedsynthError("plan.mask.grow is around plan.mask.labels, which names none; make slab or box larger")

    @property
    def roles(self) -> tuple[str, ...]:
        """What a row needs parents for."""
        source = () if self.edit == "none" else (SOURCE,)
        return (*source, *((SECOND,) if self.edit == "interpolate" else ()), *self.take)


@dataclass(frozen=True)
class Row:
    """One sample of a plan.

    Args:
        index: its place.
        seed, noise: fix its noise; `noise` is the index, or 0 where its row has a seed of its own.
        condition: attributes and text that it is asked for.
        parents: id of the case or sample in each role: "parent" (edited), "second", "style", a given channel.
        strength, amount, share: see EditPlan.
        line: of the table, None without one.
    """

    index: int
    seed: int
    noise: int
    condition: Mapping[str, Attribute]
    parents: Mapping[str, str]
    strength: float
    amount: float
    share: float
    line: int | None = None


def planned_rows(
    model: SampleModel,
    plan: EditPlan,
    ids: Sequence[str],
    *,
    count: int,
    seed: int,
    given: Mapping[str, Attribute],
    split_of: Callable[[str], str | None] = lambda _: None,
) -> list[Row]:
    """Rows of a plan without a table: parents in turn, classes in turn as the model has them.

    Args:
        model: whose samples.
        plan: what they are made from.
        ids: of the parents, in order.
        count: of samples.
        seed: of the plan.
        given: attributes of all samples.
        split_of: an id's split; two scans that a sample lies between are of one.

    Raises:
        MedsynthError: parents are needed and there are none.
    """
    splits = [split_of(name) for name in ids]
    if plan.edit == "interpolate":
        ids = [name for name, split in zip(ids, splits, strict=True) if splits.count(split) > 1]
        splits = [split_of(name) for name in ids]
    if plan.roles and not ids:
        raise MedsynthError(
            f"this plan makes samples from {'two scans of one split' if plan.edit == 'interpolate' else 'scans'}: "
            "set parents=CASES (or SAMPLES), and plan.split to a split that has some"
        )
    rows = []
    for index in range(count):
        place = index % len(ids) if ids else 0
        parents = {role: ids[_next(splits, place) if role == SECOND else place] for role in plan.roles}
        # An edited scan stays what it is where nothing is said; the others are made of every class in turn.
        condition = dict(given) if plan.edit != "none" else model.conditioner.in_turn(index, given)
        rows.append(Row(index, seed, index, condition, parents, plan.strength, plan.amount, plan.share))
    return rows


def _next(splits: Sequence[str | None], place: int) -> int:
    """The next place, round the end, of the same split."""
    turns = (step % len(splits) for step in range(place + 1, place + len(splits) + 1))
    return next(step for step in turns if splits[step] == splits[place])


def table_rows(
    model: SampleModel, plan: EditPlan, path: Path, *, seed: int, given: Mapping[str, Attribute]
) -> list[Row]:
    """Rows of a CSV, one a sample; empty cells are as if the column were not there.

    Columns: `seed`; `parent`, `second`, `style` and the names of given channels, each the id of a case or sample in
    `parents`; the edit's `strength`, `amount` or `share`; all others are attributes that the model knows, `text` among
    them. What `plan.take` names and a row does not is taken from the row's `parent`. Attributes of which neither the
    row nor an edited parent says anything stay open.

    Raises:
        MedsynthError: no table, a column that nothing reads or that means two things, a value that does not fit;
            named by line and column: a value of a table may be a patient's.
    """
    lines = _read(path)
    known = ("seed", *_readable(model, plan), *model.conditioner.names)
    unknown = [place for place, name in enumerate(lines[0][1], 1) if name not in known]
    if unknown:  # not by its name: without a line of names it is somebody's data
        raise MedsynthError(
            f"table: nothing reads its column {unknown[0]}; its first line names the columns, and this run knows "
            f"{', '.join(known)}"
        )
    twice = [name for name in lines[0][1] if known.count(name) > 1]
    if twice:
        raise MedsynthError(
            f"table: the column {twice[0]} means two things, the plan's {twice[0]} and an attribute of the run; leave "
            f"it out of the table and set condition='{{{twice[0]}: ...}}', one job for each value"
        )
    rows = []
    for index, (number, line) in enumerate(lines):
        told = {name: value.strip() for name, value in line.items() if value is not None and value.strip()}
        try:
            rows.append(replace(_row(model, plan, index, told, seed, given), line=number))
        except MedsynthError as error:
            raise MedsynthError(f"table line {number}: {error}") from None
    return rows


def _roles(model: SampleModel, plan: EditPlan) -> tuple[str, ...]:
    """Roles that a row of a table may name a parent for."""
    seen = [name for name in (STYLE,) if model.conditioner.style]
    edited = [role for role in plan.roles if role in (SOURCE, SECOND)]
    return (*edited, *seen, *model.layout.given.parts)


def _readable(model: SampleModel, plan: EditPlan) -> tuple[str, ...]:
    roles, level = _roles(model, plan), LEVELS.get(plan.edit)
    of_take = [SOURCE] if plan.take and SOURCE not in roles else []
    return (*of_take, *roles, *([level] if level else []))


def _row(
    model: SampleModel,
    plan: EditPlan,
    index: int,
    told: Mapping[str, str],
    seed: int,
    given: Mapping[str, Attribute],
) -> Row:
    condition: dict[str, Attribute] = {name: told[name] for name in model.conditioner.names if name in told}
    condition = {**given, **condition}
    model.conditioner.check(condition)
    parents = {role: told[role] for role in _roles(model, plan) if role in told}
    if SOURCE in told:
        parents = {**parents, **{role: told[SOURCE] for role in plan.take if role not in parents}}
    missing = [role for role in plan.roles if role not in parents]
    if missing:
        of = f"plan.edit={plan.edit}" if missing[0] in (SOURCE, SECOND) else "plan.take"
        raise MedsynthError(f"{of} needs the column {missing[0]}")
    level = LEVELS.get(plan.edit)
    if level:
        value: dict[str, Any] = {level: _number(told, level, getattr(plan, level))}
        plan = replace(plan, **value)  # checks it
    own = "seed" in told
    noise = _seed(told["seed"]) if own else seed
    return Row(index, noise, 0 if own else index, condition, parents, plan.strength, plan.amount, plan.share)


def _read(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Rows, each with the number of its last line in the file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            lines = [(reader.line_num, line) for line in reader]
            names = reader.fieldnames or []
    except FileNotFoundError:
        raise MedsynthError("table names no file") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise MedsynthError("the table cannot be read as CSV in UTF-8; save it so") from None
    if not lines:
        raise MedsynthError("the table has no row under its names")
    if len(set(names)) < len(names):
        raise MedsynthError("the table has a column twice")
    if any(None in line for _, line in lines):
        raise MedsynthError("a row of the table is longer than its first line; put texts with commas into quotes")
    return lines


def _number(told: Mapping[str, str], name: str, default: float) -> float:
    if name not in told:
        return default
    number = as_number(told[name])
    if number is None:
        raise MedsynthError(f"{name} is a number")
    return number


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise MedsynthError("seed is a whole number, 0 or more")
    return int(text)
