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
        notes: what of the plan and of the cases is not heard, in lines for the user.
    """

    plan: TextPlan
    rows: Mapping[str, int]
    tokens: Tensor
    pooled: Tensor
    notes: tuple[str, ...] = ()

    def embedded(self, sentence: str) -> tuple[Tensor, Tensor]:
        """Tokens (T, E) and pooled (E,) of a sentence."""
        row = self.rows[sentence]
        return self.tokens[row], self.pooled[row]


def embed_texts(plan: TextPlan, encoder: TextEncoder | None, records: Iterable[CaseRecord]) -> Texts | None:
    """Embed all that is said of `records`, once; None where nothing is.

    Raises:
        MedsynthError: words without an encoder, an encoder without words; a key to sentences that no case has,
            beside cases that have another one.
    """
    if plan.of is None:
        if encoder is not None:
            raise MedsynthError("text_encoder: nothing is said of the cases; set data.text.of, or text_encoder=null")
        return None
    if encoder is None:
        raise MedsynthError("data.text needs an encoder: set text_encoder=minilm, or huggingface")
    records = list(records)
    distinct = sorted({sentence for record in records for sentence in plan.sentences_of(record.attributes)})
    if not distinct:
        raise MedsynthError(f"data.text.of={plan.of}: no case says anything there; set it to an attribute they have")
    notes = (*_unsaid(plan, records), *_cut(encoder, distinct))
    tokens = torch.zeros(len(distinct), encoder.length, encoder.width)
    pooled = torch.zeros(len(distinct), encoder.width)
    for start in range(0, len(distinct), 64):
        part = slice(start, start + 64)
        tokens[part], pooled[part] = encoder(distinct[part])
    return Texts(plan, {sentence: row for row, sentence in enumerate(distinct)}, tokens, pooled, notes)


def _unsaid(plan: TextPlan, records: Sequence[CaseRecord]) -> list[str]:
    """Lines on sentences that are said of no case, and on cases of which none is said.

    Raises:
        MedsynthError: there are both, and so one is probably meant for the other.
    """
    if not plan.sentences or plan.of is None:
        return []
    values = [record.attributes.get(plan.of) for record in records]
    there = {_key(value) for value in values if value is not None}
    unheard = [key for key in plan.sentences if key not in there]
    silent = sum(value is not None and bool(_key(value)) and _key(value) not in plan.sentences for value in values)
    of = f"data.text.sentences: {silent} of {len(records)} training and validation cases have a {plan.of} without any"
    none = f"no training or validation case is {', '.join(unheard)}"
    if unheard and silent:
        raise MedsynthError(f"{of}, and {none}: write the keys as the cases have them, or leave out what none has")
    lines = [f"{of}; nothing is said of these"] if silent else []
    return [*lines, f"data.text.sentences: {none}; what they say is not learnt"] if unheard else lines


def _cut(encoder: TextEncoder, sentences: Sequence[str]) -> list[str]:
    """A line on sentences that are longer than what the encoder reads."""
    lengths = encoder.lengths(sentences)
    longer = sum(length > encoder.length for length in lengths)
    if not longer:
        return []
    return [
        f"{longer} of {len(sentences)} texts are longer than text_encoder.length={encoder.length} tokens, and the rest "
        f"is not read; the longest has {max(lengths)}"
    ]
