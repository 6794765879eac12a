"""The command ``evaluate-file``: how good a network or an exported file is, beside the run it came from."""
