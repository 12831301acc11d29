"""A model of scans: autoencoder, conditioner, denoiser, weights, and the run folder they live in."""
