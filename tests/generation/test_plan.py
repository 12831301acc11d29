"""Rows of a plan: parents and classes in turn, a table read as it stands, hostile tables refused in one line."""

import json
from types import SimpleNamespace

import pytest

from medsynth.cli.main import main
from medsynth.errors import MedsynthError
from medsynth.generation.plan import EditPlan, MaskPlan, planned_rows, table_rows
from medsynth.generation.run import generate
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan

VARIATIONS = EditPlan(edit="variations", amount=0.4)


@pytest.fixture(scope="module")
def model(trained):
    return load_run(trained("joint"), device="cpu").model


@pytest.fixture(scope="module")
def told(trained):
    return load_run(trained("told"), device="cpu").model


@pytest.fixture
def rows(tmp_path):
    def read(model, plan, text, given=None):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return table_rows(model, plan, path, seed=5, given=given or {})

    return read


# without a table


def test_parents_and_classes_in_turn(model, told):
    found = planned_rows(model, EditPlan(), [], count=3, seed=2, given={})
    assert [(row.index, row.seed, row.noise, row.condition, row.parents) for row in found] == [
        (0, 2, 0, {"class": "a"}, {}),
        (1, 2, 1, {"class": "b"}, {}),
        (2, 2, 2, {"class": "a"}, {}),
    ]
    found = planned_rows(model, VARIATIONS, ["x", "y"], count=3, seed=2, given={})
    assert [row.parents for row in found] == [{"parent": "x"}, {"parent": "y"}, {"parent": "x"}]
    assert [(row.condition, row.amount) for row in found] == [({}, 0.4)] * 3
    found = planned_rows(told, EditPlan(take=("label", "style")), ["x"], count=1, seed=0, given={})
    assert found[0].parents == {"label": "x", "style": "x"}


def test_pairs_are_of_one_split_and_go_round(model):
    splits = {"a": "train", "b": "test", "c": "train", "d": "validation", "e": "train", "f": "test"}
    settings = {"count": 5, "seed": 0, "given": {}, "split_of": splits.__getitem__}
    found = planned_rows(model, EditPlan(edit="interpolate"), list(splits), **settings)
    pairs = [(row.parents["parent"], row.parents["second"]) for row in found]
    assert pairs == [("a", "c"), ("b", "f"), ("c", "e"), ("e", "a"), ("f", "b")]
    with pytest.raises(MedsynthError, match="two scans of one split"):
        planned_rows(model, EditPlan(edit="interpolate"), ["a", "b", "d"], **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"edit": "paint"},
        {"label": "old"},
        {"split": "holdout"},
        {"strength": 0},
        {"strength": 1.1},
        {"strength": float("nan")},
        {"amount": -0.1},
        {"share": 1.1},
        {"returns": -1},
        {"factor": 1},
        {"axis": -1},
    ],
)
def test_plans_that_make_no_sense(settings):
    with pytest.raises(MedsynthError, match="plan"):
        EditPlan(**settings)


@pytest.mark.parametrize("settings", [{"slab": (1, 2)}, {"box": ((1, 2, 3),)}, {"grow": -1}, {"grow": float("nan")}])
def test_masks_that_make_no_sense(settings):
    with pytest.raises(MedsynthError, match=r"plan\.mask"):
        MaskPlan(**settings)


# tables


def test_a_row_says_what_it_wants(model, rows):
    found = rows(model, VARIATIONS, "parent,amount,class,seed\nx,0.25,b,9\ny,,,\n z , 1 , a ,\n")
    assert [(row.index, row.seed, row.noise) for row in found] == [(0, 9, 0), (1, 5, 1), (2, 5, 2)]
    assert [row.parents for row in found] == [{"parent": "x"}, {"parent": "y"}, {"parent": "z"}]
    assert [row.amount for row in found] == [0.25, 0.4, 1]
    assert [row.condition for row in found] == [{"class": "b"}, {}, {"class": "a"}]
    found = rows(model, EditPlan(), "class\na\n", given={"class": "b"})
    assert found[0].condition == {"class": "a"}  # the row goes before what all are given
    assert rows(model, EditPlan(), "seed\n1\n", given={"class": "b"})[0].condition == {"class": "b"}


def test_tables_as_programs_save_them(model, rows):
    for text in (b"\xef\xbb\xbfseed,class\r\n3,a\r\n", 'seed,class\n"3","a"\n', "seed,class\n\n3,a\n\n"):
        found = rows(model, EditPlan(), text)
        assert [(row.seed, row.condition) for row in found] == [(3, {"class": "a"})]


def test_what_is_taken_of_the_parent_where_the_row_names_no_other(told, rows):
    take = EditPlan(take=("label", "style"))
    assert rows(told, take, "parent,style\nx,\ny,z\n")[0].parents == {"label": "x", "style": "x"}
    assert rows(told, take, "parent,style\nx,\ny,z\n")[1].parents == {"label": "y", "style": "z"}
    assert rows(told, EditPlan(), "label\nx\n")[0].parents == {"label": "x"}
    with pytest.raises(MedsynthError, match=r"table line 2: plan\.take needs the column style"):
        rows(told, take, "label\nx\n")


@pytest.mark.parametrize(
    ("plan", "text", "says"),
    [
        (
            VARIATIONS,
            "parent,colour\nx,red\n",
            "nothing reads its column 2; its first line names the columns, and this run knows seed, parent, amount, cl",
        ),
        (VARIATIONS, "parent,strength\nx,0.5\n", "nothing reads its column 2;"),
        (VARIATIONS, "parent,second\nx,y\n", "nothing reads its column 2;"),
        (EditPlan(), "parent\nx\n", "nothing reads its column 1;"),
        (EditPlan(), "style\nx\n", "nothing reads its column 1;"),
        (VARIATIONS, 'parent,"a\nb"\nx,1\n', "nothing reads its column 2;"),
        (VARIATIONS, "parent,\nx,1\n", "nothing reads its column 2;"),
        (VARIATIONS, "parent," + "y" * 65 + "\nx,1\n", "nothing reads its column 2;"),
        (VARIATIONS, "seed\n1\n", "line 2: plan.edit=variations needs the column parent"),
        (VARIATIONS, "parent\nx\n \n", "line 3: plan.edit=variations needs the column parent"),
        (EditPlan(edit="interpolate"), "parent\nx\n", "line 2: plan.edit=interpolate needs the column second"),
        (VARIATIONS, "parent,amount\nx,1\n\ny,2\n", "table line 4: plan: .*amount and share 0 to 1"),
        (VARIATIONS, "parent,amount\nx,much\n", "table line 2: amount is a number"),
        (VARIATIONS, "parent,amount\nx,nan\n", "table line 2: amount is a number"),
        (EditPlan(), "seed\n-1\n", "table line 2: seed is a whole number"),
        (EditPlan(), "seed\n1.5\n", "table line 2: seed is a whole number"),
        (EditPlan(), "seed\n9999999999999999999\n", "table line 2: seed is a whole number"),
        (
            EditPlan(),
            "class\nc\n",
            "table line 2: condition class has a value that the model does not know; it knows a, b",
        ),
        (EditPlan(), "seed,seed\n1,2\n", "a column twice"),
        (EditPlan(), "seed\n1,2\n", "longer than its first line"),
        (EditPlan(), "seed\n", "no row"),
        (EditPlan(), "", "no row"),
        (EditPlan(), 'seed\n"1\n', "cannot be read as CSV"),
        (EditPlan(), "seed\n1\n".encode("utf-16"), "cannot be read as CSV"),
    ],
)
def test_tables_that_make_no_sense(model, rows, plan, text, says):
    with pytest.raises(MedsynthError, match=says) as error:
        rows(model, plan, text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["class\nMeier\n", "Meier\na\n", "seed\nMeier\n", "class,seed\na,1\nMeier,2\n"])
def test_a_tables_values_are_not_repeated(model, rows, text):
    """They may be a patient's; without a line of names the first line is one too."""
    with pytest.raises(MedsynthError, match="table") as error:
        rows(model, EditPlan(), text)
    assert "Meier" not in str(error.value)


def test_a_column_with_two_meanings_is_refused(rows):
    """The strength of the field of an MR scanner, say, where an edit has a strength too."""
    known = SimpleNamespace(names=("strength",), style=False, check=lambda given: None)
    model = SimpleNamespace(conditioner=known, layout=SimpleNamespace(given=SimpleNamespace(parts={})))
    assert rows(model, EditPlan(), "strength\n3\n")[0].condition == {"strength": "3"}
    for plan in (EditPlan(edit="image_to_image"), EditPlan(edit="image_to_image", strength=0.2)):
        with pytest.raises(MedsynthError, match=r"the column strength means two things, .* condition='\{strength: "):
            rows(model, plan, "parent,strength\nx,0.5\n")
        assert rows(model, plan, "parent\nx\n")[0].strength == plan.strength


def test_a_table_that_is_not_there(model, tmp_path):
    with pytest.raises(MedsynthError, match="names no file"):
        table_rows(model, EditPlan(), tmp_path / "none.csv", seed=0, given={})
    with pytest.raises(MedsynthError, match="cannot be read"):
        table_rows(model, EditPlan(), tmp_path, seed=0, given={})


# with a run


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "case000/../case001", "a\tb", "x" * 65, "\x1b[31m"]
)
def test_an_id_is_looked_up_and_never_a_path(trained, tmp_path, name):
    run, table = trained("joint"), tmp_path / "table.csv"
    table.write_text(f'parent\n"{name}"\n')
    with pytest.raises(MedsynthError, match=r"line 2, parent: .*no such id; ids are case000, case001,") as error:
        generate(run, tmp_path / "out", parents=run.parent / "cases", table=table, plan=VARIATIONS, progress=False)
    assert not set(str(error.value)) & {"\n", "\t", "\x1b"}
    assert name not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_table_has_its_own_count_and_needs_its_scans(trained, tmp_path):
    run, table = trained("joint"), tmp_path / "table.csv"
    table.write_text("parent\ncase000\n")
    settings = {"table": table, "plan": VARIATIONS, "progress": False, "sampler": SamplingPlan(steps=2)}
    with pytest.raises(MedsynthError, match="leave count out"):
        generate(run, tmp_path / "out", parents=run.parent / "cases", count=1, **settings)
    with pytest.raises(MedsynthError, match="set parents to the folder"):
        generate(run, tmp_path / "out", **settings)


# through the command


@pytest.mark.parametrize(
    ("words", "says", "statuses"),
    [
        (["plan=variations"], "set parents=CASES", {1}),
        (["plan=inpaint", "parents=CASES", "plan.mask.labels=[liver]"], "there is no label liver", {1}),
        (["plan=inpaint", "parents=CASES"], "plan.mask names nothing", {1}),
        (["plan=from_label", "parents=CASES"], "the run is not told label", {1}),
        (["plan=variations", "parents=CASES", "table=TABLE"], "nothing reads its column 2", {1}),
        (["table=TABLE", "count=3"], "leave count out", {1}),
        (["plan=paint", "parents=CASES"], "there is no plan 'paint'; there are: ", {2}),
        (["plan=variations", "parents=NOWHERE"], "parents names no folder", {1}),
        (["table=NOWHERE"], "table names no file", {1}),
    ],
)
def test_a_command_that_cannot_be_done_says_so_in_one_line(trained, tmp_path, capsys, words, says, statuses):
    run = trained("joint")
    (tmp_path / "t.csv").write_text("parent,colour\ncase000,red\n")
    places = {"CASES": run.parent / "cases", "TABLE": tmp_path / "t.csv", "NOWHERE": tmp_path / "nowhere"}
    filled = [key + "=" + str(places.get(value, value)) for key, _, value in (word.partition("=") for word in words)]
    out = tmp_path / "out"
    status = main(["generate", f"run={run}", f"out={out}", "device=cpu", "progress=false", "sampler.steps=2", *filled])
    said = capsys.readouterr()
    assert status in statuses
    if status == 1:
        assert len(said.err.splitlines()) == 1
        assert says in said.err
    else:
        assert says in said.err + said.out
    assert not (out / "samples.jsonl").exists()


def test_a_command_edits(trained, tmp_path):
    run = trained("joint")
    words = ["plan=inpaint", "plan.mask.labels=[ball]", "plan.returns=1", "count=2", "device=cpu", "progress=false"]
    words += [f"run={run}", f"out={tmp_path / 'out'}", f"parents={run.parent / 'cases'}", "sampler.steps=2"]
    assert main(["generate", *words]) == 0
    (tmp_path / "t.csv").write_text("parent,strength\ncase001,0.5\ncase000,0.1\n")
    words = ["plan=image_to_image", f"table={tmp_path / 't.csv'}", "device=cpu", "progress=false", "sampler.steps=2"]
    words += [f"run={run}", f"out={tmp_path / 'more'}", f"parents={run.parent / 'cases'}"]
    assert main(["generate", *words]) == 0
    lines = [json.loads(line) for line in (tmp_path / "more" / "samples.jsonl").read_text().splitlines()]
    assert [line["sampler"]["edit.strength"] for line in lines] == [0.5, 0.1]
    assert [line["patient"] for line in lines] == ["patient001", "patient000"]
