"""Where networks of the evidence run."""

import torch


def chosen_device(name: str | None) -> torch.device:
    """The device of that name; None or "auto" is CUDA where there is one, else the CPU."""
    best = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(best if name in (None, "auto") else str(name))
