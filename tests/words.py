"""A text encoder for tests: letters counted, no files."""

from collections.abc import Sequence
from typing import Any

import torch

from medsynth.nets.recorded import Recorded
from medsynth.nets.text import Encoded

TARGET = "tests.words.Letters"


class Letters(Recorded):
    """One token a word: how often each of the letters a, b, c, d is in it."""

    sha256 = "b" * 64
    width = 4

    def __init__(self, length: int = 5, salt: str = "") -> None:
        self.length, self.salt = length, salt
        self.heard: list[str] = []

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        return [len(sentence.split()) for sentence in sentences]

    def __call__(self, sentences: Sequence[str]) -> Encoded:
        assert all(isinstance(sentence, str) and sentence.strip() for sentence in sentences)
        self.heard.extend(sentences)
        tokens = torch.zeros(len(sentences), self.length, self.width)
        for row, sentence in enumerate(sentences):
            for place, word in enumerate(sentence.split()[: self.length]):
                tokens[row, place] = torch.tensor([1.0 + word.count(letter) for letter in "abcd"])
        return Encoded(tokens, torch.nn.functional.normalize(tokens.sum(1), dim=1))


def other_weights(encoder: Any) -> Any:
    """The same encoder with other files."""
    encoder.sha256 = "c" * 64
    return encoder
