"""Seconds per training step and per sample of the experiments' networks, on noise.

`python benchmarks/speed.py [--threads 2] [--device cpu]` prints one row an experiment. Only the
network's work is timed: reading and augmenting cases is not. Run it on a quiet machine.
"""

import argparse
import time
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.loss import denoising_loss, loss_weight
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.drawing import sample_latents
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Haar
from medsynth.nets.unet import UNet

SMALL = {"features": (32, 64, 64)}
EXPERIMENTS = {
    # name: size, label values, Haar levels, classes, network, batch; as in conf/experiment
    "phantom_2d": ((64, 64), 7, 1, 0, SMALL, 8),
    "phantom_3d": ((32, 24, 32), 7, 1, 0, {"features": (64, 64, 64)}, 4),
    "hippocampus_3d": ((32, 48, 32), 3, 1, 0, {"features": (64, 64, 128)}, 4),
    "chest_xray_2d": ((128, 128), 0, 2, 2, {"features": (64, 128, 192), "attention": (False, False, True)}, 16),
}


def build(size, values, levels, classes, settings) -> DiffusionModel:
    label = LabelChannel(name="label", values={v: str(v) for v in range(values)}) if values else None
    image = ImageChannel(name="image", units="HU", low=-1000, high=1000)
    layout = Layout(images=(image,), label=label, grid=Geometry.centred(size, (1.0,) * len(size)))
    haar = Haar(levels)
    conditioner = Conditioner({"class": [str(c) for c in range(classes)]} if classes else {})
    plan = ParametrisationPlan(modes=32)
    network = partial(UNet, **settings)(
        rank=len(size),
        channels=haar.latent_channels(layout.channels, layout.rank),
        vector=conditioner.width,
        views=plan.views,
    )
    return DiffusionModel(layout, haar, network, conditioner, parametrisation=plan)


def training_step(model, latent, sigma, vector, precision) -> None:
    with torch.autocast(latent.device.type, torch.bfloat16, enabled=precision == "bf16"):
        condition = Condition(vector=vector if vector.shape[1] else None)
        noise = torch.randn_like(latent)
        weight = loss_weight("uniform", sigma, latent.ndim, model.form)
        denoising_loss(model.denoise, latent, noise, sigma, condition, weight).mean().backward()


def seconds(work, repeats: int) -> float:
    work()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    table = Table("experiment", "parameters", "batch", "s/step fp32", "s/step bf16", "s/sample (20 evaluations)")
    for name, (size, values, levels, classes, settings, batch) in EXPERIMENTS.items():
        model = build(size, values, levels, classes, settings).to(chosen.device)
        latent = torch.randn(batch, *model.latent_shape, device=chosen.device)
        sigma = torch.rand(batch, device=chosen.device) + 0.1
        vector = torch.zeros(batch, model.conditioner.width, device=chosen.device)
        steps = {
            precision: seconds(partial(training_step, model, latent, sigma, vector, precision), chosen.repeats)
            for precision in ("fp32", "bf16")
        }
        plan = SamplingPlan(steps=20)
        sample = seconds(partial(sample_latents, model, range(4), [Asked()] * 4, seed=0, plan=plan), 1) / 4
        millions = sum(p.numel() for p in model.network.parameters()) / 1e6
        row = [name, f"{millions:.1f} M", str(batch), *(f"{steps[p]:.3f}" for p in ("fp32", "bf16")), f"{sample:.2f}"]
        table.add_row(*row)
    Console().print(f"torch {torch.__version__}, {chosen.device}, {chosen.threads} threads")
    Console().print(table)


if __name__ == "__main__":
    main()
