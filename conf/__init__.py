"""Configuration files, shipped as the package medsynth.conf."""
