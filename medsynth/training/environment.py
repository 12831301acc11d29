"""What a training runs on: device, precision, versions."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import monai
import torch

from medsynth import __version__
from medsynth.errors import MedsynthError
from medsynth.models.gan import GanModel
from medsynth.models.run import read_run
from medsynth.models.sample_model import SampleModel
from medsynth.nets.generator import Generator
from medsynth.nets.text import FrozenEncoder


def choose_accelerator(device: str, precision: str) -> str:
    """Lightning's word for the device, "gpu" or "cpu".

    Raises:
        MedsynthError: another device or precision, a GPU that is not there.
    """
    if device not in ("auto", "cpu", "cuda") or precision not in ("auto", "bf16", "fp32"):
        raise MedsynthError("device is auto, cpu or cuda; precision is auto, bf16 or fp32")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise MedsynthError("device=cuda, but torch sees no GPU; set device=cpu or install a CUDA build of torch")
    return "gpu" if cuda and device != "cpu" else "cpu"


def choose_precision(accelerator: str, precision: str, model: SampleModel) -> str:
    """The word "bf16" or "fp32"; a GAN, whose loss holds gradients of gradients, has fp32 where nobody says else.

    Raises:
        MedsynthError: bf16 where its gradients are not to be trusted.
    """
    if precision == "auto":
        able = torch.cuda.is_bf16_supported() if accelerator == "gpu" else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if able else "fp32"
        if isinstance(model, GanModel) or _bf16_gradients_break(model, accelerator):
            precision = "fp32"
    if precision == "bf16" and _bf16_gradients_break(model, accelerator):
        raise MedsynthError(
            "bf16 on a CPU needs more than 2 voxels a side in the network's coarsest level: set precision=fp32, "
            "a larger data.resampling.size or fewer model.features"
        )
    return precision


def _bf16_gradients_break(model: SampleModel, accelerator: str) -> bool:
    """Whether torch's bf16 gradient of a 3D convolution is not to be trusted.

    On a CPU with AVX512-BF16 the weight gradient of volumes 2 voxels thick reads memory
    that nobody wrote (measured with torch 2.13: NaN in most calls, other bits in each).
    """
    sides, network = model.latent_shape[1:], model.network
    coarsest = min(network.grids[0]) if isinstance(network, Generator) else min(sides) // network.stride
    return accelerator == "cpu" and len(sides) == 3 and coarsest <= 2


def describe_environment(
    accelerator: str, bits: str, workers: int, text_encoder: FrozenEncoder | None = None
) -> dict[str, Any]:
    """All that a bit-exact repetition depends on beside the settings; what embeds texts where some are embedded."""
    embedding = ("transformers", "tokenizers") if isinstance(text_encoder, FrozenEncoder) else ()
    return {
        "medsynth": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "lightning": lightning.__version__,
        "processor": torch.cuda.get_device_name() if accelerator == "gpu" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "workers": workers,
        "precision": bits,
        **{name: version(name) for name in embedding},
    }


def environments(out: Path, begin: int, now: dict[str, Any], progress: bool) -> list[dict[str, Any]]:
    """What the training ran on, from which step: one entry, or more where it was resumed elsewhere."""
    before = list(read_run(out)[1].training.get("environments", [])) if begin else []
    if before:
        changed = [name for name, value in now.items() if before[-1].get(name) != value]
        if not changed:
            return before
        if progress:
            print(
                f"resumed with another {', '.join(changed)}: the bits will differ from an unbroken training", flush=True
            )
    return [*before, {"from_step": begin, **now}]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
