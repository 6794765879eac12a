"""icsd: adaptive inter-class similarity distillation for semantic segmentation, and its baselines."""
