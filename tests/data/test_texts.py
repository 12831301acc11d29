"""What is said of cases: which words, and that nothing is said where nothing is known."""

import io
import pickle

import pytest
import torch
import yaml

from medsynth.data.texts import TextPlan, embed_texts
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel
from tests.words import Letters


def case(number=0, **attributes):
    channel = Channel(path="x.nii.gz", kind="image", units="HU", sha256="a" * 64)
    return CaseRecord(
        id=f"case{number}",
        patient=f"patient{number}",
        patient_source="dicom",
        identity="trusted",
        channels={"image": channel},
        geometry=Geometry.centred((8, 8, 8), (1, 1, 1)),
        attributes=attributes,
    )


def tensors_in(sent):
    """How many tensors a process is sent."""

    class Counting(pickle.Pickler):
        count = 0

        def reducer_override(self, part):
            self.count += isinstance(part, torch.Tensor)
            return NotImplemented

    pickler = Counting(io.BytesIO())
    pickler.dump(sent)
    return pickler.count


SAID = TextPlan(of="class", sentences={"well": ["all is well", "no finding"], "ill": ["a finding"]})


def test_sentences_of_a_value():
    assert SAID.sentences_of({"class": "well"}) == ("all is well", "no finding")
    assert SAID.sentences_of({"class": "ill", "age": 3}) == ("a finding",)


@pytest.mark.parametrize(
    "attributes", [{}, {"class": None}, {"class": ""}, {"class": " "}, {"class": "odd"}, {"x": "ill"}]
)
def test_where_nothing_is_known_nothing_is_said(attributes):
    assert SAID.sentences_of(attributes) == ()


def test_a_report_is_the_text_itself():
    plan = TextPlan(of="report")
    assert plan.sentences_of({"report": "A liver, \n two lungs."}) == ("A liver, \n two lungs.",)
    assert plan.sentences_of({"report": 7}) == ("7",)
    for nothing in ({"report": "  "}, {"report": None}, {}):
        assert plan.sentences_of(nothing) == ()
    assert TextPlan().sentences_of({"report": "x"}) == ()


@pytest.mark.parametrize(
    ("written", "values"),
    [("1", [1, "1", " 1"]), ("0", [0, "0"]), ("1.5", [1.5, "1.5"]), ("true", [True, "true", "True", "TRUE"])],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_keys_that_yaml_reads_as_something_else(written, values, quoted):
    key = f"'{written}'" if quoted else written
    plan = TextPlan(of="class", sentences=yaml.safe_load(f"{{{key}: [a cab], 'no': [b]}}"))
    for value in values:
        assert plan.sentences_of({"class": value}) == ("a cab",), value
    assert plan.sentences_of({"class": "no"}) == ("b",)
    assert plan.sentences_of({"class": False}) == ()


@pytest.mark.parametrize(
    ("of", "sentences", "said"),
    [
        (None, {"a": ["x"]}, "data.text.of names the attribute"),
        ("class", {"a": []}, "a has a list of sentences"),
        ("class", {"a": "x"}, "a has a list of sentences"),
        ("class", {"a": ["x", " "]}, "none of them empty"),
        ("class", {"a": [3]}, "a has a list of sentences"),
        ("class", {1: ["x"], "1": ["y"]}, "two keys are one value"),
    ],
)
def test_plans_that_say_nothing(of, sentences, said):
    with pytest.raises(MedsynthError, match=said):
        TextPlan(of=of, sentences=sentences)


def test_every_sentence_is_embedded_once():
    plan, encoder = TextPlan(of="report"), Letters()
    cases = [case(n, report=f"a{'b' * (n % 70)} cab") for n in range(140)] + [case(140), case(141, report="a cab")]
    texts = embed_texts(plan, encoder, cases)
    assert sorted(encoder.heard) == sorted({f"a{'b' * n} cab" for n in range(70)})
    for sentence in ("a cab", f"a{'b' * 69} cab"):
        tokens, pooled = texts.embedded(sentence)
        expected = Letters()([sentence])
        assert torch.equal(tokens, expected.tokens[0])
        assert torch.equal(pooled, expected.pooled[0])
    # A loading process keeps a file open for every tensor that it is sent.
    assert tensors_in(texts) == 2


def test_sentences_of_values_that_no_case_has_are_not_embedded_and_it_is_said():
    encoder = Letters()
    texts = embed_texts(SAID, encoder, [case(0, **{"class": "ill"}), case(1)])
    assert encoder.heard == ["a finding"]
    assert texts.notes == ("data.text.sentences: no training or validation case is well; what they say is not learnt",)


def test_cases_of_which_nothing_is_said_are_counted_and_not_named():
    found = [case(n, **{"class": ("ill", "well", "Meier")[n % 3]}) for n in range(6)]
    texts = embed_texts(SAID, Letters(), [*found, case(6), case(7, **{"class": " "})])
    (note,) = texts.notes
    assert "2 of 8 training and validation cases have a class without any; nothing is said of these" in note
    assert "Meier" not in note
    assert embed_texts(SAID, Letters(), found[:2]).notes == ()


def test_a_key_that_no_case_has_beside_cases_without_sentences_is_refused():
    """NORML and NORMAL, say: half of the cases would train without a word."""
    said = TextPlan(of="class", sentences={"NORML": ["clear"], "ill": ["a finding"]})
    found = [case(n, **{"class": ("ill", "NORMAL")[n % 2]}) for n in range(4)]
    with pytest.raises(MedsynthError, match=r"2 of 4 .* have a class without any, and no .* case is NORML: write the"):
        embed_texts(said, Letters(), found)


def test_texts_that_are_cut_are_counted():
    found = [case(n, report=" ".join(["a"] * n)) for n in range(1, 9)]
    assert embed_texts(TextPlan(of="report"), Letters(), found[:5]).notes == ()
    (note,) = embed_texts(TextPlan(of="report"), Letters(), found).notes
    assert note == (
        "3 of 8 texts are longer than text_encoder.length=5 tokens, and the rest is not read; the longest has 8"
    )


def test_words_and_encoder_come_together():
    assert embed_texts(TextPlan(), None, [case()]) is None
    with pytest.raises(MedsynthError, match="text_encoder: nothing is said"):
        embed_texts(TextPlan(), Letters(), [case()])
    with pytest.raises(MedsynthError, match="needs an encoder"):
        embed_texts(SAID, None, [case()])
    for cases in ([case()], [case(0, **{"class": "odd"})], []):
        with pytest.raises(MedsynthError, match="no case says anything there"):
            embed_texts(SAID, Letters(), cases)
