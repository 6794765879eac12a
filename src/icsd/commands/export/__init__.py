"""The command ``export``: a network as a file for other programs, checked before it is kept."""
