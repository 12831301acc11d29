"""A folder of config.json, safetensors and a tokenizer, read without network, pickles or foreign code."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.files import sha256_file, sha256_json

_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",  # SentencePiece
)
_FILES = ("config.json", *_WEIGHTS, *_TOKENIZER)


_FETCHING = frozenset({"mra", "rwkv", "yoso"})
"""Architectures whose code in transformers fetches compiled kernels from the hub when a network is made."""


class FrozenTransformer:
    """The tokenizer and the network of a folder, read without network, pickles or foreign code.

    Args:
        folder: of the files.
        length: the most tokens of a sentence.

    Raises:
        MedsynthError: files are missing or damaged, it is no text encoder, it takes fewer tokens;
            transformers is missing.
    """

    def __init__(self, folder: Path, length: int) -> None:
        _require_transformers()
        _files(folder)
        self.length = length
        try:
            with _quiet(), torch.random.fork_rng(devices=[]):
                self.tokenizer, self.model, lacking = _read(folder)
        except MedsynthError:
            raise
        except Exception as error:
            raise MedsynthError(
                f"the text encoder cannot be read ({type(error).__name__}): it is cut short, no encoder of text, or "
                "needs code of its own, which medsynth does not run; copy it again or choose another"
            ) from error
        if lacking:
            raise MedsynthError(
                f"the text encoder's safetensors lack {lacking} of its weights: copy it again, or choose another"
            )
        try:
            self.width = self.states("a " * length).shape[1]
        except Exception as error:
            raise MedsynthError(
                f"the text encoder does not take {length} tokens of text ({type(error).__name__}): set "
                "text_encoder.length lower, or choose another encoder"
            ) from error

    def count(self, sentence: str) -> int:
        """Tokens of the sentence, start and end and those past `length` among them."""
        with _quiet():
            return len(self.tokenizer(sentence)["input_ids"])

    def states(self, sentence: str) -> Tensor:
        """(tokens of the sentence, E) float32; no weight asks for gradients."""
        with _quiet(), torch.autocast("cpu", enabled=False):
            ids = self.tokenizer(
                sentence, truncation=True, max_length=self.length, return_tensors="pt", return_attention_mask=True
            )
            states: Tensor = self.model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])[0][0]
        if not states.isfinite().all():
            raise MedsynthError("the text encoder gives no finite numbers: its weights are damaged; copy it again")
        return states


def _read(folder: Path) -> tuple[Any, Any, int]:
    """Tokenizer, network and how many of its weights the files lack."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    fetching = _architectures(json.loads((folder / "config.json").read_text(encoding="utf-8"))) & _FETCHING
    if fetching:
        raise MedsynthError(
            f"the text encoder is a {min(fetching)}, for which transformers fetches code at run time, and nothing is "
            "downloaded then: choose another encoder"
        )
    local = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(folder, **local)
    if getattr(config, "transformers_weights", None):
        raise ValueError("weights under another name, which no digest covers")
    tokenizer = folder / "tokenizer_config.json"
    if tokenizer.exists() and "fast_tokenizer_files" in json.loads(tokenizer.read_text(encoding="utf-8")):
        raise ValueError("a tokenizer under another name, which no digest covers")
    kind = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel  # T5: encoder
    model, told = kind.from_pretrained(
        folder,
        config=config,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation="eager",  # a configuration can name others, which are fetched as code
        output_loading_info=True,
        **local,
    )
    # The pooler is a head of BERT that the mean does without: many files leave it out.
    lacking = [key for key in (*told["missing_keys"], *told["mismatched_keys"]) if "pooler." not in str(key)]
    return AutoTokenizer.from_pretrained(folder, **local), model.eval().requires_grad_(False), len(lacking)


def _architectures(config: Any) -> set[str]:
    """Names of the architectures that a configuration and those within it ask for."""
    if not isinstance(config, dict):
        return set()
    inner = {name for part in config.values() for name in _architectures(part)}
    return {str(config.get("model_type")), *inner}


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute the progress bars and warnings of transformers; its settings are as before afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _require_transformers() -> None:
    try:
        import transformers
    except ImportError:
        raise MedsynthError("a text encoder needs transformers: pip install 'medsynth[text]'") from None
    del transformers


def local_folder(name: str) -> Path:
    """The folder that the user names.

    Raises:
        MedsynthError: there is none.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise MedsynthError(
            f"there is no folder {name} with a text encoder: put the encoder's folder there, or a link to it"
        )
    return folder


def hub_folder(name: str, revision: str | None, download: bool) -> Path:
    """The hub's cache of a commit on this machine: a folder named by the commit.

    Args:
        name: `owner/name`.
        revision: branch, tag or commit; None is the main branch.
        download: get what is missing.

    Raises:
        MedsynthError: it is not here, or cannot be downloaded.
    """
    _require_transformers()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=not download))
    except Exception as error:
        at = f"{name} at {revision}" if revision else name
        if download:
            raise MedsynthError(
                f"text encoder {at} cannot be downloaded ({type(error).__name__}): check the name, the revision, the "
                "network, and whether the hub asks for a login"
            ) from error
        raise MedsynthError(
            f"text encoder {at} is not on this machine: set text_encoder.download=true once where there is a network, "
            "or copy its folder here and name that: text_encoder.name=./folder"
        ) from error


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files that are read.

    Raises:
        MedsynthError: the folder is not whole, or holds more than is read.
    """
    return sha256_json({path.name: sha256_file(path) for path in _files(folder)})


def _files(folder: Path) -> list[Path]:
    """All files that are read."""
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    names = {path.name for path in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise MedsynthError(
            "the text encoder's folder lacks config.json or model.safetensors: other forms of weights are not read; "
            "choose an encoder with safetensors, or download it whole (text_encoder.download=true)"
        )
    index = folder / "model.safetensors.index.json"
    if index.exists() and not _parts(index) <= names:
        raise MedsynthError("the text encoder's weights are not whole: copy its folder again")
    if (folder / "adapter_config.json").exists():
        raise MedsynthError("the text encoder is an adapter, which is not read: merge it into its model and save that")
    return files


def _parts(index: Path) -> set[str]:
    """Names of the files that an index of weights in parts leads to."""
    try:
        return {str(name) for name in json.loads(index.read_text())["weight_map"].values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise MedsynthError("the text encoder's index of weights cannot be read: copy its folder again") from None
