"""Commands that users run in addition to the stages: tuning, verification, comparing experiments."""
