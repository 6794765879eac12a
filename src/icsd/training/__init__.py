"""Training: one forward pass (distiller), one loop, one optimiser schedule."""
