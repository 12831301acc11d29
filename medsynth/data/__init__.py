"""Read and write scans, bring them to a model's grid, feed them to training."""
