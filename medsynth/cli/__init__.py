"""The `medsynth` command: the only room that knows Hydra."""
