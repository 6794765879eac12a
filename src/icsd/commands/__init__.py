"""What a person runs besides the stages: tuning, verification, comparing experiments."""
