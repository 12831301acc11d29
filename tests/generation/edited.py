"""What the tests of edits share: short runs of generate, tables, plans."""

import csv

from medsynth.data.nifti import read_stored
from medsynth.data.preparation import Preparation
from medsynth.generation.making import Maker
from medsynth.generation.parents import Parents
from medsynth.generation.plan import EditPlan, MaskPlan
from medsynth.generation.run import generate
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records

SHORT = SamplingPlan(steps=3)


def make(run, out, **settings):
    generate(run, out, **{"sampler": SHORT, "progress": False, "device": "cpu", **settings})
    return read_records(out / "samples.jsonl", SampleRecord)


def cases_of(folder):
    return read_records(folder / "cases.jsonl", CaseRecord)


def bits(folder, record, name):
    return read_stored(folder / record.channels[name].path)


def table(path, *rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def inpaint(label="new", **mask):
    return EditPlan(edit="inpaint", label=label, returns=1, mask=MaskPlan(**mask))


def maker_of(run, parents, plan, sampling=SHORT):
    model, preparation = load_run(run, device="cpu").model, Preparation.read(run)
    found = Parents(parents, preparation, model.layout)
    return Maker(model, None, preparation, sampling, plan, found)
