"""icsd: adaptive inter-class similarity distillation for semantic segmentation, with its baselines."""
