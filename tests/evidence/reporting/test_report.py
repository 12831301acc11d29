"""From finished folders to the page and the two cards."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from medsynth.cli.main import main
from medsynth.errors import MedsynthError
from medsynth.evidence.reporting.run import report
from medsynth.evidence.reporting.words import GLOSSARY, visible
from tests.evidence.reporting.browser import measure

HOSTILE = "<img src=x onerror=alert(1)>|`*[x](http://evil.example)*`$1$ \u202e" + "W" * 90


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    return report(out=tmp_path_factory.mktemp("report"), **finished)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def test_the_page_needs_nothing_else(made):
    text = made.page.read_text()
    page = _Page(text)
    assert page.of("img")
    sources = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "srcset", "data")]
    assert all(re.match(r"data:image/(png|svg\+xml);base64,", source or "") for source in sources)
    assert all((attrs["href"] or "").startswith("#") for attrs in page.of("a"))
    anchors = {attrs.get("id") for _, attrs in page.tags}
    assert all((attrs["href"] or "")[1:] in anchors for attrs in page.of("a"))
    assert not page.of("script")
    assert not page.of("link")
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_page_goes_from_the_verdict_to_what_it_cannot_tell(made):
    text = made.page.read_text()
    order = [
        'aria-label="Verdict"', 'id="pictures"', "<summary>Solution", 'id="figures"', 'id="tables"', 'id="privacy"',
        "Flagged pairs", 'id="usefulness"', 'id="made"', 'id="limits"', 'id="words"',
    ]  # fmt: skip
    places = [text.index(part) for part in order]
    assert all(first < second for first, second in pairwise(places))


def test_every_answer_has_a_sentence_and_what_it_does_not_mean(made):
    fidelity, privacy, usefulness = made.answers
    assert (fidelity.state, privacy.state, usefulness.state) == ("missed", "fail", "missed")
    assert "2 of 6 checks" in fidelity.sentence
    assert privacy.sentence == (
        "The audit failed: 1 synthetic scan is too near to a training patient. "
        "Besides: membership: AUC 0.85 (0.80 to 0.90)."
    )
    assert "N = 20: 0.01 in Dice (-0.02 to 0.04)" in usefulness.sentence
    page = visible(made.page.read_text())
    for answer in made.answers:
        assert answer.sentence in page.replace("&#39;", "'")
        assert answer.not_means.startswith("It does not")


def test_pictures_have_texts_in_their_place_and_the_guess_is_not_given_away(made):
    page = made.page.read_text()
    images = _Page(page).of("img")
    assert all(attrs.get("alt") for attrs in images)
    tiles = [attrs["alt"] for attrs in images if (attrs["alt"] or "").startswith("Scan ")]
    assert tiles == [f"Scan {number}, real or synthetic: guess" for number in range(1, 9)]
    details = re.search(r"<details>(.*?)</details>", page, re.DOTALL)
    assert details is not None
    assert "open" not in _Page(page).of("details")[0]
    numbers = sorted(int(number) for number in re.findall(r"\d+", visible(details[1])))
    assert numbers == list(range(1, 9))


def test_slices_beside_each_other_get_wide_tiles(made, make_finished, writers, tmp_path):
    assert '<ol class="tiles">' in made.page.read_text()
    given = make_finished(tmp_path)
    path = given["evaluation"] / "evaluation.json"
    content = json.loads(path.read_text())
    for group in content["groups"]:
        for row, entry in enumerate(group["pictures"]):
            entry |= writers.picture(given["evaluation"] / entry["file"], row, (40, 120))
    path.write_text(json.dumps(content))
    assert '<ol class="tiles wide">' in report(out=tmp_path / "out", **given).page.read_text()


def test_tables_hold_value_bar_floor_interval_and_controls(made):
    text = made.page.read_text()
    row = re.search(r"<tr><th scope=\"row\">MMD on haar.*?</tr>", text, re.DOTALL)
    assert row is not None
    for wanted in ("missed", "0.0123", "0.01 to 0.015", "at most 0.02", "0.001 (-0.004 to 0.02)", "voxel: 1.14"):
        assert wanted in row[0], wanted
    for wanted in ("a flip", "19 of 20", "3.1%", "haar_energy_lowres_v1", "b" * 64, "real + synthetic less real"):
        assert wanted in text, wanted


def test_all_lines_as_one_are_said_with_the_worst_and_the_bar(made):
    text = made.page.read_text()
    for wanted in ("All lines as one", "The worst is MMD on haar, 2.4 times", "and 1.6 times or less in 95 of 100"):
        assert wanted in text, wanted


def test_what_it_cannot_tell_is_said(made):
    limits = made.page.read_text().partition('id="limits"')[2]
    for wanted in (
        "Not measurable: presence, front",
        f"At this size these bad scans are not rejected (Class a, mr): {'reals with 5% noise'}",
        "presumed for 3 of 40",
        "label maps are not searched",
        "too few held-out patients",
        "other samples of the same cases",
        "presumed=i_accept",
        "Sites and scanners are not recorded",
        "12 samples beside 40 real images of 30 patients",
    ):
        assert wanted in limits, wanted


def test_no_abbreviation_is_left_unexplained(made):
    known = {"CC-BY-4", "N"}  # a licence and a row's own name
    for text in (visible(made.page.read_text()), made.model_card.read_text(), made.data_sheet.read_text()):
        found = (
            set(re.findall(r"(?<![\w-])[A-Z][A-Z0-9-]*[A-Z0-9]\b", text)) - known - {term.upper() for term in GLOSSARY}
        )
        assert found == set()
        for term in GLOSSARY:
            if re.search(rf"(?<![\w-]){re.escape(term)}(?!\w)", text):
                assert GLOSSARY[term] in text


def test_nothing_names_a_case_a_patient_a_path_or_what_pictures_hide(made, finished):
    for path in (made.page, made.model_card, made.data_sheet):
        text = path.read_text()
        assert not re.search(r"case-secret|patient\d|case\d{4}|/tmp|\.png|secret-kind", text)
    cards = made.model_card.read_text() + made.data_sheet.read_text()
    assert "sample0000" not in cards
    raw = re.findall(r"base64,([A-Za-z0-9+/=]+)", made.page.read_text())
    assert len(raw) > 8


def test_the_cards_say_what_is_known_and_that_the_rest_is_not(made, finished, tmp_path):
    card, sheet = made.model_card.read_text(), made.data_sheet.read_text()
    for section in ("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"):
        assert f"## {section}\n" in card
    for section in ("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"):
        assert f"## {section}\n" in card
    for section in ("Motivation", "Composition", "Collection process", "Uses", "Distribution", "Maintenance"):
        assert f"## {section}\n" in sheet
    for wanted in ("UNet; rank 3", "patients, train: 20", "CC-BY-4.0", "heun", "0.001 (-0.004 to 0.02)", "19 of 20"):
        assert wanted in card, wanted
    for wanted in ("samples: 12", "class: a: 12", "8 x 9 x 7 voxels of 1 x 1 x 1 mm", "front, back", "cleared"):
        assert wanted in sheet, wanted
    alone = report(finished["evaluation"], tmp_path / "alone")
    card, sheet = alone.model_card.read_text(), alone.data_sheet.read_text()
    assert "architecture: unknown" in card
    assert "Not audited." in card
    assert "geometry: unknown" in sheet
    assert [answer.state for answer in alone.answers] == ["missed", "not audited", "not measured"]


def test_the_same_folders_give_the_same_bytes_and_another_seed_another_order(made, finished, tmp_path):
    again = report(out=tmp_path / "again", **finished)
    other = report(out=tmp_path / "other", seed=3, **finished)
    for name in ("page", "model_card", "data_sheet"):
        assert getattr(again, name).read_bytes() == getattr(made, name).read_bytes()
    assert other.page.read_bytes() != made.page.read_bytes()


@pytest.mark.parametrize("part", ["audit", "samples", "utility", "run", "weights"])
def test_folders_that_do_not_belong_together_are_refused(part, finished, make_finished, writers, tmp_path):
    other = make_finished(tmp_path / "other", name="b")
    given = dict(finished)
    if part == "audit":
        given["audit"], said = other["audit"], "different samples.jsonl"
    elif part == "samples":
        given["samples"], said = other["samples"], "different samples.jsonl"
    elif part == "weights":
        (other["run"] / "weights" / "best.ckpt").write_bytes(b"medsynth-sealed-1 " + b"f" * 64 + b"\n")
        given["run"], said = other["run"], "does not hold the weights"
    else:
        path = other[part] / ("utility.json" if part == "utility" else "run.json")
        content = json.loads(path.read_text())
        content["inputs" if part == "utility" else "info"]["cases_sha256"] = "e" * 64
        path.write_text(json.dumps(content))
        given[part], said = other[part], "different cases"
    with pytest.raises(MedsynthError, match=said) as caught:
        report(out=tmp_path / "out", **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage", ["cut", "version", "verdict", "groups", "altered", "picture", "no picture", "outside"]
)
def test_damaged_results_are_one_line(damage, make_finished, tmp_path):
    given = make_finished(tmp_path)
    path = given["evaluation"] / "evaluation.json"
    content = json.loads(path.read_text())
    said = {
        "cut": "cut short", "version": "another version", "verdict": "no verdict", "groups": "not whole",
        "altered": "altered", "picture": "changed", "no picture": "missing", "outside": "not inside",
    }[damage]  # fmt: skip
    picture = given["evaluation"] / content["groups"][0]["pictures"][0]["file"]
    if damage == "altered":
        audit = given["audit"] / "audit.json"
        audit.write_text(audit.read_text().replace('"fail"', '"pass"'))
    elif damage == "picture":
        picture.write_bytes(picture.read_bytes()[:-20])
    elif damage == "no picture":
        picture.unlink()
    else:
        content["schema"] = "medsynth.evaluation/99" if damage == "version" else content["schema"]
        content["verdict"] = None if damage == "verdict" else content["verdict"]
        content["groups"][0]["channels"] = "x" if damage == "groups" else content["groups"][0]["channels"]
        content["groups"][0]["pictures"][0]["file"] = "../../x.png" if damage == "outside" else "pictures/0_0.png"
        path.write_text(json.dumps(content)[: -9 if damage == "cut" else None])
    with pytest.raises(MedsynthError, match=said) as caught:
        report(out=tmp_path / "out", **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "reals", "shown"),
    [
        ({}, "auto", True),
        ({}, "hide", False),
        ({"identity": "trusted", "overrides": ("identity=trust",)}, "auto", False),
        ({"identity": "trusted", "overrides": ("identity=trust",)}, "show", True),
        ({"overrides": ("faces=allow",)}, "auto", False),
    ],
)
def test_real_scans_are_shown_only_where_no_face_can_be_in_them(more, reals, shown, make_finished, tmp_path):
    made = report(out=tmp_path / "out", reals=reals, **make_finished(tmp_path, **more))
    page = made.page.read_text()
    assert ("<details>" in page) == shown
    assert ("Flagged pairs" in page) == shown
    assert ("real scans are left out" in page) != shown
    alts = [attrs["alt"] for attrs in _Page(page).of("img") if (attrs["alt"] or "").startswith("Scan ")]
    assert len(alts) == (8 if shown else 4)


@pytest.fixture(scope="module")
def hostile(make_finished, tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    given = make_finished(root, name=HOSTILE, licences=(HOSTILE,))
    for name in ("evaluation", "utility"):
        path = given[name] / f"{name}.json"
        content = json.loads(path.read_text())
        if name == "evaluation":
            content["notes"].append(HOSTILE)
            for group in content["groups"]:
                group["name"] = group["reference"] = HOSTILE
                (channel,) = group["channels"]
                channel["name"] = channel["units"] = HOSTILE
                channel["curves"]["volumes"] = {HOSTILE: channel["curves"]["volumes"]["front"]}
                channel["curves"]["mmd"] = {HOSTILE: channel["curves"]["mmd"]["haar"]}
                for entry in channel["lines"]:
                    entry["subject"] = entry["reason"] = entry["features"] = entry["check"] = HOSTILE
                    entry["controls"] = {HOSTILE: 1.0}
                for entry in channel["controls"]:
                    entry["name"] = entry["what"] = HOSTILE
                    entry["rejected_by"] = [HOSTILE]
        else:
            content["rows"][0]["name"] = content["task"]["score"] = HOSTILE
        path.write_text(json.dumps(content))
    return report(out=root / "out", **given)


def test_everything_from_files_is_escaped(hostile):
    page = hostile.page.read_text()
    assert "<img src=x" not in page
    assert not [attrs for _, attrs in _Page(page).tags if any(key.startswith("on") for key in attrs)]
    for path in (hostile.model_card, hostile.data_sheet):
        text = path.read_text()
        assert "onerror" in text
        assert not re.search(r"(?<!\\)<img|(?<!\\)\[x|http://|(?<!\\)`\*", text)
        for row in re.findall(r"^\|.*$", text, re.MULTILINE):
            assert row.endswith("|")
    table = hostile.model_card.read_text().partition("## Quantitative analyses")[2].partition("###")[0]
    rows = [re.split(r"(?<!\\)\|", row) for row in re.findall(r"^\|.*$", table, re.MULTILINE)]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["made", "hostile"])
def test_no_page_is_wider_than_its_window(which, width, request, tmp_path):
    size = measure(request.getfixturevalue(which).page.read_text(), width, tmp_path)
    assert size.window == width
    assert size.wide == width
    assert size.sticking_out == 0


def test_the_rule_sees_a_page_that_is_too_wide(made, tmp_path):
    wide = made.page.read_text().replace("<main>", '<main><div style="width: 500px">x</div>')
    size = measure(wide, 390, tmp_path)
    assert size.wide > 390
    assert size.sticking_out


def _contrast(first: str, second: str) -> float:
    """WCAG 2.1, contrast ratio."""
    lights = []
    for colour in (first, second):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_colours_of_texts_can_be_read(made):
    text = made.page.read_text()
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", text))
    assert {"good", "bad", "open", "ink", "soft"} <= set(colours)
    for name in ("good", "bad", "open", "ink"):
        assert _contrast(colours[name], colours["soft"]) > 4.5
    for colour in re.findall(r"(?<![-\w])color: (#[0-9a-f]{6})", text):
        assert _contrast(colour, colours["soft"]) > 4.5
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)


def test_the_command(finished, tmp_path, capsys):
    words = [f"{key}={path}" for key, path in finished.items()]
    assert main(["report", *words, f"out={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr().out
    assert "privacy: fail. The audit failed" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        "data_sheet.md", "medsynth.json", "model_card.md", "report.html",
    ]  # fmt: skip
    assert main(["report", f"evaluation={tmp_path / 'nothing'}", f"out={tmp_path / 'o'}"]) == 1
    assert main(["report", f"evaluation={finished['evaluation']}", f"out={tmp_path / 'o'}", "reals=maybe"]) == 2
