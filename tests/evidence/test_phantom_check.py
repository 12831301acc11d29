import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from medsynth.data.nifti import write_nifti
from medsynth.data.phantom import PHANTOM_LABELS, make_scan
from medsynth.data.preparation import Preparation, cases_digest
from medsynth.data.resampling import Intensity, Resampling
from medsynth.data.split import SplitPlan
from medsynth.errors import MedsynthError
from medsynth.evidence.phantom_check import between, check_phantoms, features, judge_set, real_spread, spread
from medsynth.files import sha256_file
from medsynth.geometry import Geometry
from medsynth.metrics.torso import training_ranges
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.records import CASES_FILE, SAMPLES_FILE, CaseRecord, Channel, SampleRecord, write_records

GRID = {"shape": (32, 32, 24), "spacing": (12.0, 12.0, 16.0)}
SIZE = 16


def pairs(patients, scans=2):
    return [(scan.ct, scan.label) for p in patients for k in range(scans) for scan in [make_scan(p, k, **GRID)]]


@pytest.fixture(scope="module")
def geometry():
    return make_scan(0, 0, **GRID).geometry


@pytest.fixture(scope="module")
def training():
    return pairs(range(24))


@pytest.fixture(scope="module")
def held_out():
    return pairs(range(100, 100 + SIZE // 2))


@pytest.fixture(scope="module")
def good():
    return pairs(range(200, 200 + SIZE), scans=1)


@pytest.fixture(scope="module")
def untrained(geometry):
    rng = np.random.default_rng(0)
    shape = geometry.shape
    return [(rng.uniform(-1000, 400, shape).astype(np.float32), rng.integers(0, 7, shape)) for _ in range(SIZE)]


def test_real_patients_pass_and_every_control_comes_out_as_it_must(
    good, training, held_out, untrained, geometry
) -> None:
    check = check_phantoms(good, training, held_out, geometry, untrained=untrained)
    results = {control.name: control for control in check.controls}
    assert list(results) == [
        "real, held out",
        "labels shuffled",
        "real, mirrored",
        "one training case repeated",
        "untrained model",
    ]
    assert check.passed
    assert check.exit_code == 0
    strictly = check.samples.strictly
    assert check.verdict == f"passed: {SIZE} of {SIZE} are torsos, {strictly} of them inside the bare range of HU too"
    assert all(control.size == SIZE for control in check.controls)
    assert results["labels shuffled"].passing <= 2
    assert results["real, mirrored"].failures == {"liver to the right": SIZE}
    repeated = results["one training case repeated"]
    assert repeated.passing == SIZE, "only its diversity gives it away"
    assert repeated.diversity == pytest.approx(0, abs=1e-3)
    assert results["untrained model"].passing == 0
    assert 0.85 < results["real, held out"].diversity < 1.2


def test_bad_samples_miss_the_bar(good, training, held_out, geometry) -> None:
    spoilt = [(ct, np.where(label == 5, 1, label) if i < 2 else label) for i, (ct, label) in enumerate(good)]
    check = check_phantoms(spoilt, training, held_out, geometry)
    assert check.samples.passing == SIZE - 2
    assert check.proves
    assert not check.passed
    assert check.exit_code == 1
    assert check.verdict.startswith(f"the samples missed the bar: {SIZE - 2} of {SIZE} are torsos")


def test_a_control_that_comes_out_wrong_proves_nothing(good, training, geometry, held_out) -> None:
    check = check_phantoms(good, training, held_out, geometry, untrained=good)
    assert check.samples.passed
    assert not check.passed
    assert check.exit_code == 1
    assert check.verdict == "proves nothing: these controls did not come out as they must: untrained model"
    worse = [(ct + 300, label) for ct, label in held_out]
    assert "real, held out" in check_phantoms(good, training, worse, geometry).verdict


@pytest.mark.parametrize("modes", [1, 2, 4])
def test_a_few_cases_over_and_over_are_not_diverse(good, training, geometry, modes: int) -> None:
    ranges = training_ranges(training, geometry)
    collapsed = [good[i % modes] for i in range(SIZE)]
    assert not judge_set("few", "fail", collapsed, geometry, ranges, real_spread(training, SIZE)).passed


def test_noise_is_not_diversity(training, geometry) -> None:
    rng = np.random.default_rng(1)
    ct, label = training[0]
    noisy = [(ct + rng.normal(0, 30, ct.shape).astype(np.float32), label) for _ in range(SIZE)]
    ranges = training_ranges(training, geometry)
    assert judge_set("noisy", "fail", noisy, geometry, ranges, real_spread(training, SIZE)).diversity < 0.2


def test_distances_are_those_of_the_definition(good) -> None:
    rows = features(good[:4])
    direct = np.array([[np.sqrt(((a - b) ** 2).mean()) for b in rows] for a in rows])
    apart = ~np.eye(4, dtype=bool)
    mean, nearest = spread(between(rows))
    assert mean == pytest.approx(direct[apart].mean(), rel=1e-6)
    assert nearest == pytest.approx((direct + 1e9 * np.eye(4)).min(axis=1).mean(), rel=1e-6)


def test_the_result_prints_and_is_json(good, training, held_out, geometry) -> None:
    check = check_phantoms(good, training, held_out, geometry)
    content = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert content["passed"] is True
    assert content["samples"]["passing"] >= 15
    assert [control["must"] for control in content["controls"]] == ["pass", "fail", "fail", "fail"]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(check.table())
    text = console.export_text()
    assert "mirrored" in text
    assert f"0 of {SIZE}" in text


def test_controls_need_the_samples_size(good, training, held_out, geometry) -> None:
    with pytest.raises(MedsynthError, match="3 held-out volumes for 16 samples"):
        check_phantoms(good, training, held_out[:3], geometry)
    with pytest.raises(MedsynthError, match="at least 2"):
        check_phantoms(good[:1], training, held_out, geometry)
    with pytest.raises(MedsynthError, match="all alike"):
        check_phantoms(good, [training[0]] * SIZE, held_out, geometry)


def script() -> Any:
    path = Path(__file__).parents[2] / "scripts" / "check_phantom.py"
    spec = importlib.util.spec_from_file_location("check_phantom", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_channels(folder: Path, name: str, pair, geometry: Geometry) -> dict[str, Channel]:
    channels = {}
    for channel, array, kind, units in zip(("image", "label"), pair, ("image", "label"), ("HU", "label"), strict=True):
        path = f"{name}_{channel}.nii.gz"
        write_nifti(folder / path, np.rint(array).astype(np.int16 if kind == "image" else np.uint8), geometry)
        channels[channel] = Channel(path=path, kind=kind, units=units, sha256=sha256_file(folder / path))
    return channels


def write_samples(folder: Path, pairs_, preparation: Preparation) -> None:
    fields = {"seed": 0, "condition": {}, "sampler": {}, "checkpoint": "0" * 64, "identity": "trusted"}
    grid = preparation.grid
    records = [
        SampleRecord(
            id=f"s{i}",
            index=i,
            channels=write_channels(folder, f"s{i}", p, grid),
            geometry=grid,
            labels=PHANTOM_LABELS,
            **fields,
        )
        for i, p in enumerate(pairs_)
    ]
    write_records(folder / SAMPLES_FILE, records)
    preparation.write(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, training, held_out, good, geometry):
    """CASES, SAMPLES and what an untrained model makes, as the verbs leave them."""
    top = tmp_path_factory.mktemp("demo")
    records = []
    for split, cases in (("train", training), ("validation", held_out[:8]), ("test", held_out[8:])):
        for i, pair in enumerate(cases):
            name = f"{split}{i}"
            records.append(
                CaseRecord(
                    id=name,
                    patient=f"p-{split}-{i // 2}",
                    patient_source="pattern",
                    identity="trusted",
                    channels=write_channels(top / "cases", name, pair, geometry),
                    geometry=geometry,
                    labels=PHANTOM_LABELS,
                    split=split,
                )
            )
    write_records(top / "cases" / CASES_FILE, records)
    preparation = Preparation(
        layout=Layout(
            images=(ImageChannel(name="image", units="HU", low=-1000.0, high=500.0, modality="CT", integer=True),),
            label=LabelChannel(name="label", values={0: "background", **PHANTOM_LABELS}),
            grid=geometry,
        ),
        intensity={"image": Intensity(kind="window", low=-1000.0, high=500.0)},
        resampling=Resampling(orientation="RAS", spacing=geometry.spacing, size=geometry.shape),
        split=SplitPlan(),
        cases_sha256=cases_digest(records),
    )
    write_samples(top / "samples", [(np.clip(ct, -1000, 500), label) for ct, label in good], preparation)
    write_samples(top / "mirrored", [(ct[::-1], label[::-1]) for ct, label in good], preparation)
    write_samples(top / "empty", [(np.zeros_like(ct), np.zeros_like(label)) for ct, label in good], preparation)
    return top


def test_the_command_passes_real_patients(folders: Path, capsys) -> None:
    result = folders / "check.json"
    code = script().main(
        f"--samples {folders}/samples --cases {folders}/cases --untrained {folders}/empty --json {result}".split()
    )
    assert code == 0
    content = json.loads(result.read_text())
    assert content["samples"]["size"] == SIZE
    assert [control["name"] for control in content["controls"]][-1] == "untrained model"
    assert f"phantom check: passed: {SIZE} of {SIZE} are torsos" in capsys.readouterr().out


def test_the_command_fails_mirrored_samples_and_says_what_is_missing(folders: Path, capsys) -> None:
    cases = ("--cases", str(folders / "cases"))
    assert script().main(["--samples", str(folders / "mirrored"), *cases]) == 1
    assert "missed the bar" in capsys.readouterr().out
    assert script().main(["--samples", str(folders / "cases"), *cases]) == 1
    assert "preparation.json" in capsys.readouterr().err
