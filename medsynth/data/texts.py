"""What is said of cases in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.nets.text import TextEncoder
from medsynth.records import Attribute, CaseRecord


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """Where the words come from.

    Args:
        of: an attribute whose value is the text itself (a report), or, with `sentences`, a key to them;
            None: the model knows no text.
        sentences: for each value of the attribute the sentences that say it; training takes one at random.
            A key that YAML reads as a number or a boolean stands for the attribute that is written so.

    Raises:
        MedsynthError: sentences without an attribute, a value without sentences, one that is there twice.
    """

    of: str | None = None
    sentences: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sentences and self.of is None:
            raise MedsynthError("data.text.sentences: data.text.of names the attribute whose values they say")
        for value, said in self.sentences.items():
            if isinstance(said, str) or not said or not all(isinstance(s, str) and s.strip() for s in said):
                raise MedsynthError(f"data.text.sentences: {value} has a list of sentences, none of them empty")
        keyed = {_key(value): tuple(said) for value, said in self.sentences.items()}
        if len(keyed) < len(self.sentences):
            raise MedsynthError("data.text.sentences: two keys are one value of the attribute; join their sentences")
        object.__setattr__(self, "sentences", keyed)

    def sentences_of(self, attributes: Mapping[str, Attribute]) -> tuple[str, ...]:
        """All that may be said of a case; nothing where its attribute is missing or has no sentences."""
        value = None if self.of is None else attributes.get(self.of)
        if value is None or not str(value).strip():
            return ()
        return tuple(self.sentences.get(_key(value), ())) if self.sentences else (str(value),)


def _key(value: Attribute) -> str:
    """A value as it is written; YAML's true is also the True of a table."""
    text = str(value).strip()
    return text.lower() if text.lower() in ("true", "false") else text


@dataclass(frozen=True)
class Texts:
    """The plan, and every sentence of it embedded.

    Two tensors for all: of one for each sentence a loading process would have to keep a file open.

    Args:
        plan: where the words come from.
        rows: sentence -> its row below.
        tokens: (N, T, E).
        pooled: (N, E).
    """

    plan: TextPlan
    rows: Mapping[str, int]
    tokens: Tensor
    pooled: Tensor

    def embedded(self, sentence: str) -> tuple[Tensor, Tensor]:
        """Tokens (T, E) and pooled (E,) of a sentence."""
        row = self.rows[sentence]
        return self.tokens[row], self.pooled[row]


def embed_texts(plan: TextPlan, encoder: TextEncoder | None, records: Iterable[CaseRecord]) -> Texts | None:
    """Embed all that is said of `records`, once; None where nothing is.

    Raises:
        MedsynthError: words without an encoder, an encoder without words.
    """
    if plan.of is None:
        if encoder is not None:
            raise MedsynthError("text_encoder: nothing is said of the cases; set data.text.of, or text_encoder=null")
        return None
    if encoder is None:
        raise MedsynthError("data.text needs an encoder: set text_encoder=minilm, or huggingface")
    distinct = sorted({sentence for record in records for sentence in plan.sentences_of(record.attributes)})
    if not distinct:
        raise MedsynthError(f"data.text.of={plan.of}: no case says anything there; set it to an attribute they have")
    tokens = torch.zeros(len(distinct), encoder.length, encoder.width)
    pooled = torch.zeros(len(distinct), encoder.width)
    for start in range(0, len(distinct), 64):
        part = slice(start, start + 64)
        tokens[part], pooled[part] = encoder(distinct[part])
    return Texts(plan, {sentence: row for row, sentence in enumerate(distinct)}, tokens, pooled)
