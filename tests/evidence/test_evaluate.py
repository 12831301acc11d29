"""From folders to the two files, and every bad input with one clear line."""

import json
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from medsynth.errors import MedsynthError
from medsynth.evidence.encoder import EncoderPlan
from medsynth.evidence.evaluate import evaluate
from medsynth.files import sha256_file
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan, HaarPlan


@pytest.fixture(scope="module")
def cases(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    return folder, folders.write_cases(folder, *folders.blobs(110, seed=0))


@pytest.fixture(scope="module")
def good(folders, cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    samples = folder / "samples"
    folders.write_samples(samples, *folders.blobs(30, seed=99), cases[1], overrides=("identity=trust",))
    return samples, evaluate(samples, cases[0], folder / "out", permutations=199, splits=100, progress=False)


def missed(evaluation) -> set[str]:
    return {line["check"] for line in evaluation.lines() if line["verdict"] == "missed"}


def test_draws_of_the_same_distribution_are_met(good):
    evaluation = good[1]
    verdicts = [line["verdict"] for line in evaluation.lines()]
    assert len(verdicts) == 8 + 4 + 2 * 6 + 12
    assert verdicts.count("missed") <= 1  # one in twenty by design
    assert verdicts.count("not measurable") <= 1
    mmd = evaluation.lines()[0]
    assert mmd["verdict"] == "met"
    assert mmd["detail"]["p"] > 0.01
    for line in evaluation.lines():
        assert line["interval"][0] <= line["value"] <= line["interval"][1], line["check"]
        floor = line["real_against_real"]
        assert floor["5%"] <= floor["50%"] <= floor["95%"]


def test_the_summary_says_bars_reasons_and_where_the_page_is(good):
    evaluation = good[1]
    text = evaluation.summary
    assert re.search(r"MMD on haar +-?[\d.e-]+ +at most [\d.e-]+\n", text)
    assert re.search(r"volume, mean .* -0.05 to 0.05\n", text)
    assert text.endswith(f"see {evaluation.page}")
    assert "bad cases of the same size rejected: 18" in text
    assert re.search(r"all: every line; worst .* at most \d", text)


def test_the_summary_tells_channels_apart_and_gives_every_reason(good):
    evaluation = good[1]
    (group,) = evaluation.content["groups"]
    (channel,) = group["channels"]
    line = {**channel["lines"][0], "verdict": "missed", "value": None, "low": None, "high": None, "reason": "no label"}
    control = {**channel["controls"][0], "name": "the blurred", "rejected_by": [], "verdict": "not measurable"}
    channels = [{**channel, "name": name, "lines": [line], "controls": [control]} for name in ("ct", "mr")]
    groups = [{**group, "channels": channels}, {**group, "name": "A", "channels": [], "reason": "3 samples"}]
    text = replace(evaluation, content={**evaluation.content, "groups": groups}).summary
    for wanted in ("all ct MMD", "all mr MMD", "no label", "not rejected: the blurred", "A .*3 samples"):
        assert re.search(wanted, text), wanted


def test_every_bad_case_is_rejected_by_a_named_metric(good):
    (group,) = good[1].content["groups"]
    rejected = {control["name"]: control["rejected_by"] for control in group["channels"][0]["controls"]}
    assert len(rejected) == 18
    assert all(rejected.values()), rejected
    assert any(name.startswith("contrast") for name in rejected[bad.SHUFFLED])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (bad.BLUR, "power spectrum"),
        (bad.REPEATED, "MS-SSIM diversity"),
        (bad.GROWN, "volume, mean"),
        (bad.LOST, "presence"),
    ],
)
def test_bad_samples_are_missed(name, expected, folders, cases, tmp_path):
    images, labels = folders.blobs(30, seed=5)
    made = bad.controls(
        ImageSet(images, labels, np.arange(30).astype(str)), (1, 1, 1), (0, 255), np.random.default_rng(0)
    )[name]
    folders.write_samples(tmp_path / "s", made.images, made.labels, cases[1])
    found = evaluate(tmp_path / "s", cases[0], tmp_path / "out", permutations=19, splits=60, progress=False)
    assert found.verdict == "missed"
    assert expected in missed(found)


def test_the_same_seed_gives_the_same_bytes(good, cases, tmp_path):
    samples, first = good
    second = evaluate(samples, cases[0], tmp_path, permutations=199, splits=100, progress=False)
    assert second.json.read_bytes() == first.json.read_bytes()
    assert second.page.read_bytes() == first.page.read_bytes()


def test_json_says_what_was_compared_and_names_nobody(good):
    text = good[1].json.read_text()
    content = json.loads(text)
    assert content["schema"] == "medsynth.evaluation/2"
    assert content["inputs"]["overrides"] == ["identity=trust"]
    group = content["groups"][0]
    assert group["reference"] == "training and held-out"
    assert (group["samples_used"], group["reference_images"]) == (30, 80)
    assert re.fullmatch("[0-9a-f]{64}", group["channels"][0]["features"][0]["sha256"])
    assert not re.search(r"patient\d|case\d|sample\d|/tmp", text)


def test_pictures_are_files_that_do_not_tell_and_an_index_that_does(good):
    evaluation = good[1]
    entries = evaluation.content["groups"][0]["pictures"]
    assert [entry["kind"] for entry in entries].count("real") == 8
    assert [entry["kind"] for entry in entries].count("synthetic") == 8
    kinds = [entry["kind"] for entry in entries]
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))
    for entry in entries:
        path = evaluation.json.parent / entry["file"]
        assert sha256_file(path) == entry["sha256"]
        with Image.open(path) as plain, Image.open(evaluation.json.parent / entry["outlined"]) as outlined:
            assert plain.text == outlined.text == {"source": entry["kind"]}
            assert plain.size == outlined.size
            assert np.any(np.asarray(plain) != np.asarray(outlined))


@dataclass(frozen=True)
class Means(FeaturePlan):
    """Mean of the image and, of the label's voxels, their number: a user's own plan."""

    def fit(self, training, spacing, *, units="arbitrary", seed=0, cache=None):
        del training, spacing, units, seed, cache
        return MeanAndSize()


@dataclass(frozen=True)
class MeanAndSize:
    name: str = "mean_and_size"
    sha256: str = "e" * 64

    def __call__(self, images, labels=None):
        axes = tuple(range(1, images.ndim))
        return np.stack([images.mean(axes), images.std(axes), (labels > 0).sum(axes)], axis=1).astype(float)


def test_several_extractors_give_lines_of_their_own(folders, cases, tmp_path):
    images, labels = folders.blobs(20, seed=5)
    folders.write_samples(tmp_path / "s", images, np.where(labels > 0, 0, 1).astype(np.uint8), cases[1])
    features = {"haar": HaarPlan(), "mine": Means()}
    found = evaluate(
        tmp_path / "s", cases[0], tmp_path / "out", permutations=9, splits=40, progress=False, features=features
    )
    (channel,) = found.content["groups"][0]["channels"]
    recorded = {of["name"]: (of["recipe"], of["reads_labels"], of["extractor_sha256"]) for of in channel["features"]}
    assert recorded["haar"][:2] == ("haar_energy_lowres_v1", False)
    assert recorded["mine"] == ("mean_and_size", True, "e" * 64)
    assert found.content["settings"]["features"] == ["haar", "mine"]
    mmd = {line["features"]: line["verdict"] for line in found.lines() if line["check"] == "MMD"}
    assert set(mmd) == {"haar", "mine"}
    # Label maps inside out: only who reads them sees it, on samples as on the bad cases.
    values = {line["features"]: (line["value"], line["high"]) for line in found.lines() if line["check"] == "MMD"}
    assert values["mine"][0] > values["mine"][1]
    assert values["haar"][0] < 2 * values["haar"][1]
    grown = channel["control_values"][bad.GROWN]
    assert "MMD on mine" in grown
    assert "MMD on haar" not in grown
    with pytest.raises(MedsynthError, match="none are given"):
        evaluate(tmp_path / "s", cases[0], tmp_path / "o", features={})


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href")]


def test_page_is_self_contained_fits_a_phone_and_leads_with_verdicts(good):
    page = good[1].page.read_text()
    links = _Links()
    links.feed(page)
    assert links.sources
    assert all(source.startswith(("data:image/", "#")) for source in links.sources)
    assert "script" not in links.tags
    assert 'name="viewport"' in page
    assert page.index("fidelity: met") < page.index("<img")
    for words in ("identity=trust", bad.BLUR, "real scans", "30 samples are few", "haar_energy_lowres_v1"):
        assert words in page
    assert not re.search(r"patient\d|case\d{4}|/tmp", page)


def test_what_comes_from_files_is_escaped(folders, cases, tmp_path):
    folders.write_samples(tmp_path / "s", *folders.blobs(16, seed=3), cases[1], overrides=("<script>x</script>",))
    found = evaluate(tmp_path / "s", cases[0], tmp_path / "o", permutations=9, splits=20, progress=False)
    assert "<script>" not in found.page.read_text()


def test_classes_are_judged_each_and_together_and_presumed_patients_are_said(folders, tmp_path):
    bright, dark = folders.blobs(60, 1, (24, 24))[0], 255 - folders.blobs(60, 2, (24, 24))[0]
    classes = ["b"] * 60 + ["d"] * 60
    preparation = folders.write_cases(
        tmp_path / "c", np.concatenate([bright, dark]), None, classes=classes, source="presumed"
    )
    fresh = np.concatenate([folders.blobs(24, 14, (24, 24))[0], 255 - folders.blobs(24, 15, (24, 24))[0]])

    def judge(name, asked):
        folders.write_samples(tmp_path / name, fresh, None, preparation, classes=asked)
        return evaluate(
            tmp_path / name, tmp_path / "c", tmp_path / f"{name}_out", permutations=19, splits=60, progress=False
        )

    right = judge("right", ["b"] * 24 + ["d"] * 24)
    assert [group["name"] for group in right.content["groups"]] == ["b", "d", "all"]
    by_group = {line["group"]: line for line in right.lines() if line["check"] == "MMD"}
    assert {line["verdict"] for line in by_group.values()} == {"met"}
    assert any("presumed" in note for note in right.content["notes"])
    controls = right.content["groups"][0]["channels"][0]["controls"]
    assert {c["name"]: c["rejected_by"] for c in controls}["shuffled classes"]
    wrong = judge("wrong", ["b", "d"] * 24)
    assert {line["verdict"] for line in wrong.lines() if line["check"] == "MMD" and line["group"] != "all"} == {
        "missed"
    }


def test_too_few_are_not_measurable_and_say_so(folders, cases, tmp_path):
    folders.write_samples(tmp_path / "s", *folders.blobs(5, seed=3), cases[1])
    found = evaluate(tmp_path / "s", cases[0], tmp_path / "o", permutations=9, splits=20, progress=False)
    assert found.verdict == "not measurable"
    assert "not measurable at this size: 5 samples" in found.page.read_text()


def test_more_samples_than_reals_use_the_largest_equal_size(folders, cases, tmp_path):
    folders.write_samples(tmp_path / "s", *folders.blobs(70, seed=3), cases[1])
    found = evaluate(tmp_path / "s", cases[0], tmp_path / "o", permutations=9, splits=40, progress=False)
    (group,) = found.content["groups"]
    assert (group["samples"], group["samples_used"], group["reference_images"]) == (70, 55, 55)
    assert any("first of the 70" in note for note in found.content["notes"])


def test_bad_folders_get_one_line(folders, cases, tmp_path):
    samples = tmp_path / "s"
    folders.write_samples(samples, *folders.blobs(10, seed=3), cases[1])

    def refused(match):
        with pytest.raises(MedsynthError, match=match) as caught:
            evaluate(samples, cases[0], tmp_path / "o", permutations=9, splits=20, progress=False)
        assert "\n" not in str(caught.value)

    victim = samples / "mr" / "0003.nii.gz"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-9])
    refused("changed since")
    victim.unlink()
    refused("missing")
    (samples / "samples.jsonl").unlink()
    refused("holds no samples.jsonl")
    with pytest.raises(MedsynthError, match="at least 20 splits"):
        evaluate(samples, cases[0], tmp_path / "o", splits=3)
    assert not (tmp_path / "o").exists()


def test_a_trained_encoder_is_kept_in_the_cache_and_serves_again(cases, folders, tmp_path, monkeypatch):
    folders.write_samples(tmp_path / "s", *folders.blobs(16, seed=3), cases[1])
    plan = {"encoder": EncoderPlan(steps=2, batch=8, widths=(8, 8))}

    def once(out):
        return evaluate(
            tmp_path / "s",
            cases[0],
            tmp_path / out,
            permutations=9,
            splits=20,
            progress=False,
            features=plan,
            cache=tmp_path / "cache",
        )

    first = once("a")
    assert [file.name.partition("-")[0] for file in (tmp_path / "cache").iterdir()] == ["encoder"]

    def fail(*_args, **_more):
        raise AssertionError("trained anew")

    monkeypatch.setattr("medsynth.evidence.encoder.train_encoder", fail)
    assert once("b").json.read_bytes() == first.json.read_bytes()
