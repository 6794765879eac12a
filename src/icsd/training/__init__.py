"""Training: one forward pass (the distiller), one loop, one optimiser and its schedule, checkpoints."""
