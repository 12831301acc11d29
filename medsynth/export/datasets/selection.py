"""Which samples and real cases go out, and into which split: nobody that was held out gets into training."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medsynth.data.split import same_person, split_patients
from medsynth.errors import MedsynthError
from medsynth.export.datasets.entry import Entry, Form, agreed_labels, form_of
from medsynth.export.datasets.settings import DatasetFormat, DatasetSettings
from medsynth.export.dicom_origin import NOBODY, is_partly_real
from medsynth.export.gate import ACCEPTED, Gate
from medsynth.ingest.clearance import identities
from medsynth.records import CASES_FILE, CaseRecord, SampleRecord, Split, read_records

UNCLEARED = "uncleared=i_accept"
HELD_OUT = "derived from a patient who is not one of the generator's training patients"


class Selection(NamedTuple):
    """What goes out.

    `left_out`: how many stay behind, by reason; `overrides`: gates that were passed by name.
    """

    form: Form
    entries: list[Entry]
    left_out: dict[str, int]
    overrides: tuple[str, ...]

    def of(self, split: Split) -> list[Entry]:
        """The entries of a split."""
        return [entry for entry in self.entries if entry.split == split]


class Real(NamedTuple):
    """Real cases of the generator's folder: its records, the split of each patient key, and who is one person."""

    folder: Path
    records: list[CaseRecord]
    splits: Mapping[str, Split]
    person: Mapping[str, str]


def select(
    samples: Path,
    gate: Gate,
    kind: DatasetFormat,
    settings: DatasetSettings,
    real: Path | None = None,
    uncleared: str | None = None,
) -> Selection:
    """Choose what goes out.

    Samples of nobody's are for training. A derived sample is its patient: it is for training where that is a training
    patient of the generator's run, and stays behind otherwise. Real cases go where the run had them.

    Args:
        samples: SAMPLES.
        gate: what its audit lets out.
        kind: of the data set.
        settings: of it.
        real: CASES that the generator was trained on; None for samples alone.
        uncleared: "i_accept" lets real cases out that no identity gate cleared.

    Raises:
        MedsynthError: cases that the generator was not trained on, of another form, or not cleared; nothing is left
            for training.
    """
    if uncleared not in (None, ACCEPTED):
        raise MedsynthError(f"uncleared is {ACCEPTED} or null")
    records = [record for record, _ in gate.cleared]
    form = form_of(records)
    known = None if real is None else _read_real(samples, real)
    left_out = Counter({"flagged by the audit": len(gate.flagged)})
    entries = _samples(samples, gate, known, left_out)
    overrides = {name for record in records for name in record.overrides}
    if known is not None:
        chosen = _real_cases(known, form, kind, settings, left_out)
        overrides |= _clearance(known, chosen, uncleared)
        entries += chosen
        form = form._replace(labels=agreed_labels([entry.record for entry in entries]))
    if not any(entry.split == "train" for entry in entries):
        raise MedsynthError("nothing is left for training: " + "; ".join(f"{n} {why}" for why, n in left_out.items()))
    return Selection(form, entries, {why: n for why, n in left_out.items() if n}, tuple(sorted(overrides)))


def _read_real(samples: Path, folder: Path) -> Real:
    from medsynth.data.preparation import Preparation, cases_digest  # torch and MONAI: seconds, for real cases alone

    preparation = Preparation.read(samples)
    records = read_records(folder / CASES_FILE, CaseRecord)
    if cases_digest(records) != preparation.cases_sha256:
        raise MedsynthError(
            "real: these are not the cases that the generator was trained on, so who was held out is not known; name "
            "the folder of cases of its run"
        )
    return Real(folder, records, split_patients(records, preparation.split), same_person(records))


def _samples(samples: Path, gate: Gate, real: Real | None, left_out: Counter[str]) -> list[Entry]:
    entries = []
    for record, said in gate.cleared:
        if is_partly_real(record) and not may_train(record, real):
            left_out[HELD_OUT] += 1
            continue
        entries.append(
            Entry(
                record=record,
                folder=samples,
                split="train",
                verdict=_verdict(record.id, gate),
                people=frozenset(_people(record, real) if is_partly_real(record) else ()),
                said=said,
            )
        )
    return entries


def may_train(record: SampleRecord, real: Real | None) -> bool:
    """Whether a derived sample is of training patients alone, by its record and, where it is given, by the split.

    What is not known is not a training patient.
    """
    if record.split != "train":
        return False
    if real is None:
        return True
    training = {real.person[patient] for patient, split in real.splits.items() if split == "train"}
    return _people(record, real) <= training


def _people(record: SampleRecord, real: Real | None) -> set[str]:
    """One key for each person whose scans are in a derived sample.

    Its patient key joins theirs, or is a hash of too many: then its parents' hashes tell. A key that real cases do not
    have stands for itself.
    """
    keys = {key for key in str(record.patient).split(".") if not key.startswith(NOBODY)}
    if real is None:
        return keys
    by_hash = {case.sha256: case.patient for case in real.records if case.sha256 in record.parents}
    if not keys <= set(real.person) and len(by_hash) == len(set(record.parents)):
        keys = set(by_hash.values())
    return {real.person.get(key, key) for key in keys | set(by_hash.values())}


def _verdict(name: str, gate: Gate) -> str:
    if name not in gate.unaudited:
        return "pass"
    return "cannot-assess" if gate.audited else "not audited"


def _real_cases(
    real: Real, form: Form, kind: DatasetFormat, settings: DatasetSettings, left_out: Counter[str]
) -> list[Entry]:
    wanted = [*form.images, *([form.label] if form.label else [])]
    chosen = []
    for record in real.records:
        split = real.splits.get(record.patient)
        if split is None:
            left_out["real, in no split of the generator's run"] += 1
        elif any(name not in record.channels for name in wanted):
            left_out["real, without all channels of the samples"] += 1
        elif not settings.keeps(split, kind):
            left_out[f"real, of {split} patients"] += 1
        else:
            _require_fit(record, form)
            people = frozenset({real.person[record.patient]})
            chosen.append(Entry(record=record, folder=real.folder, split=split, people=people))
    return chosen


def _require_fit(record: CaseRecord, form: Form) -> None:
    for name, units in form.images.items():
        if record.channels[name].units != units:
            raise MedsynthError(
                f"case {record.id}: its {name} is in {record.channels[name].units}, the samples' in {units}; they "
                "cannot be one data set"
            )
    if record.geometry.rank != form.rank:
        raise MedsynthError(
            f"case {record.id} has {record.geometry.rank} axes, the samples have {form.rank}: slices and volumes "
            "cannot be one data set; export the samples without real="
        )


def _clearance(real: Real, chosen: Sequence[Entry], uncleared: str | None) -> set[str]:
    """Refuse real cases that no identity gate cleared; the overrides where that was accepted."""
    records = [entry.record for entry in chosen if isinstance(entry.record, CaseRecord)]
    states: Collection[str] = set(identities(real.folder, records)) - {"cleared"}
    if not states:
        return set()
    if uncleared is None:
        raise MedsynthError(
            "real: some of these cases were not cleared by the identity gate: ingest them with identity=check or "
            f"identity=remove, or set {UNCLEARED}, which is written into the data set"
        )
    return {UNCLEARED, *(f"identity={'trust' if state == 'trusted' else state}" for state in states)}
