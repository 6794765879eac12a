"""The command ``evaluate-file``: measures a network or an exported file next to the run it came from."""
