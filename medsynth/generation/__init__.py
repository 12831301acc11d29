"""From a plan of samples to volumes on disk."""
