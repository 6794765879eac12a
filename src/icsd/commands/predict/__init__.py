"""The command ``predict``: masks of anybody's images."""
