"""What is read of an encoder's folder, and what never is."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medsynth.errors import MedsynthError
from medsynth.nets.text import HuggingFace
from tests.nets.conftest import WORDS, save_tokenizer

pytestmark = pytest.mark.usefixtures("no_network")


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_loading_says_nothing_and_leaves_the_librarys_settings(tiny, capfd):
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    HuggingFace(str(tiny))(["a scan"])
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars) == (level, True)


def test_more_tokens_than_the_network_takes_are_refused_when_it_is_read(tiny):
    assert HuggingFace(str(tiny), length=32).width == 8
    with pytest.raises(MedsynthError, match="does not take 33 tokens"):
        _ = HuggingFace(str(tiny), length=33).width


def test_the_digest_tells_weights_tokenizer_and_configuration_apart(tiny, copy):
    assert HuggingFace(str(copy)).sha256 == HuggingFace(str(tiny)).sha256
    found = {HuggingFace(str(tiny)).sha256}
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found.add(HuggingFace(str(copy)).sha256)
        (copy / name).write_bytes(content)
    (copy / "README.md").write_text("not read")
    found.add(HuggingFace(str(copy)).sha256)
    assert len(found) == 4


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(MedsynthError, match=r"lacks config\.json or model\.safetensors"):
        HuggingFace(str(copy))(["a scan"])


def test_an_index_leads_to_no_other_file(copy):
    torch.save({}, copy / "weights.bin")
    (copy / "model.safetensors").rename(copy / "model-1-of-1.safetensors")
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": "weights.bin"}}))
    with pytest.raises(MedsynthError, match="not whole"):
        HuggingFace(str(copy))(["a scan"])
    index.write_text("[")
    with pytest.raises(MedsynthError, match="cannot be read"):
        HuggingFace(str(copy))(["a scan"])


def test_weights_in_parts_are_read(tiny, tmp_path):
    from transformers import BertModel

    BertModel.from_pretrained(tiny).save_pretrained(tmp_path / "parts", max_shard_size="2KB")
    save_tokenizer(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    whole, parts = HuggingFace(str(tiny)), HuggingFace(str(tmp_path / "parts"))
    assert torch.equal(whole(["a scan"]).tokens, parts(["a scan"]).tokens)


@pytest.mark.parametrize("changes", [{"model_type": "own"}, {"transformers_weights": "other.safetensors"}])
def test_foreign_code_is_not_run(copy, tmp_path, changes):
    marker = tmp_path / "ran"
    (copy / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    shutil.copy(copy / "model.safetensors", copy / "other.safetensors")
    own = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoModelForTextEncoding": "own.Model"}
    edit(copy / "config.json", auto_map=own, **changes)
    edit(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Model", "own.Model"]})
    with pytest.raises(MedsynthError, match="needs code of its own"):
        HuggingFace(str(copy))(["a scan"])
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["yoso", "mra", "rwkv"])
@pytest.mark.parametrize("inner", [False, True])
def test_architectures_that_fetch_kernels_are_refused_by_name(copy, kind, inner):
    """Before their code is imported: with the library that fetches and a GPU, making one is a download."""
    own = {"model_type": kind}
    edit(copy / "config.json", **({"text_config": own} if inner else own))
    with pytest.raises(MedsynthError, match=f"the text encoder is a {kind}, .* nothing is downloaded"):
        HuggingFace(str(copy))(["a scan"])


def test_a_tokenizer_under_another_name_is_refused(copy):
    """No digest would cover it."""
    shutil.copy(copy / "tokenizer.json", copy / "tokenizer.4.0.0.json")
    edit(copy / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(MedsynthError, match="cannot be read"):
        HuggingFace(str(copy))(["a scan"])


def test_adapters_are_refused(copy):
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(MedsynthError, match="adapter"):
        HuggingFace(str(copy))(["a scan"])


def test_weights_that_are_lacking_are_not_made_up(copy):
    weights = load_file(copy / "model.safetensors")
    without_pooler = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(without_pooler, copy / "model.safetensors", metadata={"format": "pt"})
    before = torch.get_rng_state()
    assert HuggingFace(str(copy))(["a scan"]).pooled.isfinite().all()
    assert torch.equal(torch.get_rng_state(), before), "the pooler, which is not used, drew from the caller's noise"
    del without_pooler["encoder.layer.1.output.dense.weight"]
    save_file(without_pooler, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MedsynthError, match="lack 1 of its weights"):
        HuggingFace(str(copy))(["a scan"])


def test_half_precision_weights_are_computed_in_float32(tiny, copy):
    weights = {name: value.bfloat16() for name, value in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    edit(copy / "config.json", dtype="bfloat16")
    found = HuggingFace(str(copy))(["a scan"]).pooled
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert (found - HuggingFace(str(tiny))(["a scan"]).pooled).abs().max() < 0.02


def test_numbers_that_are_none_are_refused(copy):
    weights = load_file(copy / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][WORDS.index("tumour")] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    encoder = HuggingFace(str(copy))
    assert encoder(["a scan"]).pooled.isfinite().all()
    with pytest.raises(MedsynthError, match="no finite numbers"):
        encoder(["a tumour"])


def test_of_an_encoder_and_decoder_the_encoder_is_taken(tmp_path):
    from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration

    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=len(WORDS), **sizes)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    found = HuggingFace(str(tmp_path))(["a scan"])
    ids = torch.tensor([[WORDS.index(word) for word in ("[CLS]", "a", "scan", "[SEP]")]])
    with torch.no_grad():
        wanted = T5EncoderModel.from_pretrained(tmp_path).eval()(ids).last_hidden_state[0]
    assert (found.tokens[0, :4] - wanted).abs().max() < 1e-5
