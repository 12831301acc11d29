"""The text encoder of a run, made when a text is first asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medsynth.errors import RunError
from medsynth.nets.text import Encoded, TextEncoder


class LateEmbedder:
    """The encoder that a run was trained with: the one of the same files.

    Args:
        text: of the run's conditions, with `sha256`, `width` and `length`.
        make: makes the encoder that the run names.

    Raises:
        RunError: at first use, that the encoder has other files or another width.
    """

    def __init__(self, text: Mapping[str, Any], make: Callable[[], Any]) -> None:
        self.text, self.make = text, make
        self.encoder: TextEncoder | None = None

    def __call__(self, sentences: Sequence[str]) -> Encoded:
        """N sentences, none of them empty -> (N, T, E) and (N, E)."""
        return self._made()(sentences)

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        """Tokens of each sentence; what is past the run's `length` is not read."""
        return self._made().lengths(sentences)

    def _made(self) -> TextEncoder:
        if self.encoder is None:
            encoder = self.make()
            if getattr(encoder, "sha256", None) != self.text.get("sha256"):
                raise RunError(
                    "the text encoder that is installed here has other weights than the one the run was trained with; "
                    "install that version"
                )
            if (encoder.width, encoder.length) != (self.text["width"], self.text["length"]):
                raise RunError(
                    "the run's text encoder and its conditions do not fit each other: it was altered; copy it again"
                )
            self.encoder = encoder
        return self.encoder
