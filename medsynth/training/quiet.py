"""Lightning without its remarks on what was chosen on purpose."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Lightning says of choices that were made on purpose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    hook = threading.excepthook

    def unless_told(args: threading.ExceptHookArgs) -> None:
        # TensorBoard's thread hands what it meets on a full disk to the main thread, which says it.
        if not isinstance(args.exc_value, OSError):
            hook(args)

    threading.excepthook = unless_told
    with warnings.catch_warnings():
        for said in (
            "does not have many workers",
            "Experiment logs directory",
            "not resumable",
            "in eval mode",
            "LeafSpec",
        ):
            warnings.filterwarnings("ignore", f".*{said}.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
