"""Training: the forward pass (the distiller), the loop, the optimiser with its schedule, and checkpoints."""
