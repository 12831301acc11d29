"""Which folders make rows, and each of those that must not be compared."""

import pytest

from medsynth.data.split import split_patients
from medsynth.errors import MedsynthError
from medsynth.evidence.utility.folders import find_rows
from medsynth.records import CaseRecord, read_records


def patient_of(cases, split, name):
    """A patient of that split, or one that is in none."""
    splits = split_patients(read_records(cases / "cases.jsonl", CaseRecord), split)
    everyone = {record.patient for record in read_records(cases / "cases.jsonl", CaseRecord)}
    return next(p for p in sorted(everyone) if splits.get(p) == name)


def test_folders_make_rows_by_the_number_of_patients(blob_cases, write_draws, tmp_path):
    write_draws(tmp_path / "s" / "few", patients=12)
    write_draws(tmp_path / "s" / "all", draws=1, patients=None)
    few, every = find_rows(tmp_path / "s", blob_cases.path, None)
    assert (few.size, few.whole, len(few.folders)) == (12, False, 3)
    assert (every.size, every.whole, len(every.folders)) == (45, True, 1)
    assert [folder.preparation.split.draw for folder in few.folders] == [0, 1, 2]
    assert len({folder.patients for folder in few.folders}) == 3
    assert {folder.test for row in (few, every) for folder in row.folders} == {every.folders[0].test}
    assert not every.folders[0].origin.known


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "other test patients"),
        ({"test": 0.1}, "other test patients"),
        ({"draw": 0, "draws": 2}, "no two draws"),
        ({"test": 0.0}, "held-out patients, and there are none"),
    ],
)
def test_what_may_not_be_compared_is_refused(blob_cases, write_draws, tmp_path, changes, said):
    write_draws(tmp_path / "s" / "one", draws=1)
    write_draws(tmp_path / "s" / "two", **{"draws": 1, **changes})
    with pytest.raises(MedsynthError, match=said):
        find_rows(tmp_path / "s", blob_cases.path, None)


def test_other_cases_few_samples_and_empty_folders_are_refused(folders, blob_cases, write_draws, tmp_path):
    write_draws(tmp_path / "one", draws=1)
    other = tmp_path / "cases"
    preparation = folders.write_cases(other, *folders.blobs(60, seed=3, shape=(16, 18)))
    folders.write_samples(tmp_path / "one" / "x", *folders.blobs(9, seed=3, shape=(16, 18)), preparation)
    with pytest.raises(MedsynthError, match="come from other cases"):
        find_rows(tmp_path / "one", blob_cases.path, None)
    write_draws(tmp_path / "few", draws=1, count=7)
    with pytest.raises(MedsynthError, match="7 samples"):
        find_rows(tmp_path / "few", blob_cases.path, None)
    for samples, runs, said in ((other, None, "samples holds no folder"), (tmp_path / "one", other, "holds no run")):
        with pytest.raises(MedsynthError, match=said):
            find_rows(samples, blob_cases.path, runs)


@pytest.mark.parametrize(
    ("split", "said"), [("test", "a held-out patient"), (None, "beyond those of its generator"), ("train", None)]
)
def test_derived_samples_belong_to_the_rows_patients(folders, blob_cases, write_draws, tmp_path, split, said):
    write_draws(tmp_path / "s", draws=1)
    folder = tmp_path / "s" / "0"
    preparation = find_rows(folder, blob_cases.path, None)[0].folders[0].preparation
    patient = patient_of(blob_cases.path, preparation.split, split)
    images = folders.blobs(9, seed=3, shape=(16, 18))
    folders.write_samples(folder, *images, preparation, parents=("b" * 64,), patient=patient)
    if said is None:
        assert find_rows(folder, blob_cases.path, None)
        return
    with pytest.raises(MedsynthError, match=said):
        find_rows(folder, blob_cases.path, None)
