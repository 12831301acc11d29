"""Pure functions first, then torchmetrics classes; whatever is fixed beforehand is injected."""
