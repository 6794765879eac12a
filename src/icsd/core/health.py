"""When a loss term's share of the gradients is worth a warning, in training and in the report alike."""

NEGLIGIBLE_SHARE = 0.01
"""A distillation term with less than this does nothing, and its loss curve does not show it."""
DOMINANT_SHARE = 0.9
"""A term with more than this hardly lets the others count."""
