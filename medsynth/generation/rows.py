"""The rows of one call of generate: from a table or the plan, checked against the run and the parents' records."""

from collections.abc import Sequence
from pathlib import Path

from medsynth.errors import MedsynthError
from medsynth.generation.inpainting import require_inside, require_labels
from medsynth.generation.making import Maker
from medsynth.generation.parents import Parents
from medsynth.generation.plan import SOURCE, EditPlan, Row, planned_rows, table_rows
from medsynth.generation.thin_slices import require_room
from medsynth.models.conditioner import TEXT
from medsynth.records import Attribute

DEFAULT_COUNT = 16


def rows_of(maker: Maker, table: Path | None, count: int | None, seed: int, given: dict[str, Attribute]) -> list[Row]:
    """The rows of the plan, their parents known to be there and to fit.

    Args:
        maker: of the samples.
        table: a CSV with one row a sample, or None.
        count: of samples; with a table None, else None is 16.
        seed: of the plan.
        given: attributes of all samples.

    Raises:
        MedsynthError: a table or parents that do not fit the plan or the run, told by their records alone.
    """
    model, plan, parents = maker.model, maker.plan, maker.parents
    model.conditioner.check(given)
    if table is not None:
        if count is not None:
            raise MedsynthError("the table has one row a sample: leave count out, or set count=null")
        rows = table_rows(model, plan, table, seed=seed, given=given)
    else:
        ids = [] if parents is None else parents.ids(plan.split)
        split_of = (lambda _: None) if parents is None else lambda name: parents.split_of(parents.record(name))
        rows = planned_rows(model, plan, ids, count=count or DEFAULT_COUNT, seed=seed, given=given, split_of=split_of)
    if parents is None and plan.split is not None:
        raise MedsynthError("plan.split chooses among parents: set parents=CASES (or SAMPLES) too")
    if parents is None and any(row.parents for row in rows):
        raise MedsynthError("the table names scans: set parents to the folder of cases or samples that has them")
    if parents is not None:
        if not any(row.parents for row in rows):
            raise MedsynthError("parents is set, and nothing is made from them: set plan or plan.take, or leave it out")
        for row in rows:
            _check_parents(parents, row, plan)
    return rows


def _check_parents(parents: Parents, row: Row, plan: EditPlan) -> None:
    for role, name in row.parents.items():
        try:
            record = parents.record(name)
        except MedsynthError as error:
            raise MedsynthError(f"table line {row.line}, {role}: {error}") from None
        parents.require_fit(name)
        found = parents.split_of(record)
        if plan.split is not None and found != plan.split:
            raise MedsynthError(
                f"plan.split={plan.split}, and {name} is of {found or 'no known split'}; set plan.split=null"
            )
    if plan.edit == "inpaint":
        source = parents.record(row.parents[SOURCE])
        require_labels(source, plan.mask.labels)
        require_inside(source, plan.mask)
        given = parents.layout.given.label
        if given is not None and row.parents.get(given.name, row.parents[SOURCE]) != row.parents[SOURCE]:
            raise MedsynthError(
                f"case {source.id}: plan.edit=inpaint keeps the scan outside of the mask, another one's {given.name} "
                f"does not fit it; name the same scan in {given.name}, or leave it out"
            )
    if plan.edit == "thin_slices":
        require_room(parents.record(row.parents[SOURCE]), plan, parents.plan.resampling)
    parents.origins(row.parents.values())


def cut_texts(maker: Maker, rows: Sequence[Row]) -> str | None:
    """A line on texts of which the run hears the beginning alone; None where it hears all.

    Raises:
        MedsynthError: texts without the run's encoder.
    """
    length, embed = maker.model.conditioner.tokens[0], maker.model.embed
    if not length or embed is None:
        return None
    asked = [maker.attributes(row, maker.source(row)).get(TEXT) for row in rows]
    texts = sorted({str(text) for text in asked if text is not None})
    longer = sum(own > length for own in embed.lengths(texts)) if texts else 0
    if not longer:
        return None
    return f"{longer} of {len(texts)} texts are longer than the run's {length} tokens, and the rest is not heard"
