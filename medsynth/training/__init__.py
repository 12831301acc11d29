"""Train a diffusion model: Lightning module, checkpoints, logs."""
