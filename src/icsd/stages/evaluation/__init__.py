"""The stages ``evaluate_*``: networks on the reported split, as numbers in files."""
